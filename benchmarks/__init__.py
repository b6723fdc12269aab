"""Benchmarks of Marquee and of the libraries it is compared with.

Each benchmark runs as `python -m benchmarks.NAME [--quick] [--json FILE]` and prints its results beside their
targets. The JSON file is a list of rows with the keys what, ours, peer, ratio, unit and n. A ratio above 1
means that Marquee is better. In `benchmarks.synthetic`, a ratio of 1 means that the synthetic data equals the
real data.
"""
