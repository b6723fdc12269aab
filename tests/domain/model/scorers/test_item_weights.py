"""Item weights: the largest of each row are kept, and scores are sums over a history."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from marquee.model.history_weighting import HistoryWeighting
from marquee.model.scorers.item_weights import ItemWeights

WEIGHTS = np.array(
    [[0.0, 0.5, -0.75, 0.25], [0.5, 0.0, 0.5, 0.5], [0.0, 0.0, 0.0, 0.0], [1.0, 2.0, 3.0, 0.0]]
)


def test_weights_with_the_largest_absolute_values_are_kept() -> None:
    kept = ItemWeights.from_matrix(WEIGHTS, HistoryWeighting(), k=2)
    assert kept.weight_items.tolist() == [[1, 2], [0, 2], [0, 1], [1, 2]]
    assert kept.item_weights.tolist() == [[0.5, -0.75], [0.5, 0.5], [0.0, 0.0], [2.0, 3.0]]


def test_k_larger_than_the_catalog_keeps_everything() -> None:
    kept = ItemWeights.from_matrix(WEIGHTS, HistoryWeighting(), k=100)
    assert kept.item_weights.tolist() == WEIGHTS.tolist()


def test_scores_are_weighted_sums_over_the_history() -> None:
    weights = ItemWeights.from_matrix(WEIGHTS, HistoryWeighting(), k=4)
    scores = weights.score_items(np.array([0, 3], dtype=np.int32), np.array([2.0, -1.0]))
    assert scores.tolist() == [-1.0, -1.0, -4.5, 0.5]


def test_empty_history_scores_zero() -> None:
    weights = ItemWeights.from_matrix(WEIGHTS, HistoryWeighting(), k=2)
    assert weights.score_items(np.zeros(0, dtype=np.int32), np.zeros(0)).tolist() == [0.0] * 4


@given(st.integers(0, 2**32 - 1), st.integers(1, 600), st.integers(1, 40))
def test_kept_weights_are_those_of_a_full_sort(seed: int, n_items: int, k: int) -> None:
    matrix = np.random.default_rng(seed).integers(-3, 4, (n_items, n_items)) / 2  # many equal values
    kept = ItemWeights.from_matrix(matrix, HistoryWeighting(), k)
    order = np.argsort(-np.abs(matrix), axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(kept.weight_items, np.sort(order, axis=1))
