"""Benchmark of ranking: quality of lists and speed of rankers, compared with implicit and LensKit."""
