"""Biases by both methods: the same numbers as Surprise's, hand-worked cases, and what is refused."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import surprise
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from surprise.model_selection import GridSearchCV, KFold, cross_validate

from marquee.algorithms.baseline_only import BaselineOnly
from marquee.algorithms.biases import biases
from marquee.algorithms.threads import threads
from marquee.errors import DivergedError, ParameterError
from marquee.interactions.matrix import RatingMatrix
from tests.support.sampled_data import Drawn, drawn, rating_sets, same_predictions

QUICK = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
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


@pytest.fixture(scope="module")
def small() -> Drawn:
    return drawn(1, n_users=30, n_items=20, n_ratings=200)


@QUICK
@given(data=rating_sets(), options=ALS | SGD)
def test_predicts_what_surprise_predicts(data: Drawn, options: dict[str, Any]) -> None:
    theirs = surprise.BaselineOnly(dict(options), verbose=False).fit(data.trainset)
    for training in (data.trainset, data.matrix):
        ours = BaselineOnly(options, verbose=False).fit(training)
        same_predictions(ours, theirs, data.testset, 1e-9)
        np.testing.assert_allclose(ours.bu, theirs.bu, atol=1e-10)
        np.testing.assert_allclose(ours.bi, theirs.bi, atol=1e-10)


@pytest.mark.parametrize("options", [{}, {"method": "sgd"}])
def test_biases_are_what_surprise_computes(options: dict[str, Any], small: Drawn) -> None:
    knn = surprise.KNNBaseline(bsl_options=dict(options), verbose=False).fit(small.trainset)
    bu, bi = biases(small.matrix, small.trainset.global_mean, options)
    np.testing.assert_allclose(bu, knn.bu, atol=1e-12)
    np.testing.assert_allclose(bi, knn.bi, atol=1e-12)


def test_least_squares_by_hand() -> None:
    """The mean is 3, so the residuals are 1, 2, -2, -1: solved for the items, then for the users."""
    frame = pd.DataFrame(
        {"user": ["a", "b", "a", "c"], "item": ["x", "x", "y", "z"], "rating": [4.0, 5.0, 1.0, 2.0]}
    )
    model = BaselineOnly({"n_epochs": 1, "reg_u": 2, "reg_i": 1}, verbose=False)
    model.fit(RatingMatrix.from_frame(frame))
    x, y, z = (1 + 2) / (1 + 2), -2 / (1 + 1), -1 / (1 + 1)
    np.testing.assert_allclose(model.bi, [x, y, z])
    np.testing.assert_allclose(model.bu, [(1 - x - 2 - y) / (2 + 2), (2 - x) / (2 + 1), (-1 - z) / (2 + 1)])


def test_a_step_of_gradient_descent_by_hand() -> None:
    """Mean 3. The first rating moves bu and bi by 0.1 * 1; the second sees them."""
    frame = pd.DataFrame({"user": ["a", "a"], "item": ["x", "x"], "rating": [4.0, 2.0]})
    model = BaselineOnly(
        {"method": "sgd", "n_epochs": 1, "reg": 0.5, "learning_rate": 0.1}, verbose=False
    ).fit(RatingMatrix.from_frame(frame))
    error = 2 - (3 + 0.1 + 0.1)
    assert model.bu[0] == model.bi[0] == pytest.approx(0.1 + 0.1 * (error - 0.5 * 0.1))


@pytest.mark.parametrize("method", ["als", "sgd"])
def test_after_each_epoch_it_is_the_model_of_that_many_epochs(method: str, small: Drawn) -> None:
    watched = BaselineOnly({"method": method, "n_epochs": 4}, verbose=False)
    for epoch in watched.epochs(small.matrix):
        alone = BaselineOnly({"method": method, "n_epochs": epoch.number}, verbose=False).fit(small.matrix)
        np.testing.assert_array_equal(watched.bu, alone.bu)
        np.testing.assert_array_equal(watched.bi, alone.bi)
    assert epoch.number == 4
    assert (epoch.train_rmse is None) == (method == "als")


def test_epochs_are_those_of_the_method_unless_given() -> None:
    assert BaselineOnly().n_epochs == 10
    assert BaselineOnly({"method": "sgd"}).n_epochs == 20
    assert BaselineOnly({"n_epochs": 3}).n_epochs == 3


@pytest.mark.parametrize("method", ["als", "sgd"])
def test_single_precision_agrees_to_its_digits(method: str, small: Drawn) -> None:
    double = BaselineOnly({"method": method}, verbose=False).fit(small.matrix)
    single = BaselineOnly({"method": method}, verbose=False, dtype="float32").fit(small.matrix)
    assert single.bu.dtype == single.bi.dtype == np.float32
    np.testing.assert_allclose(single.bu, double.bu, atol=1e-6)
    users = np.arange(30, dtype=np.int32)
    np.testing.assert_allclose(single.score_all(users), double.score_all(users), atol=1e-6)


def test_the_same_bytes_whatever_the_number_of_threads() -> None:
    large = drawn(3, n_users=5000, n_items=3000, n_ratings=20_000)
    found = []
    for number in (1, 4):
        with threads(number):
            bu, bi = biases(large.matrix, 3.0, {})
            found.append((bu.tobytes(), bi.tobytes()))
    assert found[0] == found[1]


def test_surprise_cross_validates_searches_and_dumps_it(small: Drawn, tmp_path: Path) -> None:
    data = surprise.Dataset.load_from_df(small.frame, surprise.Reader())
    folds = KFold(3, random_state=1)
    kinds = (BaselineOnly, surprise.BaselineOnly)
    errors = [cross_validate(kind(verbose=False), data, cv=folds)["test_rmse"] for kind in kinds]
    np.testing.assert_allclose(errors[0], errors[1], atol=1e-9)
    grid = {
        "bsl_options": {"method": ["als", "sgd"], "reg": [0.02, 0.5], "reg_u": [5, 15]},
        "verbose": [False],
    }
    searches = [GridSearchCV(kind, grid, ["rmse"], cv=folds) for kind in kinds]
    for search in searches:
        search.fit(data)
    assert searches[0].best_params["rmse"] == searches[1].best_params["rmse"]
    model = BaselineOnly(verbose=False).fit(small.matrix)
    surprise.dump.dump(str(tmp_path / "it"), algo=model)
    assert surprise.dump.load(str(tmp_path / "it"))[1].test(small.testset) == model.test(small.testset)


def test_verbose_says_what_the_twin_says(small: Drawn, capsys: pytest.CaptureFixture[str]) -> None:
    BaselineOnly().fit(small.matrix)
    assert capsys.readouterr().out == "Estimating biases using als...\n"


def test_divergence_is_an_error_that_names_the_learning_rate(small: Drawn) -> None:
    for learn in (
        lambda options: BaselineOnly(options, verbose=False).fit(small.matrix),
        lambda options: biases(small.matrix, 3.0, options),
    ):
        with pytest.raises(DivergedError, match=r"diverged in epoch \d+ with learning_rate=10"):
            learn({"method": "sgd", "learning_rate": 10, "n_epochs": 50})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "lsq"}, "method='lsq' must be one of als, sgd"),
        ({"n_epochs": -1}, "n_epochs=-1 must be a whole number"),
        ({"n_epochs": 2.0}, "n_epochs=2.0 must be a whole number"),
        ({"reg_u": -1}, "reg_u=-1 must be a number of 0 or more"),
        ({"reg_i": math.nan}, "reg_i=nan must be"),
        ({"learning_rate": "fast"}, "learning_rate='fast' must be"),
        ({"reg": True}, "reg=True must be"),
        ({"n_epoch": 3}, "has no 'n_epoch': there are method, n_epochs, reg_u, reg_i, reg, learning_rate"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], words: str, small: Drawn) -> None:
    with pytest.raises(ParameterError, match=words):
        BaselineOnly(options).fit(small.matrix)


def test_a_wrong_dtype_is_named(small: Drawn) -> None:
    with pytest.raises(ParameterError, match="BaselineOnly: dtype='half'"):
        BaselineOnly(dtype="half").fit(small.matrix)
