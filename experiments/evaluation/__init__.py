"""Offline evaluation: cross-validation, candidate metrics, test-set evaluation and leakage."""
