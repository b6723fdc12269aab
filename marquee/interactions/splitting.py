"""What is held out, and how the rest is folded: row numbers only, never the ratings themselves."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from marquee.arrays import Indices
from marquee.errors import DataError


@dataclass(frozen=True)
class Fold:
    """Row numbers of one fold, in the order in which scikit-surprise would see them."""

    train: Indices
    test: Indices


def shuffled(n_rows: int, seed: int) -> Indices:
    """Rows in the order of `surprise.model_selection.KFold(random_state=seed)`.

    The legacy `RandomState` is used on purpose: a `Generator` shuffles differently, and these
    folds are promised to be scikit-surprise's own.
    """
    rows = np.arange(n_rows)
    np.random.RandomState(seed).shuffle(rows)
    return rows


def folds_of(order: Indices, n_folds: int) -> Iterator[Fold]:
    """Cut shuffled rows into k consecutive parts; each is the test part once.

    The training rows keep the shuffled order (as in scikit-surprise), for that is the order in
    which users and items are numbered and gradient descent visits them.
    """
    for part in np.array_split(np.arange(len(order)), n_folds):
        start, stop = part[0], part[-1] + 1
        yield Fold(np.concatenate([order[:start], order[stop:]]), order[start:stop])


def check_folds(n_rows: int, n_folds: int) -> None:
    """Refuse more folds than rows."""
    if n_rows < n_folds:
        raise DataError(
            f"{n_rows} training ratings cannot make {n_folds} folds: set split.folds lower, or bring more"
        )


def random_holdout(n_rows: int, test_share: float, seed: int) -> Fold:
    """Hold out a random share of the rows; both parts in source order."""
    n_test = max(1, round(n_rows * test_share))
    rows = shuffled(n_rows, seed)
    return Fold(np.sort(rows[n_test:]), np.sort(rows[:n_test]))


def time_holdout(timestamps: Indices, test_share: float) -> Fold:
    """Hold out every rating from one global point in time on; both parts in source order.

    The point is the latest that leaves at least `test_share` of the rows after it. Rows of one
    second are never torn apart, for then the past would contain the present.

    Raises:
        DataError: no row is earlier than that point.
    """
    n_test = max(1, round(len(timestamps) * test_share))
    cut = np.partition(timestamps, -n_test)[-n_test]
    later = timestamps >= cut
    if later.all():
        raise DataError(
            "no point in time separates training from test: the ratings share too few timestamps; "
            "set split.strategy to random"
        )
    return Fold(np.flatnonzero(~later), np.flatnonzero(later))
