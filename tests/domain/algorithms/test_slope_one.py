"""Slope One: the same numbers as Surprise's, half stars that count in full, and the two triangles."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import surprise
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from surprise.model_selection import KFold, cross_validate

from marquee.algorithms.slope_one import SlopeOne
from marquee.algorithms.threads import threads
from marquee.errors import DataError, ParameterError
from marquee.interactions.matrix import RatingMatrix
from tests.support.sampled_data import Drawn, drawn, rating_sets, same_predictions

QUICK = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def small() -> Drawn:
    return drawn(1, n_users=30, n_items=20, n_ratings=200)


@QUICK
@given(data=rating_sets(stars=("whole", "constant", "ten")))
def test_predicts_what_surprise_predicts(data: Drawn) -> None:
    theirs = surprise.SlopeOne().fit(data.trainset)
    for training in (data.trainset, data.matrix):
        ours = SlopeOne().fit(training)
        same_predictions(ours, theirs, data.testset, 1e-9)
        np.testing.assert_array_equal(ours.freq, theirs.freq)
        np.testing.assert_allclose(ours.dev, theirs.dev, atol=1e-12)  # NaN where nobody rated both
        np.testing.assert_allclose(ours.user_mean, theirs.user_mean, atol=1e-12)


@QUICK
@given(data=rating_sets(stars=("half",)))
def test_half_stars_count_in_full(data: Drawn) -> None:
    """The twin cuts them to whole numbers, so it is given twice the ratings."""
    doubled = surprise.Dataset.load_from_df(
        data.frame.assign(rating=data.frame["rating"] * 2), surprise.Reader(rating_scale=(1, 10))
    )
    theirs = surprise.SlopeOne().fit(doubled.build_full_trainset())
    ours = SlopeOne().fit(data.trainset)
    np.testing.assert_allclose(ours.dev, theirs.dev / 2, atol=1e-12)
    for user, item, _ in data.testset:
        ones, its = ours.predict(user, item, clip=False), theirs.predict(user, item, clip=False)
        assert ones.est == pytest.approx(its.est / 2, abs=1e-9)
        assert ones.details == its.details


@QUICK
@given(data=rating_sets(twice=False), seed=st.integers(0, 99))
def test_any_numbers_give_their_mean_difference(data: Drawn, seed: int) -> None:
    values = np.random.default_rng(seed).normal(3, 2, len(data.frame))
    matrix = RatingMatrix.from_frame(data.frame.assign(rating=values))
    users = np.repeat(np.arange(matrix.n_users), matrix.by_user.counts)
    dense = np.full((matrix.n_users, matrix.n_items), np.nan)
    dense[users, matrix.items] = matrix.values
    differences = dense[:, :, None] - dense[:, None, :]
    count = np.isfinite(differences).sum(axis=0)
    total = np.nansum(differences, axis=0)
    expected = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    np.testing.assert_allclose(SlopeOne().fit(matrix).dev, expected, atol=1e-12)


def test_the_textbook_case_by_hand() -> None:
    """John 5 3 2, Mark 3 4 -, Lucy - 2 5: x is above y by (2 - 1) / 2, and above z by 3."""
    ratings = [
        ("John", "x", 5.0), ("John", "y", 3.0), ("John", "z", 2.0), ("Mark", "x", 3.0), ("Mark", "y", 4.0),
        ("Lucy", "y", 2.0), ("Lucy", "z", 5.0),
    ]  # fmt: skip
    model = SlopeOne().fit(RatingMatrix.from_frame(pd.DataFrame(ratings, columns=["user", "item", "rating"])))
    np.testing.assert_allclose(model.dev, [[0, 0.5, 3], [-0.5, 0, -1], [-3, 1, 0]])
    np.testing.assert_array_equal(model.freq, [[2, 2, 1], [2, 3, 2], [1, 2, 2]])
    lucy_x = 3.5 + (0.5 + 3) / 2
    mark_z = 3.5 + (-3 + 1) / 2
    assert model.predict("Lucy", "x", clip=False).est == pytest.approx(lucy_x)
    assert model.predict("Mark", "z", clip=False).est == pytest.approx(mark_z)


def test_an_item_that_shares_no_user_is_given_the_mean_of_the_user() -> None:
    frame = pd.DataFrame({"user": ["a", "a", "b"], "item": ["x", "y", "z"], "rating": [2.0, 5.0, 1.0]})
    model = SlopeOne().fit(RatingMatrix.from_frame(frame))
    assert model.predict("a", "z").est == 3.5
    assert np.isnan(model.dev[0, 2])


def test_two_ratings_of_one_item_count_twice() -> None:
    frame = pd.DataFrame({"user": ["a"] * 3, "item": ["x", "y", "x"], "rating": [2.0, 5.0, 1.0]})
    trainset = surprise.Dataset.load_from_df(frame, surprise.Reader()).build_full_trainset()
    ours, theirs = SlopeOne().fit(trainset), surprise.SlopeOne().fit(trainset)
    np.testing.assert_array_equal(ours.freq, theirs.freq)
    np.testing.assert_array_equal(ours.dev, theirs.dev)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_score_all_is_score_of_each_pair(dtype: str) -> None:
    data = drawn(2, n_users=40, n_items=150, n_ratings=600)  # more than one block of items
    model = SlopeOne(dtype=dtype).fit(data.matrix)
    users = np.array([3, 0, 3, 39], dtype=np.int32)
    items = np.arange(data.matrix.n_items, dtype=np.int32)
    rows = [model.score(np.full(len(items), user, dtype=np.int32), items) for user in users]
    np.testing.assert_allclose(model.score_all(users), rows, atol=1e-12)


def test_single_precision_agrees_to_its_digits(small: Drawn) -> None:
    double, single = SlopeOne().fit(small.matrix), SlopeOne(dtype="float32").fit(small.matrix)
    assert single.dev.dtype == single.dev_triangle.dtype == np.float32
    np.testing.assert_allclose(single.dev, double.dev, atol=1e-6)
    same_predictions(single, double, small.testset, 1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_same_bytes_whatever_the_number_of_threads(dtype: str) -> None:
    large = drawn(3, n_users=300, n_items=500, n_ratings=20_000, stars="half")
    users = np.arange(300, dtype=np.int32)
    found = []
    for number in (1, 4):
        with threads(number):
            model = SlopeOne(dtype=dtype).fit(large.matrix)
            arrays = (model.dev, model.freq, model.score(users, users), model.score_all(users))
            found.append([array.tobytes() for array in arrays])
    assert found[0] == found[1]


def test_what_is_kept_is_less_than_half_of_what_the_twin_keeps(small: Drawn) -> None:
    model = SlopeOne().fit(small.matrix)
    n_pairs = small.matrix.n_items * (small.matrix.n_items + 1) // 2
    assert model.dev_triangle.nbytes + model.freq_triangle.nbytes == n_pairs * (8 + 4)


def test_more_items_than_memory_can_pair_are_refused_in_one_line(small: Drawn) -> None:
    many = replace(small.matrix, item_ids=range(100_000_000))  # type: ignore[arg-type]  counted, never read
    with pytest.raises(DataError, match=r"SlopeOne: the pairs of 100,000,000 items take 40,000,000\.4 GB"):
        SlopeOne()._learn(many)


def test_surprise_cross_validates_and_dumps_it(small: Drawn, tmp_path: Path) -> None:
    data = surprise.Dataset.load_from_df(small.frame, surprise.Reader())
    folds = KFold(3, random_state=1)
    ours = cross_validate(SlopeOne(), data, cv=folds)["test_rmse"]
    np.testing.assert_allclose(
        ours, cross_validate(surprise.SlopeOne(), data, cv=folds)["test_rmse"], atol=1e-9
    )
    model = SlopeOne().fit(small.matrix)
    surprise.dump.dump(str(tmp_path / "it"), algo=model)
    assert surprise.dump.load(str(tmp_path / "it"))[1].test(small.testset) == model.test(small.testset)


def test_a_wrong_dtype_is_named(small: Drawn) -> None:
    with pytest.raises(ParameterError, match="SlopeOne: dtype='half'"):
        SlopeOne(dtype="half").fit(small.matrix)
