"""Train/test splits and cross-validation folds, as row numbers."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from marquee.array_types import Int64Array
from marquee.errors import DataError


@dataclass(frozen=True)
class TrainTestSplit:
    """Row numbers of the training and the test part."""

    train: Int64Array
    test: Int64Array


def shuffle_rows(n_rows: int, seed: int) -> Int64Array:
    """Return row numbers in the order of `surprise.model_selection.KFold(random_state=seed)`.

    The legacy `RandomState` is used because a `Generator` would shuffle differently.
    """
    rows = np.arange(n_rows)
    np.random.RandomState(seed).shuffle(rows)
    return rows


def split_for_cross_validation(order: Int64Array, n_folds: int) -> Iterator[TrainTestSplit]:
    """Cut shuffled rows into consecutive folds; yield a split for each fold, with that fold as its test part.

    Both parts keep the shuffled order, as in scikit-surprise: it determines inner ids and the order in which
    gradient descent visits ratings.

    >>> [split.test.tolist() for split in split_for_cross_validation(np.array([3, 0, 2, 1]), n_folds=2)]
    [[3, 0], [2, 1]]
    """
    for fold in np.array_split(np.arange(len(order)), n_folds):
        start, stop = fold[0], fold[-1] + 1
        yield TrainTestSplit(np.concatenate([order[:start], order[stop:]]), order[start:stop])


def check_fold_count(n_rows: int, n_folds: int) -> None:
    """Check that every fold has at least one row.

    Raises:
        DataError: there are fewer rows than folds.
    """
    if n_rows < n_folds:
        raise DataError(
            f"{n_rows} training ratings cannot be split into {n_folds} folds: reduce split.folds or add data"
        )


def split_at_random(n_rows: int, test_share: float, seed: int) -> TrainTestSplit:
    """Hold out a random share of the rows; both parts stay in source order."""
    n_test = max(1, round(n_rows * test_share))
    rows = shuffle_rows(n_rows, seed)
    return TrainTestSplit(np.sort(rows[n_test:]), np.sort(rows[:n_test]))


def split_by_time(timestamps: Int64Array, test_share: float) -> TrainTestSplit:
    """Hold out all ratings from a cutoff onward; both parts stay in source order.

    The cutoff is the latest timestamp with at least `test_share` of the rows at or after it. Rows with equal
    timestamps are never separated; otherwise training data could be as late as test data.

    Raises:
        DataError: no row is earlier than the cutoff.

    >>> split_by_time(np.array([10, 30, 20, 30]), test_share=0.25).test.tolist()
    [1, 3]
    """
    n_test = max(1, round(len(timestamps) * test_share))
    cutoff = np.partition(timestamps, -n_test)[-n_test]
    in_test = timestamps >= cutoff
    if in_test.all():
        raise DataError(
            "the ratings cannot be split by time, because too many of them share a timestamp; "
            "set split.strategy to random"
        )
    return TrainTestSplit(np.flatnonzero(~in_test), np.flatnonzero(in_test))
