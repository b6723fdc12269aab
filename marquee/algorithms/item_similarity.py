"""Items that the same people rated: what "similar" means to somebody who looks at an item.

One measure for every algorithm, so that a change of algorithm does not change what is called similar.
"""

import numpy as np
from scipy.sparse import csr_matrix

from marquee.arrays import Floats, Integers, ScoreBlock
from marquee.interactions.matrix import RatingMatrix

SHRINKAGE = 10  # co-raters' weight against chance: two items that one person rated are not neighbours yet


def co_rating_cosine(matrix: RatingMatrix) -> ScoreBlock:
    r"""Similarity of all items to a block of items, by who rated both.

    .. math:: \frac{|U_i \cap U_j|}{\sqrt{|U_i| |U_j|}} \cdot \frac{|U_i \cap U_j|}{|U_i \cap U_j| + \beta}

    An item is not similar to itself, nor to one that nobody rated with it: both get minus infinity.
    The shrinkage is that of Bell and Koren (2007).

    Returns:
        a function from item numbers, shape (n,), to similarities, shape (n, n_items).
    """
    ones = np.ones(len(matrix.items), dtype=np.float32)
    by_user = csr_matrix((ones, matrix.items, matrix.indptr), shape=(matrix.n_users, matrix.n_items))
    by_user.sum_duplicates()
    by_user.data[:] = 1  # who rated an item twice is one person
    by_item = by_user.T.tocsr()
    norms = np.sqrt(np.maximum(np.diff(by_item.indptr), 1))

    def score(items: Integers) -> Floats:
        both = np.asarray((by_item[items] @ by_user).todense(), dtype=np.float64)
        similar: Floats = both / norms[items, None] / norms * (both / (both + SHRINKAGE))
        similar[both == 0] = -np.inf
        similar[np.arange(len(items)), items] = -np.inf
        return similar

    return score
