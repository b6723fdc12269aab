"""Arrays of the served model, computed from a fitted algorithm: lists, similar items, factors."""

import numpy as np
import surprise

from marquee.algorithms.similar_items import build_item_similarity_scorer
from marquee.algorithms.svd import FactorModel
from marquee.algorithms.top_n_retrieval import ItemLists, recommend_from_algorithm, recommend_from_scorer
from marquee.interactions.matrix import InteractionMatrix
from marquee.model.factor_space import FactorSpace
from marquee.model.genre_affinity import GenreAffinity
from marquee.model.model_arrays import ModelArrays
from marquee.model.string_table import StringTable

N_SIMILAR_ITEMS = 50  # similar items stored for each item
N_GENRE_ITEMS = 500  # popular items stored for each favorite genre


def build_model_arrays(
    algorithm: surprise.AlgoBase,
    matrix: InteractionMatrix,
    titles_and_genres: tuple[StringTable, StringTable],
    *,
    n: int,
    noise: float,
) -> ModelArrays:
    """Compute the arrays of the served model.

    Args:
        algorithm: algorithm fitted on `matrix`.
        matrix: training ratings.
        titles_and_genres: titles and genres of the items, by inner id.
        n: length of each user's stored list.
        noise: variance of a rating around the algorithm's estimate, in squared stars.
    """
    titles, genres = titles_and_genres
    top_items, top_scores = recommend_from_algorithm(algorithm, matrix.indptr, matrix.items, n)
    similar_items, similarities = _similar_items(matrix)
    counts = matrix.item_counts()
    popular_items = np.argsort(-counts, kind="stable").astype(np.int32)
    affinity = GenreAffinity.from_item_genres(genres, counts)
    return ModelArrays(
        users=StringTable.from_strings(matrix.user_ids),
        items=StringTable.from_strings(matrix.item_ids),
        titles=titles,
        genres=genres,
        top_items=top_items,
        top_scores=top_scores,
        popular_items=popular_items,
        popular_counts=counts[popular_items],
        seen_indptr=matrix.indptr,
        seen_items=matrix.items,
        similar_items=similar_items,
        similarities=similarities,
        group_items=affinity.popular_items_by_favorite_genre(matrix.indptr, matrix.items, N_GENRE_ITEMS),
        factors=build_factor_space(algorithm, noise),
    )


def build_factor_space(algorithm: surprise.AlgoBase, noise: float) -> FactorSpace | None:
    """Return the factor space of a factor model, or None for other algorithms.

    Args:
        algorithm: fitted algorithm.
        noise: variance of a rating around the algorithm's estimate, in squared stars.
    """
    return algorithm.build_factor_space(noise) if isinstance(algorithm, FactorModel) else None


def _similar_items(matrix: InteractionMatrix) -> ItemLists:
    """Return the most similar items of each item and their similarities, (n_items, N_SIMILAR_ITEMS)."""
    nothing_seen = np.zeros(matrix.n_items + 1, dtype=np.int64), np.zeros(0, dtype=np.int32)
    return recommend_from_scorer(
        build_item_similarity_scorer(matrix), *nothing_seen, matrix.n_items, N_SIMILAR_ITEMS
    )
