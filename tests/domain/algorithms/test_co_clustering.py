"""CoClustering: parity with Surprise, half stars, hand-computed averages, invalid parameters."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import surprise
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marquee.algorithms.co_clustering import CoClustering
from marquee.algorithms.threads import limit_threads
from marquee.errors import ParameterError
from marquee.interactions.matrix import InteractionMatrix
from tests.support.rating_samples import RatingSample, assert_same_predictions, rating_samples, sample_ratings
from tests.support.twin_assertions import (
    assert_dump_predicts_same,
    assert_same_cross_validation,
    assert_same_grid_search,
    assert_scores_match_pairs,
)

FAST = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
OPTIONS = st.fixed_dictionaries(
    {"random_state": st.integers(0, 2**31), "n_epochs": st.integers(0, 6)},
    # The number of clusters may exceed the number of users or items.
    optional={"n_cltr_u": st.integers(1, 40), "n_cltr_i": st.integers(1, 40)},
)
CLUSTERS = ("cltr_u", "cltr_i")
AVERAGES = ("user_mean", "item_mean", "avg_cltr_u", "avg_cltr_i", "avg_cocltr")


@FAST
@given(data=rating_samples(scale_names=("whole", "constant", "ten")), options=OPTIONS)
def test_predictions_equal_those_of_surprise(data: RatingSample, options: dict[str, Any]) -> None:
    twin = surprise.CoClustering(**options).fit(data.trainset)
    for training in (data.trainset, data.matrix):
        model = CoClustering(**options).fit(training)
        for name in CLUSTERS:
            np.testing.assert_array_equal(getattr(model, name), getattr(twin, name))
        for name in AVERAGES:
            np.testing.assert_allclose(getattr(model, name), getattr(twin, name), atol=1e-12)
        assert_same_predictions(model, twin, data.testset, 1e-9)


@FAST
@given(data=rating_samples(scale_names=("half",)), options=OPTIONS)
def test_half_stars_are_not_truncated(data: RatingSample, options: dict[str, Any]) -> None:
    """The twin, which truncates ratings to integers, is given doubled ratings."""
    doubled = surprise.Dataset.load_from_df(
        data.frame.assign(rating=data.frame["rating"] * 2), surprise.Reader(rating_scale=(1, 10))
    )
    twin = surprise.CoClustering(**options).fit(doubled.build_full_trainset())
    model = CoClustering(**options).fit(data.trainset)
    for name in CLUSTERS:
        np.testing.assert_array_equal(getattr(model, name), getattr(twin, name))
    for name in AVERAGES:
        np.testing.assert_allclose(getattr(model, name), getattr(twin, name) / 2, atol=1e-12)


def test_defaults_equal_those_of_the_twin(small_sample: RatingSample) -> None:
    twin = surprise.CoClustering(random_state=1).fit(small_sample.trainset)
    assert_same_predictions(
        CoClustering(random_state=1).fit(small_sample.matrix), twin, small_sample.testset, 1e-9
    )


def test_averages_match_hand_computation() -> None:
    """With one cluster per side, a prediction is the global mean plus both deviations from it."""
    frame = pd.DataFrame(
        {
            "user": ["a", "a", "b", "c", "c"],
            "item": ["x", "y", "x", "y", "z"],
            "rating": [5.0, 2.0, 4.0, 1.0, 3.0],
        }
    )
    model = CoClustering(n_cltr_u=1, n_cltr_i=1).fit(InteractionMatrix.from_frame(frame))
    assert model.avg_cocltr[0, 0] == model.avg_cltr_u[0] == model.avg_cltr_i[0] == 3
    np.testing.assert_allclose(model.user_mean, [3.5, 4, 2])
    np.testing.assert_allclose(model.item_mean, [4.5, 1.5, 3])
    assert model.predict("c", "x").est == pytest.approx(3 + (2 - 3) + (4.5 - 3))


def test_cluster_without_ratings_has_global_mean(small_sample: RatingSample) -> None:
    model = CoClustering(n_cltr_u=200, random_state=1).fit(small_sample.matrix)
    empty = np.setdiff1d(np.arange(200), model.cltr_u)
    assert len(empty)
    assert (model.avg_cltr_u[empty] == small_sample.trainset.global_mean).all()
    assert (model.avg_cocltr[empty] == small_sample.trainset.global_mean).all()


def test_unknown_user_or_item_gets_global_mean(small_sample: RatingSample) -> None:
    model = CoClustering(random_state=1).fit(small_sample.matrix)
    for pair in (("nobody", 3), ("u1", "nothing"), ("nobody", "nothing")):
        prediction = model.predict(*pair)
        assert prediction.est == small_sample.trainset.global_mean
        assert prediction.details == {"was_impossible": False}


def test_model_after_each_epoch_equals_shorter_fit(small_sample: RatingSample) -> None:
    model = CoClustering(n_epochs=5, random_state=3)
    for epoch in model.fit_by_epoch(small_sample.matrix):
        shorter = CoClustering(n_epochs=epoch.number, random_state=3).fit(small_sample.matrix)
        for name in CLUSTERS + AVERAGES:
            np.testing.assert_array_equal(getattr(model, name), getattr(shorter, name))
        assert model.test(small_sample.testset) == shorter.test(small_sample.testset)
    assert epoch.number == 5


def test_model_is_byte_identical_for_any_thread_count() -> None:
    large = sample_ratings(3, n_users=2000, n_items=1500, n_ratings=30_000, scale_name="half")
    results = []
    for n_threads in (1, 4):
        with limit_threads(n_threads):
            model = CoClustering(n_epochs=6, random_state=1).fit(large.matrix)
            results.append([getattr(model, name).tobytes() for name in CLUSTERS + AVERAGES])
    assert results[0] == results[1]


def test_scores_of_all_items_equal_scores_of_pairs(small_sample: RatingSample) -> None:
    model = CoClustering(random_state=1).fit(small_sample.matrix)
    assert_scores_match_pairs(model, [3, 0, 3], small_sample.matrix.n_items)


def test_surprise_tools_give_the_same_results(small_sample: RatingSample, tmp_path: Path) -> None:
    classes = (CoClustering, surprise.CoClustering)
    assert_same_cross_validation(classes, {"random_state": 2}, small_sample.frame)
    assert_same_grid_search(
        classes, {"n_cltr_u": [2, 5], "n_cltr_i": [1, 3], "random_state": [1]}, small_sample.frame
    )
    assert_dump_predicts_same(CoClustering(random_state=1).fit(small_sample.matrix), small_sample, tmp_path)


@pytest.mark.parametrize(
    "arguments", [{"n_cltr_u": 0}, {"n_cltr_i": -1}, {"n_cltr_u": 2.5}, {"n_epochs": -1}]
)
def test_invalid_parameter_is_rejected(arguments: dict[str, Any], small_sample: RatingSample) -> None:
    with pytest.raises(
        ParameterError, match=f"CoClustering: {next(iter(arguments))} must be an integer of at least"
    ):
        CoClustering(**arguments).fit(small_sample.matrix)
