"""Blend: weighted sums of standardized scores, shared members, and errors that name the member."""

from typing import Any

import numpy as np
import pytest

from marquee.algorithms import product_ranker
from marquee.algorithms.blend import Blend
from marquee.algorithms.kernels.blend import add_standardized_rows
from marquee.algorithms.registry import find_algorithm
from marquee.algorithms.shared_training import train_shared
from marquee.errors import ConfigError, DataError, DivergedError, ParameterError
from marquee.interactions.matrix import InteractionMatrix
from marquee.model.scorers.blend import _combine
from marquee.model.scorers.history import TrainingHistories
from marquee.model.scorers.stored_scorer import describe_scorer, is_description
from tests.support.rating_samples import sample_ratings

EASE_BINARY = {"algorithm": "ease", "parameters": {"reg": 20.0}, "weight": 2.0}
EASE_LINEAR = {"algorithm": "ease", "parameters": {"reg": 20.0, "weighting": "linear"}, "weight": 1.0}
ALS = {"algorithm": "implicit_als", "parameters": {"n_factors": 4}, "weight": 0.5}


@pytest.fixture(scope="module")
def matrix() -> InteractionMatrix:
    return sample_ratings(4, n_users=40, n_items=30, n_ratings=400, allow_repeats=False).matrix


def standardize(scores: np.ndarray) -> np.ndarray:
    deviations = scores.std(axis=1, keepdims=True)
    deviations[deviations == 0] = np.inf
    standardized: np.ndarray = (scores - scores.mean(axis=1, keepdims=True)) / deviations
    return standardized


def test_scores_are_weighted_sums_of_standardized_scores(matrix: InteractionMatrix) -> None:
    blend = Blend([EASE_BINARY, EASE_LINEAR]).fit(matrix)
    users = np.arange(matrix.n_users)
    binary, linear = (
        find_algorithm("ease").create(member["parameters"], 0).fit(matrix).score_all_items(users)  # type: ignore[arg-type]
        for member in (EASE_BINARY, EASE_LINEAR)
    )
    expected = 2 * standardize(binary) + standardize(linear)
    np.testing.assert_allclose(blend.score_all_items(users), expected, atol=1e-9)


def test_histories_get_the_scores_of_known_users(matrix: InteractionMatrix) -> None:
    blend = Blend([EASE_BINARY, EASE_LINEAR]).fit(matrix)
    scores = blend.score_histories(matrix.indptr, matrix.items, matrix.values)
    np.testing.assert_allclose(scores, blend.score_all_items(np.arange(matrix.n_users)), atol=1e-9)


def test_member_that_orders_nothing_for_a_user_adds_nothing(matrix: InteractionMatrix) -> None:
    blend = Blend([EASE_BINARY, EASE_LINEAR]).fit(matrix)
    assert not blend.score_all_items([-1]).any(), "an unknown user has no history"


@pytest.mark.parametrize("noise", [0.0, 1e-8])
def test_scores_that_differ_only_by_rounding_errors_add_nothing(noise: float) -> None:
    """The mean of ten numbers of 0.1 is not 0.1: even equal scores have a deviation above 0."""
    scores, totals = 0.1 + noise * np.arange(20.0).reshape(2, 10), np.zeros((2, 10))
    add_standardized_rows(scores, 1.0, totals, 0, 2)
    assert not totals.any()
    assert not _combine([scores[0].astype(np.float32)], [1.0]).any()


def test_stored_scorer_gives_the_scores_of_the_blend(matrix: InteractionMatrix) -> None:
    blend = Blend([EASE_BINARY, EASE_LINEAR, ALS], random_state=3).fit(matrix)
    stored = blend.build_stored_scorer(None)
    assert stored is not None
    training = TrainingHistories(matrix.indptr, matrix.items, matrix.values.astype(np.float32))
    scorer = stored.create_scorer(training)
    for user in range(5):
        start, stop = matrix.indptr[user : user + 2]
        items, values = matrix.items[start:stop], matrix.values[start:stop]
        expected = blend.score_histories([0, len(items)], items, values)[0]
        np.testing.assert_allclose(scorer.score_user(user, {}), expected, atol=1e-3)
        history = dict(zip(items.tolist(), values.tolist(), strict=True))
        np.testing.assert_allclose(scorer.score_history(history), expected, atol=1e-3)


@pytest.mark.parametrize(
    "change", [{"weights": [1.0, 0.0]}, {"weights": [1.0]}, {"members": [], "weights": []}, {"members": None}]
)
def test_invalid_constants_of_a_stored_blend_are_rejected(
    matrix: InteractionMatrix, change: dict[str, Any]
) -> None:
    stored = Blend([EASE_BINARY, EASE_LINEAR]).fit(matrix).build_stored_scorer(None)
    assert stored is not None
    assert is_description(describe_scorer(stored))
    assert not is_description({**describe_scorer(stored), **change})


def test_served_copy_scores_as_the_stored_scorer(
    matrix: InteractionMatrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    blend = Blend([EASE_BINARY, ALS], random_state=3).fit(matrix)
    assert blend.build_served_copy() is None, "all weights are stored"
    monkeypatch.setattr(product_ranker, "N_ITEM_WEIGHTS", 5)
    served, stored = blend.build_served_copy(), blend.build_stored_scorer(None)
    assert served is not None
    assert stored is not None
    training = TrainingHistories(matrix.indptr, matrix.items, matrix.values.astype(np.float32))
    scores = stored.create_scorer(training).score_history({3: 5.0, 8: 4.0})
    np.testing.assert_allclose(scores, served.score_histories([0, 2], [3, 8], [5.0, 4.0])[0], atol=1e-3)
    assert np.abs(scores - blend.score_histories([0, 2], [3, 8], [5.0, 4.0])[0]).max() > 0.01


def test_history_that_a_member_cannot_score_is_scored_by_the_others(matrix: InteractionMatrix) -> None:
    """A rating of 2 is no positive, but has a linear weight."""
    stored = Blend([EASE_BINARY, EASE_LINEAR]).fit(matrix).build_stored_scorer(None)
    alone = Blend([EASE_LINEAR]).fit(matrix).build_stored_scorer(None)
    assert stored is not None
    assert alone is not None
    nobody = TrainingHistories(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
    both, linear = stored.create_scorer(nobody), alone.create_scorer(nobody)
    assert both.can_score({3: 2.0})
    np.testing.assert_array_equal(both.score_history({3: 2.0}), linear.score_history({3: 2.0}))


def test_blends_that_share_members_equal_separately_fitted_ones(matrix: InteractionMatrix) -> None:
    points: list[dict[str, Any]] = [
        {"members": [EASE_BINARY, ALS]},
        {"members": [EASE_BINARY, {**ALS, "weight": 3.0}]},
        {"members": [ALS]},
    ]
    users = np.arange(matrix.n_users)
    snapshots = train_shared(find_algorithm("blend"), points, 7, matrix)
    for point, snapshot in zip(points, snapshots, strict=True):
        separate = find_algorithm("blend").create(point, 7).fit(matrix)
        for _ in range(2):  # the second time from the kept scores
            shared_scores = snapshot.algorithm.score_all_items(users)
            np.testing.assert_array_equal(shared_scores, separate.score_all_items(users))


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ({"algorithm": "ease"}, "must have algorithm, parameters and weight"),
        ({"algorithm": "ease", "weight": 1, "reg": 3}, "must have algorithm, parameters and weight"),
        ({"algorithm": "ease", "weight": 0}, r"must be above 0 \(got 0\)"),
        ({"algorithm": "ease", "weight": float("nan")}, "must be above 0"),
        ({"algorithm": "popularity", "weight": 1}, "by histories, which Popularity does not"),
        ({"algorithm": "svd", "weight": 1}, "by histories, which SVD does not"),
        ({"algorithm": "blend", "weight": 1}, "by histories, which Blend does not"),
        ({"algorithm": "eaze", "weight": 1}, "did you mean 'ease'"),
        ({"algorithm": "ease", "weight": 1, "parameters": None}, r"must be a mapping \(got None\)"),
        ({"algorithm": "ease", "weight": 1, "parameters": {"reg": -1}}, "reg"),
        ({"algorithm": "ease", "weight": 1, "parameters": {"regg": 1}}, "did you mean 'reg'"),
    ],
)
def test_invalid_member_is_one_clear_line(
    matrix: InteractionMatrix, member: dict[str, object], message: str
) -> None:
    with pytest.raises((ParameterError, ConfigError), match=message) as caught:
        Blend([member]).fit(matrix)
    assert "\n" not in str(caught.value)


def test_blend_without_members_is_rejected(matrix: InteractionMatrix) -> None:
    with pytest.raises(ParameterError, match="must not be empty"):
        Blend([]).fit(matrix)


def test_error_of_a_member_names_it(matrix: InteractionMatrix) -> None:
    singular = {"algorithm": "ease", "parameters": {"reg": 0.0, "threshold": 5.0}, "weight": 1.0}
    with pytest.raises(DivergedError, match="member 2 of the blend, EASE: EASE: the co-occurrences"):
        Blend([EASE_LINEAR, singular]).fit(matrix)
    no_positives = {"algorithm": "ease", "parameters": {"threshold": 9.0}, "weight": 1.0}
    with pytest.raises(DataError, match="member 1 of the blend, EASE: EASE: no rating counts"):
        Blend([no_positives]).fit(matrix)


def test_member_that_fails_does_not_fail_the_blends_without_it(matrix: InteractionMatrix) -> None:
    singular = {"algorithm": "ease", "parameters": {"reg": 0.0, "threshold": 5.0}, "weight": 1.0}
    points = [{"members": [EASE_BINARY, singular]}, {"members": [singular]}, {"members": [EASE_BINARY, ALS]}]
    snapshots = train_shared(find_algorithm("blend"), points, 7, matrix)
    assert next(snapshots).points == (2,)
    with pytest.raises(DivergedError, match="member 2 of the blend, EASE"):
        next(snapshots)
