"""BPR: the kernel against a plain implementation, quality, fold-in of both BPR models, invalid arguments."""

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from marquee.algorithms.bpr import BPR
from marquee.algorithms.factor_ranker import BiasedFactorRanker
from marquee.algorithms.implicit_feedback import ImplicitBPR
from marquee.algorithms.kernels.bpr import _chance_of_misrank, _draw_below, run_bpr_epoch
from marquee.algorithms.ranking_base import Ranker
from marquee.array_types import Float64Array
from marquee.errors import DivergedError, ParameterError
from tests.domain.algorithms.test_ranking_models import MATRIX, USERS, make_matrix, mean_ndcg

OPTIONS: dict[str, Any] = {"n_factors": 8, "n_epochs": 20, "lr_all": 0.05, "random_state": 1}
BOTH = pytest.mark.parametrize("create", [BPR, ImplicitBPR])


class Fixed(Ranker):
    """Ranker with given scores."""

    def __init__(self, scores: Float64Array) -> None:
        super().__init__()
        self._scores = scores

    def score_all_items(self, users: npt.ArrayLike) -> Float64Array:
        scores: Float64Array = self._scores[np.asarray(users)]
        return scores


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("n_factors", [3, 13])
def test_epoch_equals_plain_implementation(dtype: str, tolerance: float, n_factors: int) -> None:
    rng = np.random.default_rng(0)
    users, items = np.divmod(np.flatnonzero(rng.random(12 * 9) < 0.4).astype(np.int32), np.int32(9))
    indptr = np.searchsorted(users, np.arange(13)).astype(np.int64)
    P, Q, b = (rng.normal(size=shape).astype(dtype) for shape in ((12, n_factors), (9, n_factors), 9))
    expected = run_plain_epoch(users, items, *(array.astype(np.float64) for array in (P, Q, b)))
    rate, decay = np.array([0.1, 0.99]).astype(dtype)
    run_bpr_epoch(users, items, indptr, P, Q, b, rate, decay, 4, np.uint64(77))
    for actual, array in zip((P, Q, b), expected, strict=True):
        np.testing.assert_allclose(actual, array, rtol=tolerance, atol=tolerance)


def run_plain_epoch(
    users: np.ndarray, items: np.ndarray, P: np.ndarray, Q: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Run an epoch of four candidates with rate 0.1, decay 0.99 and counter 77."""
    positives = set(zip(users.tolist(), items.tolist(), strict=True))
    for t in range(len(items)):
        draw = [_draw_below(np.uint64(77 + 5 * t + c), len(items) if c == 0 else len(b)) for c in range(5)]
        u, i = users[draw[0]], items[draw[0]]
        others = [j for j in draw[1:] if (u, j) not in positives]
        if not others:
            continue
        j = max(others, key=lambda item: b[item] + P[u] @ Q[item])
        step = 0.1 / (1 + np.exp(b[i] + P[u] @ Q[i] - b[j] - P[u] @ Q[j]))
        p, q, r = P[u].copy(), Q[i].copy(), Q[j].copy()
        P[u], Q[i], Q[j] = 0.99 * p + step * (q - r), 0.99 * q + step * p, 0.99 * r - step * p
        b[i], b[j] = 0.99 * b[i] + step, 0.99 * b[j] - step
    return P, Q, b


def test_random_numbers_are_uniform_and_uncorrelated() -> None:
    draws = np.array([_draw_below(np.uint64(counter), 10) for counter in range(20_000)])
    pairs = np.bincount(draws[:-1] * 10 + draws[1:], minlength=100)
    assert draws.min() == 0
    assert draws.max() == 9
    assert ((pairs - 200) ** 2 / 200).sum() < 160  # chi-square with 99 degrees of freedom: p < 0.0001


def test_chance_of_misrank_is_finite_for_any_margin() -> None:
    margins = np.array([-np.inf, -1e6, -3.0, 0.0, 3.0, 1e6, np.inf])
    with np.errstate(over="ignore"):
        expected = 1 / (1 + np.exp(margins))
    np.testing.assert_allclose([_chance_of_misrank(x) for x in margins], expected, rtol=1e-14, atol=1e-200)


def test_user_who_likes_everything_changes_nothing() -> None:
    rows = [("fan", item, 5.0) for item in range(4)]
    start, end = (BPR(n_epochs=n, random_state=1).fit(make_matrix(rows)) for n in (0, 3))
    assert start.pu.tobytes() == end.pu.tobytes()
    assert start.qi.tobytes() == end.qi.tobytes()


@BOTH
def test_history_map_is_ridge_regression_of_user_factors(create: type[BiasedFactorRanker]) -> None:
    model = create(**OPTIONS, dtype="float64").fit(MATRIX)
    X = model._weigh(MATRIX.by_user, "float64").toarray()
    sums = X @ model.qi / np.sqrt(X.sum(axis=1))[:, None]
    gram = sums.T @ sums
    expected = np.linalg.solve(gram + 1e-4 * np.trace(gram) / 8 * np.eye(8), sums.T @ model.pu)
    np.testing.assert_allclose(model.fit_history_map(), expected, rtol=1e-3, atol=1e-4)
    scores = model.score_histories(MATRIX.indptr, MATRIX.items, MATRIX.values)
    np.testing.assert_allclose(scores, sums @ expected @ model.qi.T + model.bi, rtol=1e-3, atol=1e-3)


@BOTH
def test_folded_histories_rank_nearly_as_well_as_trained_users(create: type[BiasedFactorRanker]) -> None:
    model = create(**OPTIONS).fit(MATRIX)
    trained = mean_ndcg(model)
    scores = model.score_histories(MATRIX.indptr, MATRIX.items, MATRIX.values)
    assert mean_ndcg(Fixed(scores)) > 0.95 * trained


@BOTH
def test_known_user_without_positives_gets_item_biases(create: type[BiasedFactorRanker]) -> None:
    rows = [("fan", "a", 5.0), ("fan", "b", 4.0), ("critic", "a", 1.0), ("critic", "c", 2.0)]
    model = create(**OPTIONS).fit(make_matrix(rows))
    assert (model.score_all_items([1]) == model.bi).all()


@BOTH
def test_history_without_positives_gets_item_biases(create: type[BiasedFactorRanker]) -> None:
    model = create(**OPTIONS).fit(MATRIX)
    n = MATRIX.n_items
    items = [n + 3, *range(3), *np.arange(10_000) % n]
    values = [5.0, 1.0, 2.0, 3.0, *[5.0] * 10_000]
    scores = model.score_histories([0, 1, 4, 4, 10_004], items, values)
    assert (scores[:3] == model.bi).all()
    assert np.isfinite(scores).all()
    assert (model.score_all_items([-1]) == model.bi).all()


def test_seed_determines_the_model() -> None:
    fits = [BPR(8, 2, random_state=seed).fit(MATRIX).score_all_items(USERS) for seed in (1, 1, 2)]
    assert fits[0].tobytes() == fits[1].tobytes()
    assert not np.allclose(fits[0], fits[2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_candidates": 0}, "n_candidates must be an integer of at least 1 (got 0)"),
        ({"lr_all": -1}, "lr_all must be a finite number of at least 0 (got -1)"),
        ({"init_std_dev": np.nan}, "init_std_dev must be a finite number of at least 0 (got nan)"),
    ],
)
def test_invalid_arguments_are_rejected(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=re.escape(message)):
        BPR(**arguments).fit(MATRIX)


def test_divergence_is_reported() -> None:
    with pytest.raises(DivergedError, match=r"BPR diverged in epoch \d+ with lr_all=1e\+30"):
        BPR(lr_all=1e30, random_state=1).fit(MATRIX)
