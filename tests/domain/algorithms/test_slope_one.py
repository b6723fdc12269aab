"""SlopeOne: parity with Surprise, half stars, hand-computed cases, memory."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import surprise
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marquee.algorithms.slope_one import SlopeOne
from marquee.algorithms.threads import limit_threads
from marquee.array_types import Float64Array
from marquee.errors import DataError, ParameterError
from marquee.interactions.matrix import InteractionMatrix
from tests.support.rating_samples import RatingSample, assert_same_predictions, rating_samples, sample_ratings
from tests.support.twin_assertions import (
    assert_dump_predicts_same,
    assert_same_cross_validation,
    assert_scores_match_pairs,
)

FAST = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@FAST
@given(data=rating_samples(scale_names=("whole", "constant", "ten")))
def test_predictions_equal_those_of_surprise(data: RatingSample) -> None:
    twin = surprise.SlopeOne().fit(data.trainset)
    for training in (data.trainset, data.matrix):
        model = SlopeOne().fit(training)
        assert_same_predictions(model, twin, data.testset, 1e-9)
        np.testing.assert_array_equal(model.freq, twin.freq)
        np.testing.assert_allclose(model.dev, twin.dev, atol=1e-12)  # NaN where nobody rated both
        np.testing.assert_allclose(model.user_mean, twin.user_mean, atol=1e-12)


@FAST
@given(data=rating_samples(scale_names=("half",)))
def test_half_stars_are_not_truncated(data: RatingSample) -> None:
    """The twin, which truncates ratings to integers, is given doubled ratings."""
    doubled = surprise.Dataset.load_from_df(
        data.frame.assign(rating=data.frame["rating"] * 2), surprise.Reader(rating_scale=(1, 10))
    )
    twin = surprise.SlopeOne().fit(doubled.build_full_trainset())
    model = SlopeOne().fit(data.trainset)
    np.testing.assert_allclose(model.dev, twin.dev / 2, atol=1e-12)
    for user, item, _ in data.testset:
        actual, expected = (algorithm.predict(user, item, clip=False) for algorithm in (model, twin))
        assert actual.est == pytest.approx(expected.est / 2, abs=1e-9)
        assert actual.details == expected.details


@FAST
@given(data=rating_samples(allow_repeats=False), seed=st.integers(0, 99))
def test_dev_is_the_mean_difference_for_ratings_of_any_value(data: RatingSample, seed: int) -> None:
    values = np.random.default_rng(seed).normal(3, 2, len(data.frame))
    matrix = InteractionMatrix.from_frame(data.frame.assign(rating=values))
    users = np.repeat(np.arange(matrix.n_users), matrix.by_user.counts)
    dense = np.full((matrix.n_users, matrix.n_items), np.nan)
    dense[users, matrix.items] = matrix.values
    differences = dense[:, :, None] - dense[:, None, :]
    count = np.isfinite(differences).sum(axis=0)
    total = np.nansum(differences, axis=0)
    expected: Float64Array = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    np.testing.assert_allclose(SlopeOne().fit(matrix).dev, expected, atol=1e-12)


def test_textbook_example_matches_hand_computation() -> None:
    """Deviations: x is rated above y by (2 - 1) / 2, and above z by 3."""
    ratings = [
        ("John", "x", 5.0), ("John", "y", 3.0), ("John", "z", 2.0), ("Mark", "x", 3.0), ("Mark", "y", 4.0),
        ("Lucy", "y", 2.0), ("Lucy", "z", 5.0),
    ]  # fmt: skip
    model = SlopeOne().fit(
        InteractionMatrix.from_frame(pd.DataFrame(ratings, columns=["user", "item", "rating"]))
    )
    np.testing.assert_allclose(model.dev, [[0.0, 0.5, 3.0], [-0.5, 0.0, -1.0], [-3.0, 1.0, 0.0]])
    np.testing.assert_array_equal(model.freq, [[2, 2, 1], [2, 3, 2], [1, 2, 2]])
    lucy_x = 3.5 + (0.5 + 3) / 2
    mark_z = 3.5 + (-3 + 1) / 2
    assert model.predict("Lucy", "x", clip=False).est == pytest.approx(lucy_x)
    assert model.predict("Mark", "z", clip=False).est == pytest.approx(mark_z)


def test_item_without_common_raters_gets_user_mean() -> None:
    frame = pd.DataFrame({"user": ["a", "a", "b"], "item": ["x", "y", "z"], "rating": [2.0, 5.0, 1.0]})
    model = SlopeOne().fit(InteractionMatrix.from_frame(frame))
    assert model.predict("a", "z").est == 3.5
    assert np.isnan(model.dev[0, 2])


def test_repeated_rating_counts_twice() -> None:
    frame = pd.DataFrame({"user": ["a"] * 3, "item": ["x", "y", "x"], "rating": [2.0, 5.0, 1.0]})
    trainset = surprise.Dataset.load_from_df(frame, surprise.Reader()).build_full_trainset()
    model, twin = SlopeOne().fit(trainset), surprise.SlopeOne().fit(trainset)
    np.testing.assert_array_equal(model.freq, twin.freq)
    np.testing.assert_array_equal(model.dev, twin.dev)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_scores_of_all_items_equal_scores_of_pairs(dtype: str) -> None:
    data = sample_ratings(2, n_users=40, n_items=150, n_ratings=600)  # more than one block of items
    assert_scores_match_pairs(SlopeOne(dtype=dtype).fit(data.matrix), [3, 0, 3, 39], data.matrix.n_items)


def test_single_precision_is_close_to_double(small_sample: RatingSample) -> None:
    double, single = SlopeOne().fit(small_sample.matrix), SlopeOne(dtype="float32").fit(small_sample.matrix)
    assert single.dev.dtype == single.dev_triangle.dtype == np.float32
    np.testing.assert_allclose(single.dev, double.dev, atol=1e-6)
    assert_same_predictions(single, double, small_sample.testset, 1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_model_is_byte_identical_for_any_thread_count(dtype: str) -> None:
    large = sample_ratings(3, n_users=300, n_items=500, n_ratings=20_000, scale_name="half")
    users = np.arange(300, dtype=np.int32)
    results = []
    for n_threads in (1, 4):
        with limit_threads(n_threads):
            model = SlopeOne(dtype=dtype).fit(large.matrix)
            arrays = (model.dev, model.freq, model.score_pairs(users, users), model.score_all_items(users))
            results.append([array.tobytes() for array in arrays])
    assert results[0] == results[1]


def test_model_stores_one_triangle_of_each_matrix(small_sample: RatingSample) -> None:
    model = SlopeOne().fit(small_sample.matrix)
    n_pairs = small_sample.matrix.n_items * (small_sample.matrix.n_items + 1) // 2
    assert model.dev_triangle.nbytes + model.freq_triangle.nbytes == n_pairs * (8 + 4)


def test_matrix_larger_than_memory_is_rejected_with_its_size(small_sample: RatingSample) -> None:
    ids: Any = range(100_000_000)  # only its length is used
    with pytest.raises(DataError, match=r"SlopeOne: deviations of 100,000,000 items need 40,000,000\.4 GB"):
        SlopeOne()._fit(replace(small_sample.matrix, item_ids=ids))


def test_surprise_tools_give_the_same_results(small_sample: RatingSample, tmp_path: Path) -> None:
    assert_same_cross_validation((SlopeOne, surprise.SlopeOne), {}, small_sample.frame)
    assert_dump_predicts_same(SlopeOne().fit(small_sample.matrix), small_sample, tmp_path)


def test_invalid_dtype_is_rejected(small_sample: RatingSample) -> None:
    with pytest.raises(
        ParameterError, match=r"SlopeOne: dtype must be one of float64, float32 \(got 'half'\)"
    ):
        SlopeOne(dtype="half").fit(small_sample.matrix)
