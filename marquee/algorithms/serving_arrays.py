"""Arrays of the served model, computed from the fitted recommender and predictor: lists and scorers."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import surprise

from marquee.algorithms.baseline_only import BaselineOnly
from marquee.algorithms.ease import EASE
from marquee.algorithms.ranking_base import Ranker
from marquee.algorithms.reproducible_linear_algebra import invert_cholesky_factor, multiply_matrices
from marquee.algorithms.similar_items import build_similar_items_scorer
from marquee.algorithms.svd import FactorModel
from marquee.algorithms.top_n_retrieval import ItemLists, recommend_from_algorithm, recommend_from_scorer
from marquee.array_types import FloatArray, Int32Array, Int64Array
from marquee.interactions.matrix import InteractionMatrix
from marquee.model.factor_scoring import FactorSpace
from marquee.model.genre_affinity import GenreAffinity
from marquee.model.history_weighting import HistoryWeighting
from marquee.model.item_weights import ItemWeights
from marquee.model.model_arrays import ModelArrays
from marquee.model.scorers import Confidences
from marquee.model.string_table import StringTable

N_SIMILAR_ITEMS = 50  # similar items stored for each item
N_GENRE_ITEMS = 500  # popular items stored for each favorite genre
# Item weights stored for each item. On MovieLens 1M, 500 of 3,700 keep 99.5% of the NDCG@10 of EASE.
N_ITEM_WEIGHTS = 500


@dataclass(frozen=True)
class ServedAlgorithm:
    """Fitted algorithm to serve.

    Attributes:
        algorithm: the fitted algorithm.
        noise: variance of a rating around its estimate, in squared stars; None if it predicts no ratings.
    """

    algorithm: surprise.AlgoBase
    noise: float | None = None


def build_model_arrays(
    recommender: ServedAlgorithm,
    predictor: ServedAlgorithm | None,
    matrix: InteractionMatrix,
    titles_and_genres: tuple[StringTable, StringTable],
    *,
    n: int,
    allow_repeats: bool = False,
) -> ModelArrays:
    """Compute the arrays of the served model.

    Args:
        recommender: algorithm that recommends, fitted on `matrix`.
        predictor: algorithm that predicts ratings, fitted on `matrix`; its arrays are not stored again if it
            is the same object as `recommender`.
        matrix: training interactions.
        titles_and_genres: titles and genres of the items, by inner id.
        n: length of each user's stored list.
        allow_repeats: recommend items that a user has interacted with, too.
    """
    titles, genres = titles_and_genres
    similar_items, similarities = _similar_items(matrix)
    counts = matrix.item_counts()
    popular_items = np.argsort(-counts, kind="stable").astype(np.int32)
    affinity = GenreAffinity.from_item_genres(genres, counts)
    return ModelArrays(
        users=StringTable.from_strings(matrix.user_ids),
        items=StringTable.from_strings(matrix.item_ids),
        titles=titles,
        genres=genres,
        popular_items=popular_items,
        popular_counts=counts[popular_items],
        seen_indptr=matrix.indptr,
        seen_items=matrix.items,
        similar_items=similar_items,
        similarities=similarities,
        group_items=affinity.popular_items_by_favorite_genre(matrix.indptr, matrix.items, N_GENRE_ITEMS),
        **_build_algorithm_arrays(recommender, predictor, matrix, n, allow_repeats),
    )


def replace_algorithms(
    arrays: ModelArrays,
    recommender: ServedAlgorithm,
    predictor: ServedAlgorithm | None,
    matrix: InteractionMatrix,
    *,
    allow_repeats: bool = False,
) -> ModelArrays:
    """Return the arrays of another recommender and predictor that were fitted on the same interactions.

    Arguments as for `build_model_arrays`; the stored lists keep their length.
    """
    n = arrays.top_items.shape[1]
    return replace(arrays, **_build_algorithm_arrays(recommender, predictor, matrix, n, allow_repeats))


def build_factor_space(algorithm: surprise.AlgoBase, noise: float) -> FactorSpace | None:
    """Return the factor space of a model of ratings with factors or biases, or None for other algorithms.

    Args:
        algorithm: fitted algorithm.
        noise: variance of a rating around the algorithm's estimate, in squared stars.
    """
    if isinstance(algorithm, BaselineOnly):
        trainset = algorithm.trainset
        no_factors = np.zeros((trainset.n_items, 0)), np.zeros((trainset.n_users, 0))
        biases = algorithm.bi, algorithm.bu
        items, users = zip(no_factors, biases, strict=True)
        return FactorSpace.from_parameters(items, users, float(trainset.global_mean), noise)
    return algorithm.build_factor_space(noise) if isinstance(algorithm, FactorModel) else None


def _build_algorithm_arrays(
    recommender: ServedAlgorithm,
    predictor: ServedAlgorithm | None,
    matrix: InteractionMatrix,
    n: int,
    allow_repeats: bool,
) -> dict[str, Any]:
    """Return the fields of `ModelArrays` that depend on the algorithms."""
    indptr, items = _nothing(matrix.n_users) if allow_repeats else (matrix.indptr, matrix.items)
    top_items, top_scores = recommend_from_algorithm(recommender.algorithm, indptr, items, n)
    scorers = {"factors": None, "confidences": None, "item_weights": None} | _build_scorer(recommender)
    return {
        "top_items": top_items,
        "top_scores": top_scores,
        "predictor_factors": None if predictor is recommender else _build_predictor(predictor),
        **scorers,
    }


def _build_predictor(served: ServedAlgorithm | None) -> FactorSpace | None:
    """Return the factor space of a model of ratings; None for another model or no model."""
    if served is None or served.noise is None:
        return None
    return build_factor_space(served.algorithm, served.noise)


def _build_scorer(served: ServedAlgorithm) -> dict[str, Any]:
    """Return the fields of `ModelArrays` from which the recommender scores items; none if it cannot."""
    algorithm = served.algorithm
    if isinstance(algorithm, EASE):
        weighting = _history_weighting(algorithm)
        values = algorithm.training_matrix.values
        return {"item_weights": ItemWeights.from_matrix(algorithm.weights, values, weighting, N_ITEM_WEIGHTS)}
    if isinstance(algorithm, Ranker):
        return _build_factor_ranker(algorithm)
    return {"factors": _build_predictor(served)}


def _build_factor_ranker(algorithm: Ranker) -> dict[str, Any]:
    """Return the fields of a ranking model with factors; only those of ImplicitALS can be folded in."""
    # The library behind these classes takes long to import, and has been imported if it is needed.
    from marquee.algorithms.implicit_feedback import ImplicitALS, ImplicitBPR

    if isinstance(algorithm, ImplicitALS):
        space = _confidence_space(algorithm.pu, algorithm.qi, algorithm.reg_all)
        return {"factors": space, "confidences": Confidences(algorithm.alpha, _history_weighting(algorithm))}
    if isinstance(algorithm, ImplicitBPR):
        items, users = (algorithm.qi, algorithm.bi), (algorithm.pu, np.zeros(len(algorithm.pu)))
        return {"factors": FactorSpace.from_parameters(items, users, 0.0, 1.0)}
    return {}


def _confidence_space(pu: FloatArray, qi: FloatArray, reg: float) -> FactorSpace:
    """Return the factor space in which fold-in solves the equation of a user (`ConfidenceScorer`)."""
    Q = np.ascontiguousarray(qi, dtype=np.float64)
    precision = multiply_matrices(Q.T, Q) + max(reg, 1e-9) * np.eye(Q.shape[1])
    factor_inverse = invert_cholesky_factor(precision)
    covariance = np.zeros((1 + len(precision), 1 + len(precision)))
    covariance[1:, 1:] = multiply_matrices(np.ascontiguousarray(factor_inverse.T), factor_inverse)
    return FactorSpace(
        item_factors=qi.astype(np.float32),
        item_biases=np.zeros(len(qi), dtype=np.float32),
        user_factors=pu.astype(np.float32),
        user_biases=np.zeros(len(pu), dtype=np.float32),
        prior_mean=np.zeros(len(covariance)),
        prior_covariance=covariance,
        offset=0.0,
        noise=1.0,
    )


def _history_weighting(algorithm: Ranker) -> HistoryWeighting:
    """Return the function from values to weights that the algorithm applied to its training interactions."""
    matrix = algorithm.training_matrix
    return algorithm.build_weighting().resolve(matrix.feedback, matrix.scale)


def _similar_items(matrix: InteractionMatrix) -> ItemLists:
    """Return the most similar items of each item and their similarities, (n_items, N_SIMILAR_ITEMS)."""
    return recommend_from_scorer(
        build_similar_items_scorer(matrix), *_nothing(matrix.n_items), matrix.n_items, N_SIMILAR_ITEMS
    )


def _nothing(n: int) -> tuple[Int64Array, Int32Array]:
    """Return empty lists of seen items for n users."""
    return np.zeros(n + 1, dtype=np.int64), np.zeros(0, dtype=np.int32)
