"""Benchmark of the serving path, compared with other ways to serve the same model."""
