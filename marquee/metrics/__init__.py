"""Offline metrics: prediction error, ranking, beyond-accuracy and segments."""
