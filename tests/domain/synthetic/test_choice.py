"""Users choose items by popularity and interest, and like them with a known probability."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from marquee.algorithms.ease import EASE
from marquee.algorithms.popularity import Popularity
from marquee.algorithms.scoring import encode_pairs
from marquee.algorithms.top_n_retrieval import recommend_from_algorithm
from marquee.array_types import Float64Array, Int64Array
from marquee.errors import DataError
from marquee.interactions.matrix import InteractionMatrix
from marquee.interactions.splitting import split_at_random
from marquee.metrics.ranking import RelevantItems, find_hits, ndcg
from marquee.synthetic import (
    GroundTruth,
    SyntheticDataset,
    SyntheticSpec,
    choice_probabilities,
    draw_ground_truth,
    generate_dataset,
)
from marquee.synthetic.choice import compute_interest
from marquee.synthetic.rating_log import _draw_arrivals

WEIGHTS = arrays(np.float64, (3, 12), elements=st.floats(1e-6, 1e6))
DEMO = SyntheticSpec(n_ratings=40_000)


@pytest.fixture(scope="module")
def demo() -> SyntheticDataset:
    return generate_dataset(DEMO, seed=1)


@pytest.fixture(scope="module")
def truth(demo: SyntheticDataset) -> GroundTruth:
    return demo.truth


def all_pairs(truth: GroundTruth) -> tuple[Int64Array, Int64Array]:
    return np.arange(len(truth.user_bias))[:, None], np.arange(len(truth.item_bias))[None, :]


def rated_pairs(data: SyntheticDataset) -> tuple[Int64Array, Int64Array]:
    users = data.truth.user_ids.get_indexer(pd.Index(data.ratings["user"]))
    return users, data.truth.item_ids.get_indexer(pd.Index(data.ratings["item"]))


def test_log_and_ground_truth_have_the_same_choice_weights(truth: GroundTruth) -> None:
    batch, last_visits = np.arange(64), np.full(64, truth.spec.end)
    arrivals = _draw_arrivals(truth, batch, last_visits, np.random.default_rng(5))
    exponential = np.random.default_rng(5).standard_exponential(arrivals.shape, dtype=np.float32)
    weights = truth.choice_weights_by_index(batch[:, None], all_pairs(truth)[1])
    np.testing.assert_array_equal(arrivals, exponential / weights.astype(np.float32))


def test_choice_weight_is_popularity_times_interest(truth: GroundTruth) -> None:
    users, items = all_pairs(truth)
    attraction = truth.user_interests @ truth.item_factors.T
    interest = (1 + DEMO.selectivity * attraction / 8).clip(0.1) ** 8
    weights = truth.choice_weights_by_index(users, items)
    np.testing.assert_allclose(weights, truth.item_popularity * interest, rtol=1e-5)
    np.testing.assert_allclose(truth.interests_by_index(users, items), interest, rtol=1e-5)
    ids = truth.choice_weights(truth.user_ids.to_numpy()[:, None], truth.item_ids.to_numpy()[None, :])
    np.testing.assert_array_equal(ids, weights)


def test_interest_without_selectivity_is_one() -> None:
    attraction = np.array([-3.0, 0.0, 5.0], np.float32)
    assert compute_interest(attraction, selectivity=0.0).tolist() == [1.0, 1.0, 1.0]


def test_users_rate_what_they_like_and_what_is_popular(demo: SyntheticDataset, truth: GroundTruth) -> None:
    expected = truth.expected_ratings_by_index(*all_pairs(truth), np.array(DEMO.end))
    assert expected[rated_pairs(demo)].mean() > expected.mean() + 0.3
    weights = truth.choice_weights_by_index(*all_pairs(truth))
    ranks = weights.argsort(axis=1).argsort(axis=1) / weights.shape[1]
    assert ranks[rated_pairs(demo)].mean() > 0.8


def test_attraction_and_taste_have_the_correlation_of_the_specification() -> None:
    for correlation in (0.63, 1.0, 0.0, -0.5):
        spec = SyntheticSpec(n_ratings=100_000, attraction_correlation=correlation)
        truth = draw_ground_truth(spec, seed=2)
        taste = truth.user_factors @ truth.item_factors.T
        attraction = truth.user_interests @ truth.item_factors.T
        assert np.corrcoef(taste.ravel(), attraction.ravel())[0, 1] == pytest.approx(correlation, abs=0.06)


def test_personal_lists_are_clearly_better_than_popular_lists(demo: SyntheticDataset) -> None:
    split = split_at_random(len(demo.ratings), test_share=0.2, seed=0)
    matrix = InteractionMatrix.from_frame(demo.ratings.iloc[split.train])
    held_out = encode_pairs(demo.ratings.iloc[split.test], matrix)
    is_hit = held_out.actual >= 4
    relevant = RelevantItems.from_pairs(held_out.users[is_hit], held_out.items[is_hit], matrix.n_users)

    def mean_ndcg(algorithm: EASE | Popularity) -> float:
        lists, _ = recommend_from_algorithm(algorithm.fit(matrix), matrix.indptr, matrix.items, 10)
        return float(ndcg(find_hits(lists, relevant), 10).mean())

    assert mean_ndcg(EASE(reg=400, threshold=4.0)) > 1.7 * mean_ndcg(Popularity(threshold=4.0))


@pytest.mark.parametrize(
    "arguments",
    [{}, {"noise_skew": 0.0}, {"noise_skew": 2.0}, {"step": 0.5}, {"high": 10.0}, {"noise_std": 0.0}],
)
def test_like_probability_equals_the_share_of_simulated_ratings(arguments: dict[str, Any]) -> None:
    truth = draw_ground_truth(SyntheticSpec(n_ratings=2000, **arguments), seed=3)
    users, items = truth.user_ids.to_numpy()[:8][:, None], truth.item_ids.to_numpy()[:40][None, :]
    n_seeds = 400
    ratings = np.stack([truth.simulate_ratings(users, items, seed=seed) for seed in range(n_seeds)])
    for threshold in (truth.spec.like_threshold, truth.spec.high, truth.spec.lowest_rating + 1):
        share = (ratings >= threshold).mean(axis=0)
        probabilities = truth.like_probabilities(users, items, threshold)
        std = np.sqrt(probabilities * (1 - probabilities) / n_seeds)
        assert (np.abs(share - probabilities) <= 5 * std + 1e-3).all()


def test_liked_items_are_rated_four_or_five_by_default(truth: GroundTruth) -> None:
    by_default = truth.like_probabilities("u1", truth.item_ids)
    np.testing.assert_array_equal(by_default, truth.like_probabilities("u1", truth.item_ids, threshold=4.0))
    np.testing.assert_array_equal(
        by_default, truth.like_probabilities("u1", truth.item_ids, threshold=3.1, at=DEMO.end)
    )


def test_every_rating_reaches_the_lowest_and_none_exceeds_the_highest(truth: GroundTruth) -> None:
    users, items = truth.user_ids.to_numpy()[:3][:, None], truth.item_ids.to_numpy()[:5][None, :]
    assert (truth.like_probabilities(users, items, threshold=1.0) == np.ones((3, 5))).all()
    assert (truth.like_probabilities(users, items, threshold=5.5) == np.zeros((3, 5))).all()


@given(weights=WEIGHTS, n_choices=st.floats(0.1, 11), attention=st.floats(1, 50))
def test_choice_probabilities_add_up_and_increase_with_weight_and_attention(
    weights: Float64Array, n_choices: float, attention: float
) -> None:
    own = choice_probabilities(weights, n_choices)
    assert own.sum(axis=1) == pytest.approx(n_choices, rel=1e-6)
    assert (own >= 0).all()
    assert (own <= 1).all()
    order = weights.argsort(axis=1)
    assert (np.diff(np.take_along_axis(own, order, axis=1), axis=1) >= 0).all()
    assert (choice_probabilities(weights, n_choices, attention) >= own - 1e-12).all()


def test_choice_probabilities_are_close_to_the_shares_of_a_simulated_race() -> None:
    rng = np.random.default_rng(1)
    weights = rng.lognormal(sigma=1.5, size=100)
    arrivals = rng.standard_exponential((4000, 100)) / weights
    is_chosen = arrivals.argsort(axis=1).argsort(axis=1) < 10
    np.testing.assert_allclose(is_chosen.mean(axis=0), choice_probabilities(weights[None], 10)[0], atol=0.04)


def test_item_without_weight_is_never_chosen() -> None:
    probabilities = choice_probabilities(np.array([[0.0, 2.0, 3.0]]), n_choices=1, attention=9)
    assert probabilities[0, 0] == 0
    assert (probabilities[0, 1:] > 0).all()


@pytest.mark.parametrize("n_choices", [0, 2, 5, float("nan")])
def test_number_of_choices_must_be_less_than_the_available_items(n_choices: float) -> None:
    weights = np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    with pytest.raises(DataError, match=r"n_choices must be between 0 and .* 2 \(got"):
        choice_probabilities(weights, n_choices)
