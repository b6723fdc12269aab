"""What serving needs of a fitted algorithm, as arrays: all that can be computed before anybody asks."""

import numpy as np
import surprise

from marquee.algorithms.item_similarity import co_rating_cosine
from marquee.algorithms.retrieval import best_lists, block_lists
from marquee.algorithms.svd import FactorModel
from marquee.algorithms.threads import ONE_BLAS_THREAD
from marquee.interactions.matrix import RatingMatrix
from marquee.model.arrays import ModelArrays
from marquee.model.factor_space import FactorSpace
from marquee.model.genre_affinity import Tastes
from marquee.model.string_table import StringTable

SIMILAR = 50  # neighbours kept of each item
OF_A_TASTE = 500  # items kept of each taste


def served_arrays(
    algorithm: surprise.AlgoBase,
    matrix: RatingMatrix,
    described: tuple[StringTable, StringTable],
    *,
    n: int,
    noise: float,
) -> ModelArrays:
    """The content of the model that is served.

    Args:
        algorithm: fitted on `matrix`.
        matrix: the training ratings.
        described: titles and genres of the items, in the matrix's order.
        n: length of each user's stored list.
        noise: variance of a rating around the algorithm's estimate, in squared stars.
    """
    titles, genres = described
    items, scores = best_lists(algorithm, matrix.indptr, matrix.items, n)
    nothing = np.zeros(matrix.n_items + 1, dtype=np.int64), np.zeros(0, dtype=np.int32)
    similar, similarities = block_lists(co_rating_cosine(matrix), *nothing, matrix.n_items, SIMILAR)
    counts = matrix.item_counts()
    popular = np.argsort(-counts, kind="stable").astype(np.int32)
    return ModelArrays(
        users=StringTable.of(matrix.user_ids),
        items=StringTable.of(matrix.item_ids),
        titles=titles,
        genres=genres,
        top_items=items,
        top_scores=scores,
        popular_items=popular,
        popular_counts=counts[popular],
        seen_indptr=matrix.indptr,
        seen_items=matrix.items,
        similar_items=similar,
        similarities=similarities,
        taste_items=Tastes.of(genres, counts).lists(matrix.indptr, matrix.items, OF_A_TASTE),
        factors=factor_space(algorithm, noise),
    )


def factor_space(algorithm: surprise.AlgoBase, noise: float) -> FactorSpace | None:
    """The space of a factor model; None for the others.

    Args:
        algorithm: fitted.
        noise: variance of a rating around its estimate, in squared stars.
    """
    if not isinstance(algorithm, FactorModel):
        return None
    trainset = algorithm.trainset
    users = algorithm.user_factors(np.arange(trainset.n_users, dtype=np.int32))
    biased = algorithm.biased
    biases = (algorithm.bi, algorithm.bu) if biased else (np.zeros(len(algorithm.qi)), np.zeros(len(users)))
    offset = float(trainset.global_mean) if biased else 0.0
    with ONE_BLAS_THREAD:  # a sum that is split over threads may end in another last bit
        return FactorSpace.of((algorithm.qi, biases[0]), (users, biases[1]), offset, noise)
