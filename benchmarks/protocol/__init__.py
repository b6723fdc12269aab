"""Simulations of the evaluation protocol: what the choice of a recommender loses, and how certain it is."""
