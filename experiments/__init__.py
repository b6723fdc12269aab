"""Offline: which data, which candidates, what was tried and what is remembered of it."""
