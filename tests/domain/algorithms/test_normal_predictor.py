"""The random predictor: the twin's distribution, draws that can be repeated, and no other deviation."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import surprise
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marquee.algorithms.normal_predictor import NormalPredictor
from marquee.interactions.matrix import RatingMatrix
from tests.support.sampled_data import Drawn, drawn, rating_sets


@pytest.fixture(scope="module")
def small() -> Drawn:
    return drawn(1, n_users=30, n_items=20, n_ratings=200)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(data=rating_sets(), seed=st.integers(0, 2**32 - 1))
def test_without_a_seed_it_draws_what_surprise_draws(data: Drawn, seed: int) -> None:
    found = []
    state = np.random.get_state()  # noqa: NPY002  the twin's generator
    for kind in (NormalPredictor, surprise.NormalPredictor):
        model = kind().fit(data.trainset)
        np.random.seed(seed)  # noqa: NPY002
        found.append((model.sigma, [p.est for p in model.test(data.testset)]))
    np.random.set_state(state)  # noqa: NPY002
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-12)
    np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-9)


def test_spread_by_hand() -> None:
    frame = pd.DataFrame({"user": ["a", "a", "b"], "item": ["x", "y", "x"], "rating": [1.0, 2.0, 6.0]})
    model = NormalPredictor().fit(RatingMatrix.from_frame(frame))
    assert model.sigma == pytest.approx(np.sqrt((2**2 + 1**2 + 3**2) / 3))


def test_a_seed_repeats_the_draws_after_each_fit_and_reset(small: Drawn) -> None:
    model = NormalPredictor(random_state=7)
    first = model.fit(small.matrix).test(small.testset)
    assert model.test(small.testset) != first
    assert model.fit(small.trainset).test(small.testset) == first
    model.reset()
    assert model.test(small.testset) == first


def test_one_by_one_or_at_once_the_draws_are_the_same(small: Drawn) -> None:
    together = NormalPredictor(random_state=7).fit(small.matrix).test(small.testset)
    model = NormalPredictor(random_state=7).fit(small.matrix)
    assert [model.predict(*pair) for pair in small.testset] == together


def test_a_generator_is_drawn_from_as_it_stands(small: Drawn) -> None:
    model = NormalPredictor(random_state=np.random.RandomState(7))
    first = model.fit(small.matrix).test(small.testset)
    assert first == NormalPredictor(random_state=7).fit(small.matrix).test(small.testset)
    assert model.fit(small.matrix).test(small.testset) != first


def test_scores_of_all_items_are_a_draw_each(small: Drawn) -> None:
    scores = NormalPredictor(random_state=1).fit(small.matrix).score_all(np.arange(30, dtype=np.int32))
    assert scores.shape == (30, small.matrix.n_items)
    assert len(np.unique(scores)) == scores.size


def test_constant_ratings_leave_no_doubt() -> None:
    constant = drawn(2, n_users=9, n_items=7, n_ratings=30, stars="constant")
    assert {p.est for p in NormalPredictor().fit(constant.matrix).test(constant.testset)} == {3.0}


def test_surprise_dumps_and_loads_it(small: Drawn, tmp_path: Path) -> None:
    model = NormalPredictor(random_state=3).fit(small.matrix)
    surprise.dump.dump(str(tmp_path / "it"), algo=model)
    assert surprise.dump.load(str(tmp_path / "it"))[1].test(small.testset) == model.test(small.testset)
