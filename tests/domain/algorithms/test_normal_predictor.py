"""NormalPredictor: the distribution and the draws of its twin, and reproducible draws with a seed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import surprise
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marquee.algorithms.normal_predictor import NormalPredictor
from marquee.algorithms.threads import limit_threads
from marquee.algorithms.top_n_retrieval import USERS_PER_BLOCK, recommend_from_algorithm
from marquee.interactions.matrix import InteractionMatrix
from tests.support.rating_samples import RatingSample, rating_samples, sample_ratings
from tests.support.twin_assertions import assert_dump_predicts_same


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(data=rating_samples(), seed=st.integers(0, 2**32 - 1))
def test_draws_without_seed_equal_those_of_surprise(data: RatingSample, seed: int) -> None:
    results = []
    state = np.random.get_state()  # noqa: NPY002  the generator of the twin
    for algorithm_class in (NormalPredictor, surprise.NormalPredictor):
        model = algorithm_class().fit(data.trainset)
        np.random.seed(seed)  # noqa: NPY002
        results.append((model.sigma, [p.est for p in model.test(data.testset)]))
    np.random.set_state(state)  # noqa: NPY002
    assert results[0][0] == pytest.approx(results[1][0], abs=1e-12)
    np.testing.assert_allclose(results[0][1], results[1][1], atol=1e-9)


def test_sigma_matches_hand_computation() -> None:
    frame = pd.DataFrame({"user": ["a", "a", "b"], "item": ["x", "y", "x"], "rating": [1.0, 2.0, 6.0]})
    model = NormalPredictor().fit(InteractionMatrix.from_frame(frame))
    assert model.sigma == pytest.approx(np.sqrt((2**2 + 1**2 + 3**2) / 3))


def test_seeded_draws_repeat_after_fit_and_reset(small_sample: RatingSample) -> None:
    model = NormalPredictor(random_state=7)
    first = model.fit(small_sample.matrix).test(small_sample.testset)
    assert model.test(small_sample.testset) != first
    assert model.fit(small_sample.trainset).test(small_sample.testset) == first
    model.restart_random_draws()
    assert model.test(small_sample.testset) == first


def test_predict_and_test_give_the_same_draws(small_sample: RatingSample) -> None:
    predictions = NormalPredictor(random_state=7).fit(small_sample.matrix).test(small_sample.testset)
    model = NormalPredictor(random_state=7).fit(small_sample.matrix)
    assert [model.predict(*pair) for pair in small_sample.testset] == predictions


def test_lists_do_not_depend_on_the_number_of_threads() -> None:
    n_users = 5 * USERS_PER_BLOCK
    frame = pd.DataFrame({"user": range(n_users), "item": [u % 7 for u in range(n_users)], "rating": 3.0})
    frame.loc[0, "rating"] = 4.0
    matrix = InteractionMatrix.from_frame(frame)
    lists = []
    for n_threads in (1, 2, 5):
        with limit_threads(n_threads):
            model = NormalPredictor(random_state=7).fit(matrix)
            lists.append(recommend_from_algorithm(model, matrix.indptr, matrix.items, 5)[0].tolist())
    assert lists[1:] == lists[:1] * 2


def test_generator_is_used_in_its_current_state(small_sample: RatingSample) -> None:
    model = NormalPredictor(random_state=np.random.RandomState(7))
    first = model.fit(small_sample.matrix).test(small_sample.testset)
    assert first == NormalPredictor(random_state=7).fit(small_sample.matrix).test(small_sample.testset)
    assert model.fit(small_sample.matrix).test(small_sample.testset) != first


def test_each_score_is_a_separate_draw(small_sample: RatingSample) -> None:
    scores = (
        NormalPredictor(random_state=1)
        .fit(small_sample.matrix)
        .score_all_items(np.arange(30, dtype=np.int32))
    )
    assert scores.shape == (30, small_sample.matrix.n_items)
    assert len(np.unique(scores)) == scores.size


def test_constant_ratings_are_predicted() -> None:
    constant = sample_ratings(2, n_users=9, n_items=7, n_ratings=30, scale_name="constant")
    assert {p.est for p in NormalPredictor().fit(constant.matrix).test(constant.testset)} == {3.0}


def test_surprise_dump_predicts_the_same(small_sample: RatingSample, tmp_path: Path) -> None:
    model = NormalPredictor(random_state=3).fit(small_sample.matrix)
    assert_dump_predicts_same(model, small_sample, tmp_path)
