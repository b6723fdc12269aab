"""iALS: closed form, loss, solvers, fold-in, invalid arguments."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from marquee.algorithms.ials import IALS, compute_gram_matrix
from marquee.algorithms.kernels.ials import GRAM_ROWS
from marquee.algorithms.threads import limit_threads
from marquee.array_types import Float64Array
from marquee.errors import DivergedError, ParameterError
from marquee.interactions.matrix import InteractionMatrix
from tests.support.rating_samples import sample_ratings

MATRIX = sample_ratings(3, n_users=40, n_items=30, n_ratings=500, allow_repeats=False).matrix
OPTIONS: dict[str, Any] = {"n_factors": 5, "n_epochs": 3, "random_state": 1, "dtype": "float64"}
LINEAR: dict[str, Any] = {"weighting": "linear", "neutral": 2.5}  # ratings of 1 and 2 have negative weights


def dense_weights(model: IALS, matrix: InteractionMatrix) -> Float64Array:
    return np.asarray(model._weigh(matrix.by_user, "float64").toarray())


def dense_regs(model: IALS, weights: Float64Array) -> Float64Array:
    """Return the regularization of each row."""
    sizes = (weights != 0).sum(axis=1) + model.unobserved_weight * weights.shape[1]
    return np.asarray(model.reg * sizes**model.reg_exponent)


def compute_loss(model: IALS) -> float:
    weights = dense_weights(model, model.training_matrix)
    scores = model.pu @ model.qi.T
    loss = (np.abs(weights) * ((weights > 0) - scores) ** 2).sum()
    loss += model.unobserved_weight * (scores**2).sum()
    for vectors, rows in ((model.pu, weights), (model.qi, weights.T)):
        loss += (dense_regs(model, rows) * (vectors**2).sum(axis=1)).sum()
    return float(loss)


@pytest.mark.parametrize("arguments", [{}, LINEAR, {"reg_exponent": 0.5}, {"n_factors": 8}])
def test_user_factors_solve_their_equations(arguments: dict[str, Any]) -> None:
    model = IALS(**OPTIONS | arguments).fit(MATRIX)
    weights, Q = dense_weights(model, MATRIX), model.qi
    for w, reg, p in zip(weights, dense_regs(model, weights), model.pu, strict=True):
        system = (Q.T * np.abs(w)) @ Q + model.unobserved_weight * Q.T @ Q + reg * np.eye(model.n_factors)
        expected = np.linalg.solve(system, Q.T @ np.maximum(w, 0)) if w.any() else np.zeros(model.n_factors)
        np.testing.assert_allclose(p, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("solver", ["exact", "block"])
@pytest.mark.parametrize("arguments", [{}, LINEAR])
def test_every_epoch_lowers_the_loss(solver: str, arguments: dict[str, Any]) -> None:
    model = IALS(**OPTIONS | {"n_epochs": 8}, solver=solver, block_size=2, **arguments)
    losses = [compute_loss(model) for _ in model.fit_by_epoch(MATRIX)]
    assert (np.diff(losses) < 0).all()


@pytest.mark.parametrize("block_size", [1, 3, 5, 100])
def test_block_solver_reaches_the_loss_of_the_exact_solver(block_size: int) -> None:
    exact = IALS(**OPTIONS | {"n_epochs": 60}).fit(MATRIX)
    blocks = IALS(**OPTIONS | {"n_epochs": 60}, solver="block", block_size=block_size).fit(MATRIX)
    assert compute_loss(blocks) == pytest.approx(compute_loss(exact), rel=1e-3)


def test_one_block_of_all_factors_is_the_exact_solution() -> None:
    exact, block = (IALS(**OPTIONS, solver=solver, block_size=9).fit(MATRIX) for solver in ("exact", "block"))
    np.testing.assert_allclose(block.pu, exact.pu, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_gram_matrix_of_several_blocks_is_padded_by_an_identity(dtype: str, tolerance: float) -> None:
    vectors = np.random.default_rng(0).normal(size=(2 * GRAM_ROWS + 7, 13)).astype(dtype)
    gram = compute_gram_matrix(vectors, 0.5)
    np.testing.assert_allclose(gram[:13, :13], vectors.T @ vectors / 2, rtol=tolerance, atol=500 * tolerance)
    assert gram.shape == (16, 16)
    assert gram[13:].tolist() == np.eye(16)[13:].tolist()


@pytest.mark.parametrize("solver", ["exact", "block"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_and_neighboring_rows_have_no_influence(solver: str, dtype: str) -> None:
    large = sample_ratings(5, n_users=300, n_items=200, n_ratings=6000).matrix
    fits = []
    for n_threads in (1, 3):
        with limit_threads(n_threads):
            model = IALS(12, 2, solver=solver, block_size=5, random_state=1, dtype=dtype).fit(large)
            fits.append(model.pu.tobytes() + model.qi.tobytes())
    assert fits[0] == fits[1]


def test_histories_of_training_users_get_the_scores_of_these_users() -> None:
    model = IALS(n_factors=9, n_epochs=3, random_state=1, **LINEAR).fit(MATRIX)
    scores = model.score_histories(MATRIX.indptr, MATRIX.items, MATRIX.values)
    assert scores.tobytes() == model.score_all_items(np.arange(MATRIX.n_users)).tobytes()


def test_long_history_and_history_of_dislikes_have_finite_scores() -> None:
    model = IALS(n_epochs=2, random_state=1, **LINEAR).fit(MATRIX)
    n = MATRIX.n_items
    items = np.concatenate([np.arange(10_000) % n, np.arange(n)])
    scores = model.score_histories(
        [0, 10_000, 10_000 + n], items, np.where(np.arange(len(items)) < 10_000, 5, 1)
    )
    assert np.isfinite(scores).all()
    assert (scores[0] > 0).any()
    assert (scores[1] == 0).all()  # nothing is liked, so nothing is preferred


def test_unobserved_weight_and_regularization_of_zero_have_no_solution() -> None:
    with pytest.raises(DivergedError, match="unobserved_weight=0, reg=0: raise reg or"):
        IALS(unobserved_weight=0, reg=0, random_state=1).fit(MATRIX)
    with pytest.raises(DivergedError, match="IALS diverged in epoch 1"):
        IALS(weighting="linear", random_state=1).fit(
            replace(MATRIX, values=MATRIX.values * 1e300, feedback="implicit")
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_factors": 0}, "n_factors must be an integer of at least 1 (got 0)"),
        ({"n_epochs": -1}, "n_epochs must be an integer of at least 0 (got -1)"),
        ({"unobserved_weight": -0.1}, "unobserved_weight must be a finite number of at least 0 (got -0.1)"),
        ({"reg": np.inf}, "reg must be a finite number of at least 0 (got inf)"),
        ({"reg_exponent": "1"}, "reg_exponent must be a finite number of at least 0 (got '1')"),
        ({"solver": "cg"}, "solver must be one of exact, block (got 'cg')"),
        ({"block_size": 0}, "block_size must be an integer of at least 1 (got 0)"),
    ],
)
def test_invalid_arguments_are_rejected(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=re.escape(message)):
        IALS(**arguments).fit(MATRIX)
