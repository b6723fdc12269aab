"""Stored scorers of item models and user k-NN: their scores are those of the algorithm's fold-in."""

from typing import Any

import numpy as np
import pytest

from marquee.algorithms.registry import find_algorithm
from marquee.model.scorers.history import TrainingHistories
from marquee.model.scorers.stored_scorer import Scorer, describe_scorer, is_description, restore_scorer
from tests.support.rating_samples import sample_ratings

MATRIX = sample_ratings(3, n_users=40, n_items=30, n_ratings=500, allow_repeats=False).matrix
TRAINING = TrainingHistories(MATRIX.indptr, MATRIX.items, MATRIX.values.astype(np.float32))
LINEAR = {"weighting": "linear", "neutral": 2.5}
MODELS: list[tuple[str, dict[str, Any]]] = [
    ("edlae", LINEAR),
    ("ease", {"n_weights": 8}),
    ("slim", LINEAR),
    ("item_knn", {"k": 8, **LINEAR}),
    ("rp3beta", {"k": 8}),
    *(
        ("user_knn", {"k": 9, "similarity": name, **LINEAR})
        for name in ("cosine", "jaccard", "tf_idf", "bm25")
    ),
    ("user_knn", {"k": 9, "shrinkage": 2.5}),
]
every_model = pytest.mark.parametrize(("name", "parameters"), MODELS)


def fit_and_restore(name: str, parameters: dict[str, Any]) -> tuple[Any, Scorer]:
    """Return a fitted algorithm, and the scorer that is restored from what it stores."""
    algorithm = find_algorithm(name).create(parameters, 1).fit(MATRIX)
    stored = algorithm.build_stored_scorer(None)
    assert stored is not None
    description, arrays = describe_scorer(stored), stored.arrays()
    assert is_description(description)
    for key, spec in stored.array_specs(MATRIX.n_users, MATRIX.n_items).items():
        assert arrays[key].dtype == spec.dtype
        assert arrays[key].shape == spec.shape
        assert spec.n_ids is None or arrays[key].max(initial=0) < spec.n_ids
    return algorithm, restore_scorer(description, arrays.__getitem__).create_scorer(TRAINING)


@every_model
def test_scores_of_a_history_are_those_of_the_fold_in(name: str, parameters: dict[str, Any]) -> None:
    algorithm, scorer = fit_and_restore(name, parameters)
    histories = [{4: 5.0, 0: 1.0, 7: 4.0}, {2: 5.0}, dict.fromkeys(range(30), 5.0)]
    for history in histories:
        expected = algorithm.score_histories([0, len(history)], list(history), list(history.values()))[0]
        assert scorer.can_score(history)
        np.testing.assert_allclose(scorer.score_history(history), expected, rtol=1e-4, atol=1e-5)


@every_model
def test_scores_of_a_user_are_those_of_training_with_recent_ratings(
    name: str, parameters: dict[str, Any]
) -> None:
    algorithm, scorer = fit_and_restore(name, parameters)
    user = 3
    start, stop = MATRIX.indptr[user : user + 2]
    trained = dict(zip(MATRIX.items[start:stop].tolist(), MATRIX.values[start:stop].tolist(), strict=True))
    np.testing.assert_allclose(
        scorer.score_user(user, {}), algorithm.score_all_items([user])[0], rtol=1e-4, atol=1e-5
    )
    if name != "user_knn":  # its fold-in does not know which training user to leave out
        first = next(iter(trained))
        history = {**trained, first: 2.5, 29: 5.0}
        expected = algorithm.score_histories([0, len(history)], list(history), list(history.values()))[0]
        scores = scorer.score_user(user, {first: 2.5, 29: 5.0})
        np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


@every_model
def test_history_without_a_weight_cannot_be_scored(name: str, parameters: dict[str, Any]) -> None:
    _, scorer = fit_and_restore(name, parameters)
    ignored = 2.5 if "neutral" in parameters else 3.0
    assert not scorer.can_score({})
    assert not scorer.can_score({1: ignored})
    assert scorer.can_score({1: None})


@every_model
def test_only_dislikes_have_finite_scores(name: str, parameters: dict[str, Any]) -> None:
    _, scorer = fit_and_restore(name, parameters)
    history = {1: 1.0, 2: 1.0}
    if scorer.can_score(history):
        assert np.isfinite(scorer.score_history(history)).all()
    assert np.isfinite(scorer.score_user(0, history)).all()


@pytest.mark.parametrize(
    "change",
    [
        {"k": 0},
        {"k": "9"},
        {"similarity": {"name": "pearson", "shrinkage": 0.0, "mean_length": 1.0}},
        {"similarity": {"name": "cosine", "shrinkage": -1.0, "mean_length": 1.0}},
        {"similarity": None},
        {"weighting": {"name": "cubic"}},
    ],
)
def test_invalid_constants_of_user_neighbors_are_rejected(change: dict[str, Any]) -> None:
    stored = find_algorithm("user_knn").create({}, 1).fit(MATRIX).build_stored_scorer(None)
    assert stored is not None
    assert not is_description({**describe_scorer(stored), **change})
