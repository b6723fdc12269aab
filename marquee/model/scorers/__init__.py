"""Scorers: item scores for known users and visitors, computed from what a model stores of its recommender.

    stored_scorer        the interface of what is stored, and of the scorer that it creates
    ├── rating_factors       factor models of ratings (SVD, Bayesian MF): posterior of a user's factors
    ├── confidence_factors   weighted matrix factorization (implicit ALS): the equation of a user
    ├── preference_factors   iALS: the equation of a user
    ├── mapped_factors       BPR: a linear map from the factors of a history to those of its user
    ├── item_weights         item-item models (EASE): weighted sums over a history
    ├── sparse_item_weights  item-item models with few weights (item k-NN, SLIM): the same sums
    ├── user_neighbors       user k-NN: what the users most similar to a history chose
    └── blend                standardized scores of several of these
    weighted_history     base class of scorers that need nothing but the weights of a history
    similar_items        for algorithms without a stored scorer: sums of similarities over a history

Importing this package registers all kinds.
"""

from marquee.model.scorers import (
    blend,
    confidence_factors,
    item_weights,
    mapped_factors,
    preference_factors,
    rating_factors,
    sparse_item_weights,
    user_neighbors,
)

__all__ = [
    "blend",
    "confidence_factors",
    "item_weights",
    "mapped_factors",
    "preference_factors",
    "rating_factors",
    "sparse_item_weights",
    "user_neighbors",
]
