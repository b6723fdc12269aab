"""BaselineOnly, and biases by both methods: parity with Surprise, hand-computed cases, invalid options."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import surprise
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marquee.algorithms.baseline_only import BaselineOnly
from marquee.algorithms.biases import compute_biases
from marquee.algorithms.threads import limit_threads
from marquee.errors import DivergedError, ParameterError
from marquee.interactions.matrix import InteractionMatrix
from tests.support.rating_samples import RatingSample, assert_same_predictions, rating_samples, sample_ratings
from tests.support.twin_assertions import (
    assert_dump_predicts_same,
    assert_same_cross_validation,
    assert_same_grid_search,
)

FAST = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
ALS = st.fixed_dictionaries(
    {},
    optional={
        "method": st.just("als"),
        "n_epochs": st.integers(0, 6),
        "reg_u": st.floats(0, 30),
        "reg_i": st.integers(0, 30),
    },
)
SGD = st.fixed_dictionaries(
    {"method": st.just("sgd")},
    optional={
        "n_epochs": st.integers(0, 6),
        "reg": st.floats(0, 0.5),
        "learning_rate": st.floats(0, 0.05),
    },
)


@FAST
@given(data=rating_samples(), options=ALS | SGD)
def test_predictions_equal_those_of_surprise(data: RatingSample, options: dict[str, Any]) -> None:
    twin = surprise.BaselineOnly(dict(options), verbose=False).fit(data.trainset)
    for training in (data.trainset, data.matrix):
        model = BaselineOnly(options, verbose=False).fit(training)
        assert_same_predictions(model, twin, data.testset, 1e-9)
        np.testing.assert_allclose(model.bu, twin.bu, atol=1e-10)
        np.testing.assert_allclose(model.bi, twin.bi, atol=1e-10)


@pytest.mark.parametrize("options", [{}, {"method": "sgd"}])
def test_biases_equal_those_of_surprise(options: dict[str, Any], small_sample: RatingSample) -> None:
    knn = surprise.KNNBaseline(bsl_options=dict(options), verbose=False).fit(small_sample.trainset)
    bu, bi = compute_biases(small_sample.matrix, small_sample.trainset.global_mean, options)
    np.testing.assert_allclose(bu, knn.bu, atol=1e-12)
    np.testing.assert_allclose(bi, knn.bi, atol=1e-12)


def test_least_squares_matches_hand_computation() -> None:
    """The mean is 3, so the residuals are 1, 2, -2, -1; item biases are solved first, then user biases."""
    frame = pd.DataFrame(
        {"user": ["a", "b", "a", "c"], "item": ["x", "x", "y", "z"], "rating": [4.0, 5.0, 1.0, 2.0]}
    )
    model = BaselineOnly({"n_epochs": 1, "reg_u": 2, "reg_i": 1}, verbose=False)
    model.fit(InteractionMatrix.from_frame(frame))
    x, y, z = (1 + 2) / (1 + 2), -2 / (1 + 1), -1 / (1 + 1)
    np.testing.assert_allclose(model.bi, [x, y, z])
    np.testing.assert_allclose(model.bu, [(1 - x - 2 - y) / (2 + 2), (2 - x) / (2 + 1), (-1 - z) / (2 + 1)])


def test_gradient_descent_matches_hand_computation() -> None:
    """The mean is 3. The first rating changes both biases by 0.1 * 1; the second starts from there."""
    frame = pd.DataFrame({"user": ["a", "a"], "item": ["x", "x"], "rating": [4.0, 2.0]})
    model = BaselineOnly(
        {"method": "sgd", "n_epochs": 1, "reg": 0.5, "learning_rate": 0.1}, verbose=False
    ).fit(InteractionMatrix.from_frame(frame))
    error = 2 - (3 + 0.1 + 0.1)
    assert model.bu[0] == model.bi[0] == pytest.approx(0.1 + 0.1 * (error - 0.5 * 0.1))


@pytest.mark.parametrize("method", ["als", "sgd"])
def test_model_after_each_epoch_equals_shorter_fit(method: str, small_sample: RatingSample) -> None:
    model = BaselineOnly({"method": method, "n_epochs": 4}, verbose=False)
    for epoch in model.fit_by_epoch(small_sample.matrix):
        shorter = BaselineOnly({"method": method, "n_epochs": epoch.number}, verbose=False)
        shorter.fit(small_sample.matrix)
        np.testing.assert_array_equal(model.bu, shorter.bu)
        np.testing.assert_array_equal(model.bi, shorter.bi)
    assert epoch.number == 4
    assert (epoch.train_rmse is None) == (method == "als")


def test_default_number_of_epochs_depends_on_the_method() -> None:
    assert BaselineOnly().n_epochs == 10
    assert BaselineOnly({"method": "sgd"}).n_epochs == 20
    assert BaselineOnly({"n_epochs": 3}).n_epochs == 3


@pytest.mark.parametrize("method", ["als", "sgd"])
def test_single_precision_is_close_to_double(method: str, small_sample: RatingSample) -> None:
    double = BaselineOnly({"method": method}, verbose=False).fit(small_sample.matrix)
    single = BaselineOnly({"method": method}, verbose=False, dtype="float32").fit(small_sample.matrix)
    assert single.bu.dtype == single.bi.dtype == np.float32
    np.testing.assert_allclose(single.bu, double.bu, atol=1e-6)
    users = np.arange(30, dtype=np.int32)
    np.testing.assert_allclose(single.score_all_items(users), double.score_all_items(users), atol=1e-6)


def test_biases_are_byte_identical_for_any_thread_count() -> None:
    large = sample_ratings(3, n_users=5000, n_items=3000, n_ratings=20_000)
    results = []
    for n_threads in (1, 4):
        with limit_threads(n_threads):
            bu, bi = compute_biases(large.matrix, 3.0, {})
            results.append((bu.tobytes(), bi.tobytes()))
    assert results[0] == results[1]


def test_surprise_tools_give_the_same_results(small_sample: RatingSample, tmp_path: Path) -> None:
    classes = (BaselineOnly, surprise.BaselineOnly)
    assert_same_cross_validation(classes, {"verbose": False}, small_sample.frame)
    grid = {
        "bsl_options": {"method": ["als", "sgd"], "reg": [0.02, 0.5], "reg_u": [5, 15]},
        "verbose": [False],
    }
    assert_same_grid_search(classes, grid, small_sample.frame)
    assert_dump_predicts_same(BaselineOnly(verbose=False).fit(small_sample.matrix), small_sample, tmp_path)


def test_verbose_fit_prints_the_line_of_the_twin(
    small_sample: RatingSample, capsys: pytest.CaptureFixture[str]
) -> None:
    BaselineOnly().fit(small_sample.matrix)
    assert capsys.readouterr().out == "Estimating biases using als...\n"


@pytest.mark.parametrize(
    "train",
    [
        lambda matrix, options: BaselineOnly(options, verbose=False).fit(matrix),
        lambda matrix, options: compute_biases(matrix, 3.0, options),
    ],
    ids=["BaselineOnly", "compute_biases"],
)
def test_divergence_error_names_the_learning_rate(
    train: Callable[[InteractionMatrix, dict[str, Any]], object], small_sample: RatingSample
) -> None:
    with pytest.raises(DivergedError, match=r"diverged in epoch \d+ with learning_rate=10"):
        train(small_sample.matrix, {"method": "sgd", "learning_rate": 10, "n_epochs": 50})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "lsq"}, "method must be one of als, sgd (got 'lsq')"),
        ({"n_epochs": -1}, "n_epochs must be an integer of at least 0 (got -1)"),
        ({"n_epochs": 2.0}, "n_epochs must be an integer of at least 0 (got 2.0)"),
        ({"reg_u": -1}, "reg_u must be a finite number of at least 0 (got -1)"),
        ({"reg_i": math.nan}, "reg_i must be a finite number of at least 0 (got nan)"),
        ({"learning_rate": "fast"}, "learning_rate must be a finite number of at least 0 (got 'fast')"),
        ({"reg": True}, "reg must be a finite number of at least 0 (got True)"),
        (
            {"n_epoch": 3},
            "unknown option 'n_epoch' (expected one of method, n_epochs, reg_u, reg_i, reg, learning_rate)",
        ),
    ],
)
def test_invalid_option_is_rejected(
    options: dict[str, Any], message: str, small_sample: RatingSample
) -> None:
    with pytest.raises(ParameterError, match=re.escape(f"bsl_options: {message}")):
        BaselineOnly(options).fit(small_sample.matrix)


def test_invalid_dtype_is_rejected(small_sample: RatingSample) -> None:
    with pytest.raises(
        ParameterError, match=r"BaselineOnly: dtype must be one of float64, float32 \(got 'half'\)"
    ):
        BaselineOnly(dtype="half").fit(small_sample.matrix)
