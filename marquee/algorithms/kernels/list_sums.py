"""Kernel that sums the rows of a table that a list names, for many lists."""

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.algorithms.kernels.simd_vectors import VECTOR_BYTES, add, load, multiply, repeat, row_of, store
from marquee.array_types import Float32Array, Int32Array, Int64Array

LANES = VECTOR_BYTES // 4  # float32 numbers per vector


@kernel
def sum_listed_rows(
    indptr: Int64Array,
    others: Int32Array,
    weights: Float32Array,
    table: Float32Array,
    out: Float32Array,
    start: int,
    stop: int,
) -> None:
    """Set out[n] to weights[n] times the sum of the rows of `table` with the ids in list n, n in start..stop.

    List n is `others[indptr[n]:indptr[n + 1]]`.
    """
    width = table.shape[1]
    wide_end, vector_end = width // (4 * LANES) * (4 * LANES), width // LANES * LANES
    for n in range(start, stop):
        first, end, o, weight = indptr[n], indptr[n + 1], row_of(out, n), repeat(weights[n])
        for f in range(0, wide_end, 4 * LANES):
            s0 = s1 = s2 = s3 = repeat(np.float32(0))
            for t in range(first, end):
                row = row_of(table, others[t])
                s0, s1 = add(s0, load(row, f)), add(s1, load(row, f + LANES))
                s2, s3 = add(s2, load(row, f + 2 * LANES)), add(s3, load(row, f + 3 * LANES))
            store(o, f, multiply(s0, weight))
            store(o, f + LANES, multiply(s1, weight))
            store(o, f + 2 * LANES, multiply(s2, weight))
            store(o, f + 3 * LANES, multiply(s3, weight))
        for f in range(wide_end, vector_end, LANES):
            s0 = repeat(np.float32(0))
            for t in range(first, end):
                s0 = add(s0, load(row_of(table, others[t]), f))
            store(o, f, multiply(s0, weight))
        for f in range(vector_end, width):
            s = np.float32(0)
            for t in range(first, end):
                s += table[others[t], f]
            out[n, f] = s * weights[n]
