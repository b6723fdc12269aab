"""Simulated rollouts: how often the promotion is wrong, how soon it is right, how soon an alarm goes off."""
