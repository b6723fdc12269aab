"""The doors between scikit-surprise's data and ours: training sets both ways, and test sets.

RatingMatrix  --MatrixTrainset-->  what Surprise calls a Trainset (its dictionaries made when asked for)
Trainset      --matrix_of------->  RatingMatrix (converted once)
"""

from collections import defaultdict
from functools import cached_property
from itertools import chain, pairwise
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import surprise

from marquee.arrays import Floats, Indices, Scale
from marquee.errors import DataError
from marquee.interactions.matrix import (
    DEFAULT_SCALE,
    ITEM,
    RATING,
    USER,
    Grouped,
    Ids,
    RatingMatrix,
    check_values,
)

Trainset: TypeAlias = surprise.Trainset
Testset = list[tuple[Any, Any, float]]
Lists: TypeAlias = defaultdict[int, list[tuple[int, float]]]

_converted: "WeakKeyDictionary[Trainset, RatingMatrix]" = WeakKeyDictionary()


class MatrixTrainset(Trainset):  # type: ignore[misc]
    """A `RatingMatrix` where scikit-surprise expects its `Trainset`.

    The lists of tuples, which take 200 bytes a rating, are only made for those who ask for them.
    """

    def __init__(self, matrix: RatingMatrix) -> None:
        self.matrix = matrix
        self.n_users, self.n_items = matrix.n_users, matrix.n_items
        self.n_ratings = len(matrix.values)
        self.rating_scale = matrix.scale
        self._raw2inner_id_users = {raw: inner for inner, raw in enumerate(matrix.user_ids)}
        self._raw2inner_id_items = {raw: inner for inner, raw in enumerate(matrix.item_ids)}
        self._inner2raw_id_users = self._inner2raw_id_items = None
        self._global_mean: float | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle holds: not the lists, which are made again when asked for."""
        return {key: value for key, value in vars(self).items() if key not in {"ur", "ir"}}

    @cached_property
    def ur(self) -> Lists:
        """The ratings of each user: {user: [(item, rating), ...]}."""
        return _lists(self.matrix.by_user)

    @cached_property
    def ir(self) -> Lists:
        """The ratings of each item: {item: [(user, rating), ...]}."""
        return _lists(self.matrix.by_item)

    def knows_user(self, uid: object) -> bool:
        """Whether that is the inner id of a user."""
        return isinstance(uid, int | np.integer) and bool(0 <= uid < self.n_users)

    def knows_item(self, iid: object) -> bool:
        """Whether that is the inner id of an item."""
        return isinstance(iid, int | np.integer) and bool(0 <= iid < self.n_items)

    @property
    def global_mean(self) -> float:
        """The mean of all ratings."""
        if self._global_mean is None:
            self._global_mean = float(np.mean(self.matrix.values))
        return self._global_mean


def trainset_of(ratings: pd.DataFrame, scale: Scale = DEFAULT_SCALE) -> MatrixTrainset:
    """The training set that `surprise.Dataset` would build from these rows, in the same order.

    Raises:
        DataError: there is no rating, or one that is NaN or infinite.
    """
    return MatrixTrainset(RatingMatrix.from_frame(ratings, scale))


def as_trainset(data: Trainset | RatingMatrix) -> Trainset:
    """Whatever an algorithm may be fitted on, as a training set."""
    return MatrixTrainset(data) if isinstance(data, RatingMatrix) else data


def matrix_of(trainset: Trainset) -> RatingMatrix:
    """The arrays of a training set. One of Surprise's own is converted the first time only.

    Raises:
        DataError: there is no rating, or one that is NaN or infinite.
    """
    if isinstance(trainset, MatrixTrainset):
        return trainset.matrix
    if trainset not in _converted:
        _converted[trainset] = _convert(trainset)
    return _converted[trainset]


def testset_of(ratings: pd.DataFrame) -> Testset:
    """Rows as scikit-surprise tests them: raw user, raw item, true rating."""
    values = ratings[RATING].to_numpy(dtype=np.float64).tolist()
    return list(zip(ratings[USER].tolist(), ratings[ITEM].tolist(), values, strict=True))


def _convert(trainset: Trainset) -> RatingMatrix:
    rows = _grouped(trainset.ur, trainset.n_users)
    columns = _grouped(trainset.ir, trainset.n_items)
    check_values(rows.values)
    return RatingMatrix(
        rows.indptr,
        rows.others,
        rows.values,
        _ids(trainset._raw2inner_id_users),
        _ids(trainset._raw2inner_id_items),
        columns,
        trainset.rating_scale,
    )


def _grouped(lists: Lists, n_groups: int) -> Grouped:
    """Surprise's lists of tuples as arrays."""
    groups = [lists[group] for group in range(n_groups)]
    indptr: Indices = np.zeros(n_groups + 1, dtype=np.int64)
    np.cumsum([len(group) for group in groups], out=indptr[1:])
    numbers = chain.from_iterable(chain.from_iterable(groups))
    try:
        pairs: Floats = np.fromiter(numbers, np.float64, 2 * indptr[-1]).reshape(-1, 2)
    except (TypeError, ValueError) as error:
        raise DataError(f"the training set holds a rating that is not a number ({error})") from None
    return Grouped(indptr, pairs[:, 0].astype(np.int32), np.ascontiguousarray(pairs[:, 1]))


def _ids(raw_to_inner: dict[Any, int]) -> Ids:
    """Raw ids in the order of the inner ones."""
    return tuple(sorted(raw_to_inner, key=raw_to_inner.__getitem__))


def _lists(side: Grouped) -> Lists:
    """{group: [(other, rating), ...]}, groups in order."""
    pairs = list(zip(side.others.tolist(), side.values.tolist(), strict=True))
    bounds = side.indptr.tolist()
    groups: Lists = defaultdict(list)
    for group, (start, stop) in enumerate(pairwise(bounds)):
        groups[group] = pairs[start:stop]
    return groups
