"""Folds equal those of scikit-surprise; in a split by time, test ratings are later than training ratings."""

import numpy as np
import pandas as pd
import pytest
import surprise
from hypothesis import given
from hypothesis import strategies as st
from surprise.model_selection import KFold

from marquee.errors import DataError
from marquee.interactions.splitting import (
    check_fold_count,
    shuffle_rows,
    split_at_random,
    split_by_time,
    split_for_cross_validation,
)


@pytest.mark.parametrize(("n_rows", "n_folds", "seed"), [(10, 3, 0), (101, 5, 42), (7, 7, 1)])
def test_folds_equal_those_of_surprise(n_rows: int, n_folds: int, seed: int) -> None:
    frame = pd.DataFrame({"u": range(n_rows), "i": [f"i{row}" for row in range(n_rows)], "r": 3.0})
    data = surprise.Dataset.load_from_df(frame, surprise.Reader())
    splits = list(split_for_cross_validation(shuffle_rows(n_rows, seed), n_folds))
    for (trainset, testset), split in zip(KFold(n_folds, random_state=seed).split(data), splits, strict=True):
        assert [user for user, _, _ in testset] == split.test.tolist()
        assert [trainset.to_raw_uid(user) for user in trainset.all_users()] == split.train.tolist()


@given(st.integers(2, 200), st.integers(2, 10), st.integers(0, 2**31 - 1))
def test_every_row_is_in_exactly_one_test_part(n_rows: int, n_folds: int, seed: int) -> None:
    splits = list(split_for_cross_validation(shuffle_rows(n_rows, seed), min(n_folds, n_rows)))
    assert sorted(np.concatenate([split.test for split in splits])) == list(range(n_rows))
    for split in splits:
        assert sorted(np.concatenate([split.train, split.test])) == list(range(n_rows))


def test_random_split_keeps_source_order_and_test_share() -> None:
    split = split_at_random(100, 0.2, seed=1)
    assert len(split.test) == 20
    assert split.train.tolist() == sorted(split.train)
    assert sorted([*split.train, *split.test]) == list(range(100))


def test_split_by_time_trains_on_ratings_before_the_test_part() -> None:
    times = np.array([5, 1, 9, 3, 7, 9, 2, 8, 4, 6])
    split = split_by_time(times, 0.3)
    assert times[split.train].max() < times[split.test].min()
    assert split.test.tolist() == [2, 5, 7]


def test_ratings_with_equal_timestamps_stay_together() -> None:
    split = split_by_time(np.array([1, 2, 9, 9, 9]), 0.2)
    assert split.test.tolist() == [2, 3, 4]


def test_single_timestamp_cannot_be_split_by_time() -> None:
    with pytest.raises(DataError, match=r"set split\.strategy to random"):
        split_by_time(np.full(5, 7), 0.2)


def test_more_folds_than_ratings_are_rejected() -> None:
    with pytest.raises(DataError, match="2 training ratings cannot be split into 3 folds"):
        check_fold_count(2, 3)
