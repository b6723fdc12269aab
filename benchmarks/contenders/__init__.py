"""Contenders of the serving benchmark: simple servers of the same model."""
