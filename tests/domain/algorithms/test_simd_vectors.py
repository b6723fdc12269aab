"""Dot products: bit-identical to the documented order of operations, which a compiler must not change."""

import numpy as np
import pytest
from numba.core.errors import TypingError

from marquee.algorithms.kernels.sgd import compute_pair_dots
from marquee.algorithms.kernels.simd_vectors import VECTOR_BYTES, dot
from marquee.array_types import FloatArray


def fold_lanes(lanes: FloatArray) -> np.floating:
    """Sum the lanes by adding the upper half to the lower half until one lane is left."""
    while len(lanes) > 1:
        lower, upper = np.split(lanes, 2)
        lanes = lower + upper
    total: np.floating = lanes[0]
    return total


def documented_dot(a: FloatArray, b: FloatArray) -> np.floating:
    """Fold two interleaved vectors of partial sums, then add the remaining products one by one."""
    lanes, products = VECTOR_BYTES // a.itemsize, a * b
    vector_end = len(a) // lanes * lanes
    sums = np.zeros((2, lanes), a.dtype)
    for number, start in enumerate(range(0, vector_end, lanes)):
        sums[number % 2] += products[start : start + lanes]
    result = fold_lanes(sums[0] + sums[1])
    for product in products[vector_end:]:
        result += product
    return result


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [0, 1, 3, 4, 7, 8, 9, 15, 16, 20, 33, 50, 100])
def test_dot_product_is_bit_identical_to_documented_order(n: int, dtype: str) -> None:
    rng = np.random.default_rng(n)
    for _ in range(20):
        a, b = rng.standard_normal((2, n)).astype(dtype)
        assert dot(a, b, n) == documented_dot(a, b)


def test_non_contiguous_vectors_are_rejected() -> None:
    matrix = np.ones((8, 8))
    with pytest.raises(TypingError, match="not contiguous"):
        dot(matrix[:, 0], matrix[:, 1], 8)


def test_dot_products_of_pairs_are_bit_identical_to_documented_order() -> None:
    P, Q = np.random.default_rng(0).standard_normal((2, 10, 37))
    ids, out = np.arange(10, dtype=np.int32), np.empty(10)
    compute_pair_dots(P, ids, ids[::-1].copy(), Q, out)
    assert out.tolist() == [documented_dot(p, q) for p, q in zip(P, Q[::-1], strict=True)]
