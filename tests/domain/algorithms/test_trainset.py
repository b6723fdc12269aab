"""Surprise's training sets and ours: the same lists, both ways."""

import pickle

import numpy as np
import pytest
import surprise
from hypothesis import given, settings

from marquee.algorithms.trainset import MatrixTrainset, as_trainset, matrix_of
from marquee.algorithms.trainset import testset_of as rows_of  # pytest would collect it by its name
from marquee.errors import DataError
from marquee.interactions.matrix import RatingMatrix
from tests.support.sampled_data import Drawn, drawn, rating_sets


@settings(deadline=None, max_examples=50)
@given(data=rating_sets())
def test_a_matrix_shows_the_lists_that_surprise_builds(data: Drawn) -> None:
    ours, theirs = MatrixTrainset(data.matrix), data.trainset
    assert list(ours.all_ratings()) == list(theirs.all_ratings())
    assert dict(ours.ir) == dict(theirs.ir)
    assert list(ours.ir) == list(theirs.ir)
    assert [ours.to_raw_iid(i) for i in ours.all_items()] == [
        theirs.to_raw_iid(i) for i in theirs.all_items()
    ]
    assert ours.global_mean == theirs.global_mean
    assert ours.rating_scale == theirs.rating_scale
    assert set(ours.build_anti_testset()) == set(theirs.build_anti_testset())


@settings(deadline=None, max_examples=50)
@given(data=rating_sets())
def test_a_training_set_of_surprise_becomes_the_same_matrix(data: Drawn) -> None:
    converted = matrix_of(data.trainset)
    assert converted.user_ids == data.matrix.user_ids
    assert converted.item_ids == data.matrix.item_ids
    for ours, theirs in ((data.matrix.by_user, converted.by_user), (data.matrix.by_item, converted.by_item)):
        np.testing.assert_array_equal(ours.indptr, theirs.indptr)
        np.testing.assert_array_equal(ours.others, theirs.others)
        np.testing.assert_array_equal(ours.values, theirs.values)


def test_it_is_converted_once() -> None:
    trainset = drawn(1, n_users=5, n_items=5, n_ratings=10).trainset
    assert matrix_of(trainset) is matrix_of(trainset)


def test_inner_and_unknown_ids() -> None:
    data = drawn(1, n_users=5, n_items=5, n_ratings=10)
    ours = as_trainset(data.matrix)
    assert ours.knows_user(0)
    assert ours.knows_item(np.int32(0))
    assert not ours.knows_user(ours.n_users)
    assert not ours.knows_item("UKN__x")
    with pytest.raises(ValueError, match="not part of the trainset"):
        ours.to_inner_uid("nobody")
    assert as_trainset(data.trainset) is data.trainset


def test_a_pickle_holds_the_arrays_and_not_the_lists() -> None:
    ours = MatrixTrainset(drawn(1, n_users=30, n_items=30, n_ratings=400).matrix)
    lean = len(pickle.dumps(ours))
    assert len(ours.ur) == ours.n_users
    assert len(pickle.dumps(ours)) == lean
    assert list(pickle.loads(pickle.dumps(ours)).all_ratings()) == list(ours.all_ratings())


def test_a_training_set_without_ratings_is_refused() -> None:
    empty = surprise.Trainset({}, {}, 0, 0, 0, (1, 5), {}, {})
    with pytest.raises(DataError, match="empty"):
        matrix_of(empty)


def test_ratings_that_are_text_are_refused() -> None:
    text = surprise.Trainset({0: [(0, "five")]}, {0: [(0, "five")]}, 1, 1, 1, (1, 5), {"a": 0}, {"x": 0})
    with pytest.raises(DataError, match="not a number"):
        matrix_of(text)


def test_a_test_set_is_rows_of_raw_ids() -> None:
    data = drawn(1, n_users=3, n_items=3, n_ratings=2)
    assert rows_of(data.frame)[-1] == ("only one", 3, data.frame["rating"].iloc[-1])
    assert isinstance(data.matrix, RatingMatrix)
