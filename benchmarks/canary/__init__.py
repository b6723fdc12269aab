"""Benchmark of rollouts by simulation: error rates, power, and the time to detect broken challengers."""
