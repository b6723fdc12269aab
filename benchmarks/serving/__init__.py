"""Benchmark of the serving path against other ways to serve the same model."""
