"""Conversion between Surprise's training sets and interaction matrices."""

import pickle

import numpy as np
import pytest
import surprise
from hypothesis import given, settings

from marquee.algorithms.trainset import MatrixTrainset, as_interaction_matrix, as_trainset, build_testset
from marquee.errors import DataError
from tests.support.rating_samples import RatingSample, rating_samples, sample_ratings


@settings(deadline=None, max_examples=50)
@given(data=rating_samples())
def test_matrix_trainset_equals_that_of_surprise(data: RatingSample) -> None:
    trainset, expected = MatrixTrainset(data.matrix), data.trainset
    assert list(trainset.all_ratings()) == list(expected.all_ratings())
    assert dict(trainset.ir) == dict(expected.ir)
    assert list(trainset.ir) == list(expected.ir)
    raw_items = [trainset.to_raw_iid(item) for item in trainset.all_items()]
    assert raw_items == [expected.to_raw_iid(item) for item in expected.all_items()]
    assert trainset.global_mean == expected.global_mean
    assert trainset.rating_scale == expected.rating_scale
    assert set(trainset.build_anti_testset()) == set(expected.build_anti_testset())


@settings(deadline=None, max_examples=50)
@given(data=rating_samples())
def test_surprise_trainset_converts_to_the_same_matrix(data: RatingSample) -> None:
    converted, expected = as_interaction_matrix(data.trainset), data.matrix
    assert converted.user_ids == expected.user_ids
    assert converted.item_ids == expected.item_ids
    for actual_side, side in ((converted.by_user, expected.by_user), (converted.by_item, expected.by_item)):
        np.testing.assert_array_equal(actual_side.indptr, side.indptr)
        np.testing.assert_array_equal(actual_side.indices, side.indices)
        np.testing.assert_array_equal(actual_side.values, side.values)


def test_surprise_trainset_is_converted_once() -> None:
    trainset = sample_ratings(1, n_users=5, n_items=5, n_ratings=10).trainset
    assert as_interaction_matrix(trainset) is as_interaction_matrix(trainset)


def test_matrix_trainset_knows_only_its_inner_ids() -> None:
    data = sample_ratings(1, n_users=5, n_items=5, n_ratings=10)
    trainset = as_trainset(data.matrix)
    assert trainset.knows_user(0)
    assert trainset.knows_item(np.int32(0))
    assert not trainset.knows_user(trainset.n_users)
    assert not trainset.knows_item("UKN__x")
    with pytest.raises(ValueError, match="not part of the trainset"):
        trainset.to_inner_uid("nobody")


def test_surprise_trainset_is_returned_unchanged() -> None:
    trainset = sample_ratings(1, n_users=5, n_items=5, n_ratings=10).trainset
    assert as_trainset(trainset) is trainset


def test_pickle_contains_arrays_but_not_rating_lists() -> None:
    trainset = MatrixTrainset(sample_ratings(1, n_users=30, n_items=30, n_ratings=400).matrix)
    size = len(pickle.dumps(trainset))
    assert len(trainset.ur) == trainset.n_users
    assert len(pickle.dumps(trainset)) == size
    assert list(pickle.loads(pickle.dumps(trainset)).all_ratings()) == list(trainset.all_ratings())


def test_empty_trainset_is_rejected() -> None:
    empty = surprise.Trainset({}, {}, 0, 0, 0, (1, 5), {}, {})
    with pytest.raises(DataError, match="empty"):
        as_interaction_matrix(empty)


def test_text_ratings_are_rejected() -> None:
    text = surprise.Trainset({0: [(0, "five")]}, {0: [(0, "five")]}, 1, 1, 1, (1, 5), {"a": 0}, {"x": 0})
    with pytest.raises(DataError, match="not a number"):
        as_interaction_matrix(text)


def test_testset_has_rows_of_raw_ids() -> None:
    frame = sample_ratings(1, n_users=3, n_items=3, n_ratings=2).frame
    assert build_testset(frame)[-1] == ("only one", 3, frame["rating"].iloc[-1])
