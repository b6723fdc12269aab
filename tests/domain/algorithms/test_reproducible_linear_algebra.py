"""Linear algebra: parity with NumPy, and bit-identical results for any threads, tiles and memory layout."""

from itertools import pairwise

import numpy as np
import pytest

from marquee.algorithms import reproducible_linear_algebra
from marquee.algorithms.reproducible_linear_algebra import (
    BLOCK_SIZE,
    SWEEP_SIZE,
    Cholesky,
    allocate_padded_square,
    eigendecompose_symmetric,
    invert_cholesky_factor,
    invert_symmetric,
    multiply_matrices,
    orthonormalize_columns,
)
from marquee.algorithms.threads import limit_threads
from marquee.array_types import Float64Array, FloatArray

SHAPES = [(1, 1, 1), (3, 0, 4), (4, 5, 16), (7, 5, 3), (65, 300, 17), (600, 33, 33)]


def random_matrix(n_rows: int, n_columns: int, dtype: str = "float32") -> FloatArray:
    matrix = np.random.default_rng(n_rows + n_columns).standard_normal((n_rows, n_columns))
    return matrix.astype(dtype)


def positive_definite_matrix(n: int) -> Float64Array:
    X = random_matrix(n, n + 5, dtype="float64")
    return X @ X.T / n + np.eye(n)


def factorize(A: FloatArray) -> Cholesky:
    square = allocate_padded_square(len(A))
    square[: len(A), : len(A)] = np.tril(A)
    return Cholesky(square, len(A))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("rows", "depth", "columns"), SHAPES)
def test_product_equals_that_of_numpy(rows: int, depth: int, columns: int, dtype: str) -> None:
    A, B = random_matrix(rows, depth, dtype=dtype), random_matrix(depth, columns, dtype=dtype)
    expected = A.astype(np.float64) @ B
    np.testing.assert_allclose(multiply_matrices(A, B), expected, atol=1e-4 if dtype == "float32" else 1e-12)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make blocks as small as possible, so that small matrices use several threads as well."""
    monkeypatch.setattr(reproducible_linear_algebra, "MIN_MULTIPLICATIONS", 1)


@pytest.mark.usefixtures("small_blocks")
def test_element_of_product_depends_only_on_its_row_and_column() -> None:
    A, B = random_matrix(601, 300), random_matrix(300, 37)
    expected = multiply_matrices(A, B)
    with limit_threads(3):
        assert (multiply_matrices(A, B) == expected).all()
    assert (multiply_matrices(np.asfortranarray(A), B) == expected).all()
    for start, stop in pairwise([0, 1, 6, 601]):
        assert (multiply_matrices(A[start:stop], B[:, 30:]) == expected[start:stop, 30:]).all()


@pytest.mark.parametrize("n", [1, 5, 33])
def test_inverse_of_cholesky_factor_equals_that_of_numpy(n: int) -> None:
    A = positive_definite_matrix(n)
    np.testing.assert_allclose(invert_cholesky_factor(A), np.linalg.inv(np.linalg.cholesky(A)), atol=1e-12)


@pytest.mark.parametrize("n", [1, 16, 33, BLOCK_SIZE, BLOCK_SIZE + 1, 3 * BLOCK_SIZE + 5])
def test_cholesky_solution_equals_that_of_numpy(n: int) -> None:
    A, V = positive_definite_matrix(n), random_matrix(n, 21)
    np.testing.assert_allclose(factorize(A).solve(V), np.linalg.solve(A, V), atol=2e-5)


@pytest.mark.usefixtures("small_blocks")
def test_solution_is_bit_identical_for_any_thread_count() -> None:
    A, V = positive_definite_matrix(4 * BLOCK_SIZE), random_matrix(4 * BLOCK_SIZE, 40)
    with limit_threads(1):
        expected = factorize(A).solve(V)
    with limit_threads(3):
        assert (factorize(A).solve(V) == expected).all()


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize(
    "n", [1, 6, 17, SWEEP_SIZE, SWEEP_SIZE + 1, 2 * SWEEP_SIZE + 3 * BLOCK_SIZE // 2 + 5]
)
def test_inverse_equals_that_of_numpy_and_reads_only_the_lower_triangle(
    n: int, dtype: str, tolerance: float
) -> None:
    A = positive_definite_matrix(n)
    inverse = A.astype(dtype)
    inverse[np.triu_indices(n, 1)] = np.nan
    invert_symmetric(inverse)
    np.testing.assert_allclose(inverse, np.linalg.inv(A), atol=tolerance)
    assert (inverse == inverse.T).all()


def test_inverse_of_ill_conditioned_matrix_is_as_accurate_as_that_of_numpy() -> None:
    n = 2 * SWEEP_SIZE
    Q = np.linalg.qr(random_matrix(n, n, dtype="float64"))[0]
    values = np.logspace(0, 6, n)
    A, exact = (Q * values) @ Q.T, (Q / values) @ Q.T
    inverse = A.copy()
    invert_symmetric(inverse)
    error, numpy_error = (np.abs(X - exact).max() for X in (inverse, np.linalg.inv(A)))
    assert error < 10 * numpy_error < 1e-8


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_inverse_is_bit_identical_for_any_thread_count(dtype: str) -> None:
    A = positive_definite_matrix(3 * SWEEP_SIZE + 9).astype(dtype)
    inverses = [A.copy() for _ in range(3)]
    for n_threads, inverse in enumerate(inverses, start=1):
        with limit_threads(n_threads):
            invert_symmetric(inverse)
    assert (inverses[0] == inverses[1]).all()
    assert (inverses[0] == inverses[2]).all()


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_matrix_that_is_not_positive_definite_is_rejected(value: float) -> None:
    A = np.diag([1.0, 2.0, value])
    with pytest.raises(np.linalg.LinAlgError):
        invert_cholesky_factor(A)
    with pytest.raises(np.linalg.LinAlgError):
        factorize(A)
    with pytest.raises(np.linalg.LinAlgError):
        invert_symmetric(A)


def test_orthonormal_columns_have_the_same_span() -> None:
    A = random_matrix(50, 8)
    Q = orthonormalize_columns(A)
    np.testing.assert_allclose(Q.T @ Q, np.eye(8), atol=1e-6)
    np.testing.assert_allclose(Q @ (Q.T @ A), A, atol=1e-5)


def test_dependent_column_becomes_zero() -> None:
    A = random_matrix(50, 4)
    A[:, 2] = A[:, 0] - 2 * A[:, 1]
    Q = orthonormalize_columns(A)
    np.testing.assert_allclose(Q.T @ Q, np.diag([1, 1, 0, 1]), atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 40])
def test_eigenvalues_descend_and_fit_their_eigenvectors(n: int) -> None:
    G = positive_definite_matrix(n)
    values, vectors = eigendecompose_symmetric(G)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(G)[::-1], rtol=1e-10)
    np.testing.assert_allclose(G @ vectors, vectors * values, atol=1e-9)


def test_eigendecomposition_of_nan_terminates() -> None:
    values, _ = eigendecompose_symmetric(np.full((4, 4), np.nan))
    assert np.isnan(values).all()
