"""Normal draws from a `RandomState`, with the same bits on every processor."""

import numpy as np

from marquee.algorithms.kernels.normal_draws import draw_pairs
from marquee.arrays import Float64Array


def normal_draws(rng: np.random.RandomState, mean: float, std_dev: float, n: int) -> Float64Array:
    """Draw n numbers as `rng.normal` does, and leave the generator in the same state.

    NumPy's legacy generator uses Marsaglia's polar method with the logarithm of the C library, whose last bit
    depends on the processor. These draws are within some units in the last place of NumPy's.
    """
    state = rng.get_state(legacy=False)
    drawn = np.empty(n + 1)  # pairs may bring one more
    first = min(n, int(state["has_gauss"]))  # left over from the last pair
    drawn[:first] = state["gauss"]
    end = first + (n - first + 1) // 2 * 2
    at = first
    while at < end:
        at += 2 * draw_pairs(rng.random_sample(((end - at) // 2, 2)), drawn[at:end].reshape(-1, 2))
    if n:
        left = {"has_gauss": end - n, "gauss": drawn[n] if end > n else 0.0}
        rng.set_state({**rng.get_state(legacy=False), **left})
    return mean + std_dev * drawn[:n]
