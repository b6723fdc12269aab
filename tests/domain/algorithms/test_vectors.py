"""Vectors: sums have the bits of the order that is documented, which no compiler may change."""

import numpy as np
import pytest
from numba.core.errors import TypingError

from marquee.algorithms.kernels.sgd import dots
from marquee.algorithms.kernels.vectors import VECTOR_BYTES, dot


def folded(lanes: np.ndarray) -> np.floating:
    """The sum of the lanes: the upper half is added to the lower one until one is left."""
    while len(lanes) > 1:
        lower, upper = np.split(lanes, 2)
        lanes = lower + upper
    return lanes[0]


def documented_dot(a: np.ndarray, b: np.ndarray) -> np.floating:
    """Two vectors of sums, folded, then the rest one by one; every operation is rounded."""
    lanes, products = VECTOR_BYTES // a.itemsize, a * b
    whole = len(a) // lanes * lanes
    sums = np.zeros((2, lanes), a.dtype)
    for number, start in enumerate(range(0, whole, lanes)):
        sums[number % 2] += products[start : start + lanes]
    result = folded(sums[0] + sums[1])
    for rest in products[whole:]:
        result += rest
    return result


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [0, 1, 3, 4, 7, 8, 9, 15, 16, 20, 33, 50, 100])
def test_a_dot_product_has_the_bits_of_the_documented_order(n: int, dtype: str) -> None:
    rng = np.random.default_rng(n)
    for _ in range(20):
        a, b = rng.standard_normal((2, n)).astype(dtype)
        assert dot(a, b, n) == documented_dot(a, b)


def test_numbers_that_are_not_side_by_side_are_refused() -> None:
    matrix = np.ones((8, 8))
    with pytest.raises(TypingError, match="not contiguous"):
        dot(matrix[:, 0], matrix[:, 1], 8)


def test_pairs_have_the_bits_of_their_dot_products() -> None:
    P, Q = np.random.default_rng(0).standard_normal((2, 10, 37))
    numbers, out = np.arange(10, dtype=np.int32), np.empty(10)
    dots(P, numbers, numbers[::-1].copy(), Q, out)
    assert out.tolist() == [documented_dot(p, q) for p, q in zip(P, Q[::-1], strict=True)]
