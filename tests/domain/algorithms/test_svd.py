"""SVD, PMF and SVD++: parity with Surprise, hand-computed steps, subclasses, invalid parameters."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import surprise
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marquee.algorithms.base import EpochAlgorithm
from marquee.algorithms.svd import PMF, SVD, SVDpp
from marquee.errors import DataError, DivergedError, ParameterError
from marquee.interactions.matrix import InteractionMatrix
from tests.support.rating_samples import RatingSample, assert_same_predictions, rating_samples
from tests.support.twin_assertions import (
    assert_same_cross_validation,
    assert_same_grid_search,
    assert_scores_match_pairs,
)

FAST = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
RATES = ("lr_all", "reg_all", "lr_bu", "lr_bi", "lr_pu", "lr_qi", "reg_bu", "reg_bi", "reg_pu", "reg_qi")
OPTIONS = st.fixed_dictionaries(
    {"n_factors": st.integers(0, 9), "n_epochs": st.integers(0, 4), "random_state": st.integers(0, 2**31)},
    optional={name: st.floats(0, 0.05) for name in RATES}
    | {"init_mean": st.floats(-0.2, 0.2), "init_std_dev": st.floats(0, 0.5)},
)


@FAST
@given(data=rating_samples(), options=OPTIONS, biased=st.booleans())
def test_svd_predictions_equal_those_of_surprise(
    data: RatingSample, options: dict[str, Any], biased: bool
) -> None:
    twin = surprise.SVD(biased=biased, **options).fit(data.trainset)
    for training in (data.trainset, data.matrix):
        model = SVD(biased=biased, **options).fit(training)
        assert_same_predictions(model, twin, data.testset, 1e-9)
        for name in ("pu", "qi", "bu", "bi"):
            np.testing.assert_allclose(getattr(model, name), getattr(twin, name), atol=1e-10)


@FAST
@given(
    data=rating_samples(), options=OPTIONS, yj_parameters=st.tuples(st.floats(0, 0.05), st.floats(0, 0.05))
)
def test_svdpp_predictions_equal_those_of_surprise(
    data: RatingSample, options: dict[str, Any], yj_parameters: tuple[float, float]
) -> None:
    options |= {"lr_yj": yj_parameters[0], "reg_yj": yj_parameters[1]}
    twin = surprise.SVDpp(cache_ratings=True, **options).fit(data.trainset)
    model = SVDpp(**options).fit(data.matrix)
    assert_same_predictions(model, twin, data.testset, 1e-9)
    for name in ("pu", "qi", "bu", "bi", "yj"):
        np.testing.assert_allclose(getattr(model, name), getattr(twin, name), atol=1e-10)


@FAST
@given(data=rating_samples(), seed=st.integers(0, 99))
def test_pmf_is_svd_without_biases(data: RatingSample, seed: int) -> None:
    twin = surprise.SVD(biased=False, n_factors=4, n_epochs=3, random_state=seed).fit(data.trainset)
    assert_same_predictions(
        PMF(n_factors=4, n_epochs=3, random_state=seed).fit(data.matrix), twin, data.testset, 1e-9
    )


@pytest.mark.parametrize(("algorithm_class", "twin_class"), [(SVD, surprise.SVD), (SVDpp, surprise.SVDpp)])
def test_defaults_equal_those_of_the_twin(
    algorithm_class: type[EpochAlgorithm], twin_class: type[surprise.AlgoBase], small_sample: RatingSample
) -> None:
    model = algorithm_class(random_state=1).fit(small_sample.trainset)
    twin = twin_class(random_state=1).fit(small_sample.trainset)
    assert_same_predictions(model, twin, small_sample.testset, 1e-9)


@pytest.mark.parametrize("algorithm_class", [SVD, PMF, SVDpp])
def test_single_precision_is_close_to_double(
    algorithm_class: type[EpochAlgorithm], small_sample: RatingSample
) -> None:
    double = algorithm_class(random_state=1).fit(small_sample.matrix)
    single = algorithm_class(random_state=1, dtype="float32").fit(small_sample.matrix)
    assert single.pu.dtype == single.qi.dtype == single.bu.dtype == np.float32
    users, items = np.arange(30, dtype=np.int32), np.zeros(30, dtype=np.int32)
    np.testing.assert_allclose(single.score_pairs(users, items), double.score_pairs(users, items), atol=1e-3)


def test_one_svd_step_matches_hand_computation() -> None:
    """With one rating, its error is -p q; p changes by rate * (error * q - reg * p), and q likewise."""
    frame = pd.DataFrame({"user": ["a"], "item": ["x"], "rating": [4.0]})
    model = SVD(n_factors=1, n_epochs=1, init_mean=2, init_std_dev=0, lr_all=0.1, reg_all=0.5)
    model.fit(InteractionMatrix.from_frame(frame))
    error = 4 - (4 + 2 * 2)
    assert model.bu[0] == model.bi[0] == pytest.approx(0.1 * error)
    assert model.pu[0, 0] == model.qi[0, 0] == pytest.approx(2 + 0.1 * (error * 2 - 0.5 * 2))


def test_one_svdpp_step_matches_hand_computation() -> None:
    """As for SVD, but the error is -q (p + y); p and y are 2 each, and y changes like p."""
    frame = pd.DataFrame({"user": ["a"], "item": ["x"], "rating": [4.0]})
    model = SVDpp(n_factors=1, n_epochs=1, init_mean=2, init_std_dev=0, lr_all=0.1, reg_all=0.5)
    model.fit(InteractionMatrix.from_frame(frame))
    error = 4 - (4 + 2 * (2 + 2))
    assert model.pu[0, 0] == pytest.approx(2 + 0.1 * (error * 2 - 0.5 * 2))
    assert model.yj[0, 0] == pytest.approx(2 + 0.1 * (error * 2 - 0.5 * 2))
    assert model.qi[0, 0] == pytest.approx(2 + 0.1 * (error * (2 + 2) - 0.5 * 2))


@pytest.mark.parametrize("algorithm_class", [SVD, PMF, SVDpp])
def test_model_after_each_epoch_equals_shorter_fit(
    algorithm_class: type[EpochAlgorithm], small_sample: RatingSample
) -> None:
    model = algorithm_class(n_epochs=5, random_state=3)
    for epoch in model.fit_by_epoch(small_sample.matrix):
        shorter = algorithm_class(n_epochs=epoch.number, random_state=3).fit(small_sample.matrix)
        np.testing.assert_array_equal(model.pu, shorter.pu)
        assert model.test(small_sample.testset) == shorter.test(small_sample.testset)


def test_train_rmse_falls_with_each_epoch(small_sample: RatingSample) -> None:
    errors = [
        epoch.train_rmse for epoch in SVD(random_state=1, n_epochs=10).fit_by_epoch(small_sample.matrix)
    ]
    assert errors == sorted(filter(None, errors), reverse=True)


def test_training_stopped_early_leaves_the_model_of_its_last_epoch(small_sample: RatingSample) -> None:
    model = SVD(random_state=1)
    for epoch in model.fit_by_epoch(small_sample.matrix):
        if epoch.number == 2:
            break
    shorter = SVD(random_state=1, n_epochs=2).fit(small_sample.matrix)
    assert model.test(small_sample.testset) == shorter.test(small_sample.testset)


@pytest.mark.parametrize("algorithm_class", [SVD, SVDpp])
def test_scores_of_all_items_equal_scores_of_pairs(
    algorithm_class: type[EpochAlgorithm], small_sample: RatingSample
) -> None:
    model = algorithm_class(random_state=1).fit(small_sample.matrix)
    assert_scores_match_pairs(model, [3, 0, 3], small_sample.matrix.n_items)


def test_surprise_tools_give_the_same_results() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"u": rng.integers(0, 20, 300), "i": rng.integers(0, 15, 300), "r": rng.integers(1, 6, 300)}
    )
    classes = (SVD, surprise.SVD)
    assert_same_cross_validation(classes, {"random_state": 2}, frame)
    assert_same_grid_search(
        classes, {"n_factors": [2, 5], "lr_all": [0.005, 0.02], "random_state": [1]}, frame
    )


def test_surprise_dump_predicts_the_same(small_sample: RatingSample, tmp_path: Path) -> None:
    model = SVDpp(random_state=1).fit(small_sample.matrix)
    predictions = model.test(small_sample.testset)
    surprise.dump.dump(str(tmp_path / "model"), predictions, model)
    loaded_predictions, loaded = surprise.dump.load(str(tmp_path / "model"))
    assert loaded_predictions == predictions == loaded.test(small_sample.testset)


def test_test_calls_overridden_estimate(small_sample: RatingSample) -> None:
    class AlwaysTwo(SVD):
        def estimate(self, u: object, i: object) -> float:
            return 2.0

    assert {p.est for p in AlwaysTwo().fit(small_sample.matrix).test(small_sample.testset)} == {2.0}


def test_test_uses_overridden_default_prediction(small_sample: RatingSample) -> None:
    class DefaultsToOne(PMF):
        def default_prediction(self) -> float:
            return 1.0

    model = DefaultsToOne(random_state=1).fit(small_sample.matrix)
    assert model.test([("nobody", "nothing", 3.0)])[0].est == model.predict("nobody", "nothing").est == 1.0


def test_divergence_error_names_the_parameters(small_sample: RatingSample) -> None:
    with pytest.raises(
        DivergedError, match=r"SVD diverged in epoch \d+ with lr_bu=5.*lower the learning rates"
    ):
        SVD(lr_all=5).fit(small_sample.matrix)


@pytest.mark.parametrize(
    "arguments",
    [
        {"lr_all": -0.1}, {"lr_all": math.nan}, {"reg_pu": -1}, {"n_factors": -1}, {"n_factors": 2.5},
        {"n_epochs": -1}, {"n_epochs": True}, {"init_std_dev": -1}, {"dtype": "float16"}, {"lr_qi": "fast"},
    ],
)  # fmt: skip
def test_invalid_parameter_is_rejected(arguments: dict[str, Any], small_sample: RatingSample) -> None:
    name = next(iter(arguments)).replace("_all", "")
    with pytest.raises(ParameterError, match=f"SVD: {name}.* must be"):
        SVD(**arguments).fit(small_sample.matrix)


def test_verbose_prints_each_epoch(small_sample: RatingSample, capsys: pytest.CaptureFixture[str]) -> None:
    SVD(n_epochs=2, verbose=True).fit(small_sample.matrix)
    assert capsys.readouterr().out == "Processing epoch 0\nProcessing epoch 1\n"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_non_finite_ratings_are_rejected(value: float) -> None:
    frame = pd.DataFrame({"user": ["a", "b"], "item": ["x", "x"], "rating": [4.0, value]})
    with pytest.raises(DataError, match="1 of 2 values are not finite, the first in row 1"):
        InteractionMatrix.from_frame(frame)
    trainset = surprise.Dataset.load_from_df(frame, surprise.Reader()).build_full_trainset()
    with pytest.raises(DataError, match="not finite"):
        SVD().fit(trainset)


def test_empty_ratings_table_is_rejected() -> None:
    frame = pd.DataFrame({"user": [], "item": [], "rating": []})
    with pytest.raises(DataError, match="the interactions table is empty"):
        InteractionMatrix.from_frame(frame)
