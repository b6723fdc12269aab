"""Arrays of the served model, computed from the fitted recommender and predictor: lists and scorers."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from marquee.algorithms.base import Algorithm
from marquee.algorithms.similar_items import build_similar_items_scorer
from marquee.algorithms.top_n_retrieval import ItemLists, recommend_from_algorithm, recommend_from_scorer
from marquee.array_types import Float32Array, Int32Array, Int64Array
from marquee.interactions.matrix import InteractionMatrix
from marquee.model.genre_affinity import GenreAffinity
from marquee.model.model_arrays import ModelArrays
from marquee.model.scorers.rating_factors import RatingFactors
from marquee.model.scorers.stored_scorer import StoredScorer
from marquee.model.string_table import StringTable
from marquee.top_n import PADDING

N_SIMILAR_ITEMS = 50  # similar items stored for each item
N_GENRE_ITEMS = 500  # popular items stored for each favorite genre


@dataclass(frozen=True)
class ServedAlgorithm:
    """Fitted algorithm to serve.

    Attributes:
        algorithm: the fitted algorithm.
        noise: variance of a rating around its estimate, in squared stars; None if it predicts no ratings.
    """

    algorithm: Algorithm
    noise: float | None = None

    def build_stored_scorer(self) -> StoredScorer | None:
        """Return what the algorithm needs to score items; None: its scores need the training set."""
        return self.algorithm.build_stored_scorer(self.noise)

    def build_factors(self) -> RatingFactors | None:
        """Return the factors of a model of ratings; None for another algorithm."""
        stored = self.build_stored_scorer()
        return stored if isinstance(stored, RatingFactors) else None


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
        seen_values=matrix.values.astype(np.float32),
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
    if recommender.algorithm.is_ranker:
        _drop_items_without_evidence(top_items, top_scores)
    return {
        "top_items": top_items,
        "top_scores": top_scores,
        "recommender": recommender.build_stored_scorer(),
        "predictor": None if predictor is None or predictor is recommender else predictor.build_factors(),
    }


def _drop_items_without_evidence(items: Int32Array, scores: Float32Array) -> None:
    """End each list of a ranker before its first score of exactly 0, in place; popular items fill it up.

    Such a score means that nothing is known: the history supports the item by no weight, or the user has no
    positives. Those that follow have equal scores, in the order of hashes, or there is evidence against them.
    """
    is_dropped = np.logical_or.accumulate(scores == 0, axis=1)
    items[is_dropped], scores[is_dropped] = PADDING, np.nan


def _similar_items(matrix: InteractionMatrix) -> ItemLists:
    """Return the most similar items of each item and their similarities, (n_items, N_SIMILAR_ITEMS)."""
    return recommend_from_scorer(
        build_similar_items_scorer(matrix), *_nothing(matrix.n_items), matrix.n_items, N_SIMILAR_ITEMS
    )


def _nothing(n: int) -> tuple[Int64Array, Int32Array]:
    """Return empty lists of seen items for n users."""
    return np.zeros(n + 1, dtype=np.int64), np.zeros(0, dtype=np.int32)
