"""Matrices: each result against NumPy, and the same bits whatever the threads, tiles and layout are."""

from itertools import pairwise

import numpy as np
import pytest

from marquee.algorithms.matrices import (
    BLOCK,
    Cholesky,
    eigen,
    inverse_of_factor,
    orthonormal,
    padded_square,
    product,
)
from marquee.algorithms.threads import limit_threads

SHAPES = [(1, 1, 1), (3, 0, 4), (4, 5, 16), (7, 5, 3), (65, 300, 17), (600, 33, 33)]


def random(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def positive_definite(n: int) -> np.ndarray:
    X = random(n, n + 5, dtype="float64")
    return X @ X.T / n + np.eye(n)


def cholesky_of(A: np.ndarray) -> Cholesky:
    square = padded_square(len(A))
    square[: len(A), : len(A)] = np.tril(A)
    return Cholesky(square, len(A))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("rows", "depth", "columns"), SHAPES)
def test_product(rows: int, depth: int, columns: int, dtype: str) -> None:
    A, B = random(rows, depth, dtype=dtype), random(depth, columns, dtype=dtype)
    expected = A.astype(np.float64) @ B
    np.testing.assert_allclose(product(A, B), expected, atol=1e-4 if dtype == "float32" else 1e-12)


def test_an_element_of_a_product_depends_on_its_row_and_column_alone() -> None:
    A, B = random(601, 300), random(300, 37)
    whole = product(A, B)
    with limit_threads(3):
        assert (product(A, B) == whole).all()
    assert (product(np.asfortranarray(A), B) == whole).all()
    for start, stop in pairwise([0, 1, 6, 601]):
        assert (product(A[start:stop], B[:, 30:]) == whole[start:stop, 30:]).all()


@pytest.mark.parametrize("n", [1, 5, 33])
def test_inverse_of_a_factor(n: int) -> None:
    A = positive_definite(n)
    np.testing.assert_allclose(inverse_of_factor(A), np.linalg.inv(np.linalg.cholesky(A)), atol=1e-12)


@pytest.mark.parametrize("n", [1, 16, 33, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
def test_cholesky_solves(n: int) -> None:
    A, V = positive_definite(n), random(n, 21)
    np.testing.assert_allclose(cholesky_of(A).solve(V), np.linalg.solve(A, V), atol=2e-5)


def test_cholesky_gives_the_same_bits_with_any_number_of_threads() -> None:
    A, V = positive_definite(4 * BLOCK), random(4 * BLOCK, 40)
    with limit_threads(1):
        alone = cholesky_of(A).solve(V)
    with limit_threads(3):
        assert (cholesky_of(A).solve(V) == alone).all()


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_what_is_not_positive_definite_is_refused(value: float) -> None:
    A = np.diag([1.0, 2.0, value])
    with pytest.raises(np.linalg.LinAlgError):
        inverse_of_factor(A)
    with pytest.raises(np.linalg.LinAlgError):
        cholesky_of(A)


def test_orthonormal_columns_span_the_same() -> None:
    A = random(50, 8)
    Q = orthonormal(A)
    np.testing.assert_allclose(Q.T @ Q, np.eye(8), atol=1e-6)
    np.testing.assert_allclose(Q @ (Q.T @ A), A, atol=1e-5)


def test_a_dependent_column_becomes_zero() -> None:
    A = random(50, 4)
    A[:, 2] = A[:, 0] - 2 * A[:, 1]
    Q = orthonormal(A)
    np.testing.assert_allclose(Q.T @ Q, np.diag([1, 1, 0, 1]), atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 40])
def test_eigenvalues_descend_beside_their_vectors(n: int) -> None:
    G = positive_definite(n)
    values, vectors = eigen(G)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(G)[::-1], rtol=1e-10)
    np.testing.assert_allclose(G @ vectors, vectors * values, atol=1e-9)


def test_eigenvectors_of_numbers_that_are_not_finite_end() -> None:
    values, _ = eigen(np.full((4, 4), np.nan))
    assert np.isnan(values).all()
