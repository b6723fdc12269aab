"""Kernels of linear item models: products of user histories (sparse) with item-to-item weights (dense).

    columns of the weights ─► panels of eight vectors, which stay in the L2 cache
    history of a user      ─► the rows of a panel that it names, summed in registers in their order

The order of each sum is that of the history, so the product is the same for any number of threads and on
every processor.
"""

from marquee.algorithms.kernels.jit import kernel
from marquee.algorithms.kernels.simd_vectors import (
    VECTOR_BYTES,
    lanes_of,
    load,
    load_repeated,
    multiply_add,
    row_of,
    store,
    zeros,
)
from marquee.array_types import FloatArray, Int32Array, Int64Array

PANEL_BYTES = 8 * VECTOR_BYTES  # of one row of a panel


@kernel
def pack_columns(weights: FloatArray, first: int, panels: FloatArray, start: int, stop: int) -> None:
    """Copy columns of the weights, from `first` on, to panels start..stop, padded with zeros.

    Panels have the shape (n_panels, n_items, width).
    """
    _, n_items, width = panels.shape
    for p in range(start, stop):
        column = first + p * width
        n_columns = min(width, weights.shape[1] - column)
        for j in range(n_items):
            for c in range(n_columns):
                panels[p, j, c] = weights[j, column + c]
            for c in range(n_columns, width):
                panels[p, j, c] = 0


@kernel
def multiply_histories(
    indptr: Int64Array,
    items: Int32Array,
    values: FloatArray,
    panels: FloatArray,
    out: FloatArray,
    start: int,
    stop: int,
) -> None:
    """Write the products of the histories start..stop with all panels to `out`, (stop - start, columns).

    History h has `values[indptr[h]:indptr[h + 1]]` for `items[indptr[h]:indptr[h + 1]]`.
    """
    n_panels, _, width = panels.shape
    for p in range(n_panels):
        panel, column = panels[p], p * width
        for h in range(start, stop):
            target = row_of(out, h - start)
            lanes = lanes_of(target)
            s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = zeros(target)
            for position in range(indptr[h], indptr[h + 1]):
                row, value = row_of(panel, items[position]), load_repeated(values, position)
                s0 = multiply_add(value, load(row, 0), s0)
                s1 = multiply_add(value, load(row, lanes), s1)
                s2 = multiply_add(value, load(row, 2 * lanes), s2)
                s3 = multiply_add(value, load(row, 3 * lanes), s3)
                s4 = multiply_add(value, load(row, 4 * lanes), s4)
                s5 = multiply_add(value, load(row, 5 * lanes), s5)
                s6 = multiply_add(value, load(row, 6 * lanes), s6)
                s7 = multiply_add(value, load(row, 7 * lanes), s7)
            store(target, column, s0)
            store(target, column + lanes, s1)
            store(target, column + 2 * lanes, s2)
            store(target, column + 3 * lanes, s3)
            store(target, column + 4 * lanes, s4)
            store(target, column + 5 * lanes, s5)
            store(target, column + 6 * lanes, s6)
            store(target, column + 7 * lanes, s7)
