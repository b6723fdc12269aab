"""Simulated rollouts: error rates and power of promotions, and the time to detect broken challengers."""
