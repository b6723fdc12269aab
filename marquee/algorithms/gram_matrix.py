"""Gram matrix of the items: the dense array from which EASE, EDLAE and SLIM are computed."""

from functools import partial

from scipy.sparse import csr_array

from marquee.algorithms.array_allocation import allocate_within_memory
from marquee.algorithms.kernels.item_weights import compute_gram_rows
from marquee.algorithms.threads import run_blocks
from marquee.array_types import FloatArray

ITEMS_PER_BLOCK = 64  # rows of the Gram matrix or the weights that a thread computes at a time
BYTES_PER_NEIGHBOR = 16  # of an item k-NN while it is fitted: ids and similarities, by row and by column
N_NEIGHBORS = 100  # of the models that the error message suggests


def allocate_gram_matrix(owner: str, n_items: int, dtype: str) -> FloatArray:
    """Return an uninitialized (n_items, n_items) array.

    Raises:
        DataError: this machine has too little memory for it; the message says what would fit.
    """
    sparse_gigabytes = n_items * N_NEIGHBORS * BYTES_PER_NEIGHBOR / 1e9
    remedy = (
        f"use item_knn, rp3beta or slim with k={N_NEIGHBORS} ({sparse_gigabytes:,.1f} GB), "
        f"{'dtype float32, ' if dtype == 'float64' else ''}or remove rare items"
    )
    square: FloatArray = allocate_within_memory(
        (n_items, n_items), dtype, f"{owner}: weights of {n_items:,} items", remedy
    )
    return square


def fill_gram_matrix(X: csr_array, square: FloatArray) -> None:
    """Write X'X to the lower triangle of `square`; items of a user must be in ascending order."""
    by_item = X.T.tocsr()
    arrays = (by_item.indptr, by_item.indices, by_item.data, X.indptr, X.indices, X.data)
    run_blocks(partial(compute_gram_rows, *arrays, square), len(square), ITEMS_PER_BLOCK)
