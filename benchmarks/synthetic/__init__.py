"""Similarity of the synthetic ratings to MovieLens, and what offline metrics say about the truth of lists.

similarity      distribution, prediction errors and list quality, beside those of MovieLens 100K
list_quality    NDCG of a few algorithms on a random split
list_truth      what the users of a synthetic data set would make of the lists of a model
rank_agreement  Kendall's tau between offline metrics and the truth, over a set of models
speed           ratings generated per second
"""
