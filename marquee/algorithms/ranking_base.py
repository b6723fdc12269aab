"""What every ranking model is: it orders items and predicts no rating.

    Ranker                     which ratings are positives; scores of pairs from scores of blocks of users
    ├── Popularity, EASE           popularity.py, ease.py
    └── ImplicitALS, ImplicitBPR   implicit_feedback.py; they train by epochs as well

Scores have no scale: the higher of two is the better item for that user, and that is all they say.
"""

from typing import ClassVar

import numpy as np
import scipy.sparse

from marquee.algorithms.base import Algorithm, Estimates, inner_ids
from marquee.algorithms.parameters import require_number
from marquee.arrays import Floats, Integers, Mask
from marquee.errors import DataError
from marquee.interactions.matrix import RatingMatrix

BLOCK = 256  # users at a time


class Ranker(Algorithm):
    """An algorithm that learns from positives which items a user would choose next.

    Every rating of at least `threshold` is a positive; how high it is does not matter beyond that.
    `score` and `score_all` give ranking scores. Ratings are impossible to predict: `predict` and `test`
    say so for every pair and fall back to the global mean, as for any impossible prediction.

    A user or item that training did not see has no history and no factors. What is then left is its
    score: the counts of Popularity, the item biases of ImplicitBPR, and 0 of the others; an unknown
    item scores 0.
    """

    ranks: ClassVar[bool] = True
    threshold: float | None = None

    def score(self, users: Integers, items: Integers) -> Floats:
        """Ranking scores of pairs of inner ids, shape (n,): those of `score_all`."""
        users = inner_ids(users, self.trainset.n_users)
        items = inner_ids(items, self.trainset.n_items)
        scores = np.zeros(len(users))
        known = np.flatnonzero(items >= 0)
        known = known[np.argsort(users[known], kind="stable")]
        asked, rows = np.unique(users[known], return_inverse=True)
        for start in range(0, len(asked), BLOCK):
            first, last = np.searchsorted(rows, (start, start + BLOCK))
            pairs = known[first:last]
            block = self.score_all(asked[start : start + BLOCK])
            scores[pairs] = block[rows[first:last] - start, items[pairs]]
        return scores

    def score_all(self, users: Integers) -> Floats:
        """Ranking scores of every item for each of these users, shape (len(users), n_items)."""
        raise NotImplementedError

    def _estimate_pairs(self, users: Integers, items: Integers) -> Estimates:  # noqa: ARG002  none is possible
        return Estimates(np.zeros(len(users)), np.ones(len(users), dtype=np.bool_))

    def _reason(self, user: int, item: int) -> str:  # noqa: ARG002  the same for every pair
        return f"{type(self).__name__} ranks items and predicts no rating."

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.threshold is not None:
            require_number(self, "threshold", least=-np.inf)

    def _positives(self, matrix: RatingMatrix, dtype: str) -> scipy.sparse.csr_array:
        """Ones where a user has a positive, shape (n_users, n_items); items of a user in order.

        Raises:
            DataError: no rating reaches the threshold.
        """
        positives = self._history(matrix, np.arange(matrix.n_users, dtype=np.int32), dtype)
        if not positives.nnz:
            raise DataError(
                f"{type(self).__name__}: no rating reaches threshold={self.threshold!r}, the highest is "
                f"{matrix.values.max():g}: lower the threshold"
            )
        return positives

    def _history(self, matrix: RatingMatrix, users: Integers, dtype: str) -> scipy.sparse.csr_array:
        """The rows of `_positives` of these users, `UNKNOWN` included: such a row is empty."""
        begins = matrix.indptr[users]
        counts = np.where(users >= 0, matrix.indptr[users + 1] - begins, 0)
        indptr = np.concatenate([[0], np.cumsum(counts)])
        places = np.repeat(begins - indptr[:-1], counts) + np.arange(indptr[-1])
        if self.threshold is not None:
            kept: Mask = matrix.values[places] >= self.threshold
            indptr = np.concatenate([[0], np.cumsum(kept)])[indptr]
            places = places[kept]
        ones = np.ones(len(places), dtype=dtype)
        narrow = np.int32 if len(places) <= np.iinfo(np.int32).max else np.int64
        parts = ones, matrix.items[places].astype(narrow, copy=False), indptr.astype(narrow, copy=False)
        history = scipy.sparse.csr_array(parts, shape=(len(users), matrix.n_items))
        history.sum_duplicates()  # who rated an item twice has still one history of it
        history.data[:] = 1
        return history
