"""NMF: parity with Surprise, hand-computed cases, zero and negative ratings, invalid parameters."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import surprise
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from marquee.algorithms.nmf import NMF
from marquee.algorithms.threads import limit_threads
from marquee.array_types import Float64Array
from marquee.errors import DivergedError, ParameterError
from marquee.interactions.matrix import InteractionMatrix
from tests.support.rating_samples import RatingSample, assert_same_predictions, rating_samples, sample_ratings
from tests.support.twin_assertions import (
    assert_dump_predicts_same,
    assert_same_cross_validation,
    assert_same_grid_search,
    assert_scores_match_pairs,
)

FAST = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
RATES = ("reg_pu", "reg_qi", "reg_bu", "reg_bi", "lr_bu", "lr_bi")
OPTIONS = st.fixed_dictionaries(
    {
        "n_factors": st.integers(0, 18),
        "n_epochs": st.integers(0, 5),
        "random_state": st.integers(0, 2**31),
        "biased": st.booleans(),
    },
    optional={name: st.floats(0.001, 0.2) for name in RATES}
    | {"init_low": st.floats(0.01, 0.5), "init_high": st.floats(0.6, 2)},
)
ARRAYS = ("pu", "qi", "bu", "bi")


def make_matrix(*ratings: tuple[str, str, float]) -> InteractionMatrix:
    return InteractionMatrix.from_frame(pd.DataFrame(ratings, columns=["user", "item", "rating"]))


@FAST
@given(data=rating_samples(), options=OPTIONS)
def test_predictions_equal_those_of_surprise(data: RatingSample, options: dict[str, Any]) -> None:
    twin = surprise.NMF(**options).fit(data.trainset)
    # With biases, a denominator may be close to 0, which magnifies rounding errors; skip these cases.
    assume(all(np.abs(factors).max(initial=0) < 100 for factors in (twin.pu, twin.qi)))
    for training in (data.trainset, data.matrix):
        model = NMF(**options).fit(training)
        assert_same_predictions(model, twin, data.testset, 1e-9)
        for name in ARRAYS:
            np.testing.assert_allclose(getattr(model, name), getattr(twin, name), atol=1e-9)


@pytest.mark.parametrize("biased", [False, True])
def test_defaults_equal_those_of_the_twin(biased: bool, small_sample: RatingSample) -> None:
    twin = surprise.NMF(random_state=1, biased=biased).fit(small_sample.trainset)
    assert_same_predictions(
        NMF(random_state=1, biased=biased).fit(small_sample.matrix), twin, small_sample.testset, 1e-9
    )


@pytest.mark.parametrize("biased", [False, True])
def test_single_precision_is_close_to_double(biased: bool, small_sample: RatingSample) -> None:
    double = NMF(random_state=1, biased=biased).fit(small_sample.matrix)
    single = NMF(random_state=1, biased=biased, dtype="float32").fit(small_sample.matrix)
    assert {getattr(single, name).dtype for name in ARRAYS} == {np.dtype(np.float32)}
    users, items = np.arange(30, dtype=np.int32), np.zeros(30, dtype=np.int32)
    np.testing.assert_allclose(single.score_pairs(users, items), double.score_pairs(users, items), atol=2e-3)


def test_one_epoch_matches_hand_computation() -> None:
    """All factors are 2, so every estimate is 4; user and item updates both use the old factors."""
    ratings = make_matrix(("a", "x", 5.0), ("a", "y", 3.0), ("b", "y", 1.0), ("c", "z", 4.0))
    model = NMF(n_factors=1, n_epochs=1, init_low=2, init_high=2, reg_pu=0.5, reg_qi=1).fit(ratings)
    a = 2 * (2 * 5 + 2 * 3) / (2 * 4 + 2 * 4 + 0.5 * 2 * 2)
    b, c = 2 * 2 * 1 / (2 * 4 + 0.5 * 2), 2 * 2 * 4 / (2 * 4 + 0.5 * 2)
    np.testing.assert_allclose(model.pu[:, 0], [a, b, c])
    x, z = 2 * 2 * 5 / (2 * 4 + 2), 2 * 2 * 4 / (2 * 4 + 2)
    y = 2 * (2 * 3 + 2 * 1) / (2 * 4 + 2 * 4 + 2 * 2)
    np.testing.assert_allclose(model.qi[:, 0], [x, y, z])


def test_biases_are_updated_rating_by_rating() -> None:
    """Factors are 1 and the mean is 3, so the first estimate is 4; the second includes the updated b_u."""
    ratings = make_matrix(("a", "x", 5.0), ("a", "y", 1.0))
    model = NMF(
        n_factors=1, n_epochs=1, biased=True, init_low=1, init_high=1,
        lr_bu=0.1, lr_bi=0.2, reg_bu=0, reg_bi=0, reg_pu=0, reg_qi=0,
    ).fit(ratings)  # fmt: skip
    first, second = 3 + 1, 3 + 1 + 0.1 * (5 - 4)
    np.testing.assert_allclose(model.bu, [0.1 * (5 - first) + 0.1 * (1 - second)])
    np.testing.assert_allclose(model.bi, [0.2 * (5 - first), 0.2 * (1 - second)])
    np.testing.assert_allclose(model.pu[0, 0], (5 + 1) / (first + second))
    np.testing.assert_allclose(model.qi[:, 0], [5 / first, 1 / second])


@pytest.mark.parametrize("biased", [False, True])
def test_model_after_each_epoch_equals_shorter_fit(biased: bool, small_sample: RatingSample) -> None:
    model = NMF(n_epochs=4, random_state=3, biased=biased)
    for epoch in model.fit_by_epoch(small_sample.matrix):
        shorter = NMF(n_epochs=epoch.number, random_state=3, biased=biased).fit(small_sample.matrix)
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(model, name), getattr(shorter, name))
        assert epoch.train_rmse is not None
    assert epoch.number == 4


def test_train_rmse_of_an_epoch_is_that_of_the_model_before_it(small_sample: RatingSample) -> None:
    previous = NMF(n_epochs=3, random_state=1).fit(small_sample.matrix)
    users = np.repeat(np.arange(small_sample.matrix.n_users), small_sample.matrix.by_user.counts)
    errors: Float64Array = small_sample.matrix.values - previous.score_pairs(users, small_sample.matrix.items)
    *_, last = NMF(n_epochs=4, random_state=1).fit_by_epoch(small_sample.matrix)
    assert last.train_rmse == pytest.approx(np.sqrt(np.mean(errors**2)))


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_model_is_byte_identical_for_any_thread_count(biased: bool, dtype: str) -> None:
    large = sample_ratings(3, n_users=900, n_items=700, n_ratings=20_000)
    results = []
    for n_threads in (1, 4):
        with limit_threads(n_threads):
            model = NMF(n_epochs=5, random_state=1, biased=biased, dtype=dtype).fit(large.matrix)
            results.append([getattr(model, name).tobytes() for name in ARRAYS])
    assert results[0] == results[1]


def test_scores_of_all_items_equal_scores_of_pairs(small_sample: RatingSample) -> None:
    for biased in (False, True):
        model = NMF(random_state=1, biased=biased).fit(small_sample.matrix)
        assert_scores_match_pairs(model, [3, 0, 3], small_sample.matrix.n_items)


def test_user_with_only_zero_ratings_gets_zero_factors() -> None:
    ratings = make_matrix(("a", "x", 0.0), ("a", "y", 0.0), ("b", "x", 4.0), ("b", "y", 2.0))
    model = NMF(random_state=1).fit(ratings)
    assert not model.pu[0].any()
    assert model.pu[1].all()


@pytest.mark.parametrize("reg", [0, 0.06])
def test_only_zero_ratings_give_zero_factors_without_nan(reg: float) -> None:
    model = NMF(random_state=1, reg_pu=reg, reg_qi=reg).fit(make_matrix(("a", "x", 0.0), ("b", "x", 0.0)))
    assert not model.pu.any()
    assert not model.qi.any()
    assert model.predict("a", "x", clip=False).est == 0


def test_negative_ratings_give_factors_of_the_twin() -> None:
    data = sample_ratings(4, n_users=20, n_items=15, n_ratings=150)
    frame = data.frame.assign(rating=data.frame["rating"] - 2)
    reader = surprise.Reader(rating_scale=(-1, 3))
    trainset = surprise.Dataset.load_from_df(frame, reader).build_full_trainset()
    twin = surprise.NMF(random_state=1, n_epochs=3, n_factors=4).fit(trainset)
    model = NMF(random_state=1, n_epochs=3, n_factors=4).fit(trainset)
    np.testing.assert_allclose(model.pu, twin.pu, rtol=1e-8)
    assert (model.pu < 0).any()


def test_surprise_tools_give_the_same_results(small_sample: RatingSample, tmp_path: Path) -> None:
    classes = (NMF, surprise.NMF)
    assert_same_cross_validation(classes, {"random_state": 2}, small_sample.frame)
    assert_same_grid_search(
        classes, {"n_factors": [2, 5], "biased": [True, False], "random_state": [1]}, small_sample.frame
    )
    assert_dump_predicts_same(NMF(random_state=1).fit(small_sample.matrix), small_sample, tmp_path)


def test_divergence_error_names_the_parameters(small_sample: RatingSample) -> None:
    with pytest.raises(DivergedError, match=r"NMF diverged in epoch \d+ with lr_bu=10"):
        NMF(biased=True, lr_bu=10, lr_bi=10).fit(small_sample.matrix)


def test_negative_init_low_is_rejected_at_construction_as_by_the_twin() -> None:
    for algorithm_class in (NMF, surprise.NMF):
        with pytest.raises(ValueError, match="init_low"):
            algorithm_class(init_low=-0.1)


@pytest.mark.parametrize(
    "arguments",
    [
        {"n_factors": -1}, {"n_factors": 2.5}, {"n_epochs": -1}, {"reg_pu": -1}, {"reg_qi": math.nan},
        {"lr_bu": -0.1}, {"lr_bi": "fast"}, {"init_high": -1}, {"dtype": "float16"},
    ],
)  # fmt: skip
def test_invalid_parameter_is_rejected(arguments: dict[str, Any], small_sample: RatingSample) -> None:
    with pytest.raises(ParameterError, match=f"NMF: {next(iter(arguments))} must be"):
        NMF(**arguments).fit(small_sample.matrix)
