"""Folds are scikit-surprise's own, and the future stays in the test part."""

import numpy as np
import pandas as pd
import pytest
import surprise
from hypothesis import given
from hypothesis import strategies as st
from surprise.model_selection import KFold

from marquee.errors import DataError
from marquee.interactions.splitting import check_folds, folds_of, random_holdout, shuffled, time_holdout


@pytest.mark.parametrize(("n_rows", "n_folds", "seed"), [(10, 3, 0), (101, 5, 42), (7, 7, 1)])
def test_folds_are_those_of_surprise(n_rows: int, n_folds: int, seed: int) -> None:
    frame = pd.DataFrame({"u": range(n_rows), "i": [f"i{r}" for r in range(n_rows)], "r": 3.0})
    data = surprise.Dataset.load_from_df(frame, surprise.Reader())
    ours = list(folds_of(shuffled(n_rows, seed), n_folds))
    for (trainset, testset), fold in zip(KFold(n_folds, random_state=seed).split(data), ours, strict=True):
        assert [user for user, _, _ in testset] == fold.test.tolist()
        assert [trainset.to_raw_uid(u) for u in trainset.all_users()] == fold.train.tolist()


@given(st.integers(2, 200), st.integers(2, 10), st.integers(0, 2**31 - 1))
def test_every_row_is_tested_exactly_once(n_rows: int, n_folds: int, seed: int) -> None:
    folds = list(folds_of(shuffled(n_rows, seed), min(n_folds, n_rows)))
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(n_rows))
    for fold in folds:
        assert sorted(np.concatenate([fold.train, fold.test])) == list(range(n_rows))


def test_a_random_holdout_keeps_the_source_order_and_the_share() -> None:
    parts = random_holdout(100, 0.2, seed=1)
    assert len(parts.test) == 20
    assert parts.train.tolist() == sorted(parts.train)
    assert sorted([*parts.train, *parts.test]) == list(range(100))


def test_no_training_rating_is_later_than_a_test_rating() -> None:
    when = np.array([5, 1, 9, 3, 7, 9, 2, 8, 4, 6])
    parts = time_holdout(when, 0.3)
    assert when[parts.train].max() < when[parts.test].min()
    assert parts.test.tolist() == [2, 5, 7]


def test_ratings_of_one_second_are_never_torn_apart() -> None:
    parts = time_holdout(np.array([1, 2, 9, 9, 9]), 0.2)
    assert parts.test.tolist() == [2, 3, 4]


def test_ratings_without_a_past_cannot_be_split_by_time() -> None:
    with pytest.raises(DataError, match=r"set split\.strategy to random"):
        time_holdout(np.full(5, 7), 0.2)


def test_more_folds_than_ratings_are_refused() -> None:
    with pytest.raises(DataError, match="2 training ratings cannot make 3 folds"):
        check_folds(2, 3)
