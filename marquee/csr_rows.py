"""Rows of sparse matrices in CSR form: row r has the elements at `indptr[r]:indptr[r + 1]`.

Imports only NumPy, because serving processes import this module.
"""

import numpy as np

from marquee.array_types import Int32Array, Int64Array


def locate_rows(
    indptr: Int64Array | Int32Array, rows: Int32Array | Int64Array
) -> tuple[Int64Array, Int64Array]:
    """Return the bounds of these rows among their own elements, (n + 1,), and the positions of the elements.

    A negative row, such as that of an unknown user, is empty.

    >>> bounds, positions = locate_rows(np.array([0, 2, 2, 5]), np.array([2, -1, 0]))
    >>> bounds.tolist(), positions.tolist()
    ([0, 3, 3, 5], [2, 3, 4, 0, 1])
    """
    starts = indptr[rows]
    counts = np.where(rows >= 0, indptr[rows + 1] - starts, 0)
    bounds = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    return bounds, np.repeat(starts - bounds[:-1], counts) + np.arange(bounds[-1])
