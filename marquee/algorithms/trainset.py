"""Conversions between scikit-surprise's data sets and interaction matrices.

InteractionMatrix  ──MatrixTrainset─────────►  Trainset           Surprise's lists are built on first access
Trainset           ──as_interaction_matrix──►  InteractionMatrix  converted once per training set
"""

from collections import defaultdict
from functools import cached_property
from itertools import chain, pairwise
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import surprise

from marquee.array_types import Float64Array, Int64Array, RatingScale
from marquee.errors import DataError
from marquee.interactions.columns import ITEM, RATING, USER
from marquee.interactions.matrix import (
    DEFAULT_SCALE,
    Ids,
    InteractionMatrix,
    SparseRows,
    check_rating_values,
)

Trainset: TypeAlias = surprise.Trainset
Testset: TypeAlias = list[tuple[Any, Any, float]]  # raw user, raw item, true rating
RatingLists: TypeAlias = defaultdict[int, list[tuple[int, float]]]

_matrix_cache: "WeakKeyDictionary[Trainset, InteractionMatrix]" = WeakKeyDictionary()


class MatrixTrainset(Trainset):  # type: ignore[misc]
    """An interaction matrix with the interface of Surprise's `Trainset`.

    The lists of tuples `ur` and `ir` need 200 bytes per rating, so they are built on first access.
    """

    def __init__(self, matrix: InteractionMatrix) -> None:
        self.matrix = matrix
        self.n_users, self.n_items = matrix.n_users, matrix.n_items
        self.n_ratings = len(matrix.values)
        self.rating_scale = matrix.scale
        self._raw2inner_id_users = {raw: inner for inner, raw in enumerate(matrix.user_ids)}
        self._raw2inner_id_items = {raw: inner for inner, raw in enumerate(matrix.item_ids)}
        self._inner2raw_id_users = self._inner2raw_id_items = None
        self._global_mean: float | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the lists `ur` and `ir`, which are built again on access."""
        return {key: value for key, value in vars(self).items() if key not in {"ur", "ir"}}

    @cached_property
    def ur(self) -> RatingLists:
        """Ratings by user: {user: [(item, rating), ...]}."""
        return _to_lists(self.matrix.by_user)

    @cached_property
    def ir(self) -> RatingLists:
        """Ratings by item: {item: [(user, rating), ...]}."""
        return _to_lists(self.matrix.by_item)

    def knows_user(self, uid: object) -> bool:
        """Return True if `uid` is the inner id of a user."""
        return isinstance(uid, int | np.integer) and bool(0 <= uid < self.n_users)

    def knows_item(self, iid: object) -> bool:
        """Return True if `iid` is the inner id of an item."""
        return isinstance(iid, int | np.integer) and bool(0 <= iid < self.n_items)

    @property
    def global_mean(self) -> float:
        """Mean of all ratings."""
        if self._global_mean is None:
            self._global_mean = float(np.mean(self.matrix.values))
        return self._global_mean


def build_trainset(ratings: pd.DataFrame, scale: RatingScale = DEFAULT_SCALE) -> MatrixTrainset:
    """Build the training set that `surprise.Dataset` would build from these rows, in the same order.

    Raises:
        DataError: there are no ratings, or a rating is NaN or infinite.
    """
    return MatrixTrainset(InteractionMatrix.from_frame(ratings, scale))


def build_testset(ratings: pd.DataFrame) -> Testset:
    """Build a Surprise test set: rows of raw user id, raw item id and true rating."""
    values = ratings[RATING].to_numpy(dtype=np.float64).tolist()
    return list(zip(ratings[USER].tolist(), ratings[ITEM].tolist(), values, strict=True))


def as_trainset(data: Trainset | InteractionMatrix) -> Trainset:
    """Return the argument of `fit` as a training set."""
    return MatrixTrainset(data) if isinstance(data, InteractionMatrix) else data


def as_interaction_matrix(trainset: Trainset) -> InteractionMatrix:
    """Return a training set as an interaction matrix; the matrix of a Surprise training set is cached.

    Raises:
        DataError: there are no ratings, or a rating is NaN or infinite.
    """
    if isinstance(trainset, MatrixTrainset):
        return trainset.matrix
    if trainset not in _matrix_cache:
        _matrix_cache[trainset] = _to_matrix(trainset)
    return _matrix_cache[trainset]


def _to_matrix(trainset: Trainset) -> InteractionMatrix:
    rows = _to_sparse_rows(trainset.ur, trainset.n_users)
    columns = _to_sparse_rows(trainset.ir, trainset.n_items)
    check_rating_values(rows.values)
    return InteractionMatrix(
        rows.indptr,
        rows.indices,
        rows.values,
        _sorted_raw_ids(trainset._raw2inner_id_users),
        _sorted_raw_ids(trainset._raw2inner_id_items),
        columns,
        trainset.rating_scale,
    )


def _to_sparse_rows(lists: RatingLists, n_rows: int) -> SparseRows:
    """Convert Surprise's lists of (id, rating) tuples to arrays."""
    rows = [lists[row] for row in range(n_rows)]
    indptr: Int64Array = np.zeros(n_rows + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=indptr[1:])
    numbers = chain.from_iterable(chain.from_iterable(rows))
    try:
        pairs: Float64Array = np.fromiter(numbers, np.float64, 2 * indptr[-1]).reshape(-1, 2)
    except (TypeError, ValueError) as error:
        raise DataError(f"the training set contains a rating that is not a number ({error})") from None
    return SparseRows(indptr, pairs[:, 0].astype(np.int32), np.ascontiguousarray(pairs[:, 1]))


def _to_lists(side: SparseRows) -> RatingLists:
    """Convert arrays to Surprise's lists: {row: [(id, rating), ...]}, rows in order."""
    pairs = list(zip(side.indices.tolist(), side.values.tolist(), strict=True))
    lists: RatingLists = defaultdict(list)
    for row, (start, stop) in enumerate(pairwise(side.indptr.tolist())):
        lists[row] = pairs[start:stop]
    return lists


def _sorted_raw_ids(raw_to_inner: dict[Any, int]) -> Ids:
    """Return the raw ids in the order of their inner ids."""
    return tuple(sorted(raw_to_inner, key=raw_to_inner.__getitem__))
