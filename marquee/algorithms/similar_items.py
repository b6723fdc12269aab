"""Item similarity by common raters, for the "similar items" of the served model.

The similarity does not depend on the algorithm, so similar items stay the same when the algorithm changes.
"""

import numpy as np
from scipy.sparse import csr_matrix

from marquee.array_types import BlockScorer, Float64Array, Int32Array
from marquee.interactions.matrix import InteractionMatrix

SHRINKAGE = 10  # number of common raters at which the similarity is halved: with few, it may be due to chance


def build_similar_items_scorer(matrix: InteractionMatrix) -> BlockScorer:
    r"""Return a function that computes the similarity of all items to each item of a block.

    .. math:: \frac{|U_i \cap U_j|}{\sqrt{|U_i| |U_j|}} \cdot \frac{|U_i \cap U_j|}{|U_i \cap U_j| + \beta}

    An item has similarity minus infinity to itself and to items without a common rater. Shrinkage as in Bell
    and Koren (2007).

    Returns:
        Function from inner item ids, shape (n,), to similarities, shape (n, n_items).
    """
    ones = np.ones(len(matrix.items), dtype=np.float32)
    shape = (matrix.n_users, matrix.n_items)
    # SciPy would share the arrays, and `sum_duplicates` would sort those of the interaction matrix.
    by_user = csr_matrix((ones, matrix.items, matrix.indptr), shape=shape, copy=True)
    by_user.sum_duplicates()
    by_user.data[:] = 1  # a user who rated an item twice is one rater
    by_item = by_user.T.tocsr()
    norms = np.sqrt(np.maximum(np.diff(by_item.indptr), 1))

    def score(items: Int32Array) -> Float64Array:
        common = np.asarray((by_item[items] @ by_user).todense(), dtype=np.float64)
        similarities: Float64Array = common / norms[items, None] / norms * (common / (common + SHRINKAGE))
        similarities[common == 0] = -np.inf
        similarities[np.arange(len(items)), items] = -np.inf
        return similarities

    return score
