"""Stored scorers of iALS and BPR: scores equal those of the algorithm, and new events change them."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from marquee.algorithms.bpr import BPR
from marquee.algorithms.factor_ranker import FactorRanker
from marquee.algorithms.ials import IALS
from marquee.algorithms.implicit_feedback import ImplicitALS, ImplicitBPR
from marquee.model.scorers.history import TrainingHistories
from marquee.model.scorers.stored_scorer import Scorer, describe_scorer, is_description, restore_scorer
from tests.support.rating_samples import sample_ratings

MATRIX = sample_ratings(3, n_users=40, n_items=30, n_ratings=500, allow_repeats=False).matrix
TRAINING = TrainingHistories(MATRIX.indptr, MATRIX.items, MATRIX.values.astype(np.float32))
OPTIONS: dict[str, Any] = {"n_factors": 6, "n_epochs": 4, "random_state": 1}
RANKERS = [
    IALS(**OPTIONS),
    IALS(**OPTIONS, weighting="linear", neutral=2.5, reg_exponent=0.5),
    BPR(**OPTIONS),
    ImplicitBPR(**{**OPTIONS, "n_epochs": 40}, lr_all=0.1, dtype="float64"),
    ImplicitALS(**OPTIONS, weighting="linear", neutral=2.5),
    ImplicitALS(**OPTIONS, alpha=0),
]
every_ranker = pytest.mark.parametrize("model", RANKERS, ids=lambda model: type(model).__name__)


@pytest.fixture(scope="module", autouse=True)
def _fit_rankers() -> None:
    for model in RANKERS:
        model.fit(MATRIX)


def restore(model: FactorRanker) -> Scorer:
    """Return the scorer of a model that was written and loaded."""
    stored = model.build_stored_scorer(None)
    assert stored is not None
    description = describe_scorer(stored)
    assert is_description(description)
    return restore_scorer(description, stored.arrays().__getitem__).create_scorer(TRAINING)


@every_ranker
def test_scores_of_histories_equal_fold_in_of_the_algorithm(model: FactorRanker) -> None:
    scorer = restore(model)
    indptr, items, values = [0, 1, 4, 12], np.arange(12), np.resize([5.0, 1.0, 4.0, 2.0, 3.0], 12)
    rows = model.score_histories(indptr, items, values)
    for row, (start, stop) in zip(rows, pairwise(indptr), strict=True):
        history = dict(zip(items[start:stop].tolist(), values[start:stop].tolist(), strict=True))
        assert scorer.can_score(history)
        np.testing.assert_allclose(scorer.score_history(history), row, rtol=1e-3, atol=1e-4)


@every_ranker
def test_scores_of_known_user_are_those_of_training_and_recent_events(model: FactorRanker) -> None:
    scorer, user = restore(model), 3
    trained = model.score_all_items([user])[0]
    if not isinstance(model, ImplicitALS):  # whose item factors are newer than its user factors
        np.testing.assert_allclose(scorer.score_user(user, {}), trained, rtol=1e-3, atol=1e-4)
    seen = TRAINING.items_of(user)
    new = int(np.setdiff1d(np.arange(MATRIX.n_items), seen)[0])
    assert scorer.score_user(user, {new: 5.0})[new] > scorer.score_user(user, {})[new]
    np.testing.assert_array_equal(scorer.score_user(user, {new: 5.0}), scorer.score_user(user, {new: None}))


@every_ranker
def test_new_rating_replaces_the_one_of_training(model: FactorRanker) -> None:
    scorer, user = restore(model), 3
    liked = int(TRAINING.items_of(user)[TRAINING.values_of(user) >= 4][0])
    assert scorer.score_user(user, {liked: 1.0})[liked] < scorer.score_user(user, {})[liked]


@every_ranker
def test_only_histories_with_a_positive_can_be_scored(model: FactorRanker) -> None:
    scorer = restore(model)
    assert not scorer.can_score({})
    assert not scorer.can_score({0: 1.0, 1: 2.0})
    assert scorer.can_score({0: 1.0, 1: None})


@every_ranker
def test_long_history_has_finite_scores(model: FactorRanker) -> None:
    scores = restore(model).score_history(dict.fromkeys(range(MATRIX.n_items), 5.0))
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", ["unobserved_weight", "reg", "reg_exponent"])
def test_invalid_constants_of_ials_are_refused(name: str) -> None:
    description = describe_scorer(IALS(**OPTIONS).fit(MATRIX).build_stored_scorer(None))
    for value in (-1.0, "1", None):
        assert not is_description({**description, name: value})
