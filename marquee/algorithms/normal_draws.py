"""Normal draws from a `RandomState` that are the same on every processor."""

import numpy as np

from marquee.algorithms.kernels.normal_draws import transform_uniform_pairs
from marquee.array_types import Float64Array


def draw_normal(rng: np.random.RandomState, mean: float, std_dev: float, n: int) -> Float64Array:
    """Draw n numbers as `rng.normal` does, leaving the generator in the same state.

    NumPy's legacy generator uses Marsaglia's polar method with the logarithm of the C library, whose last bit
    depends on the processor. These draws differ from NumPy's by a few units in the last place.
    """
    state = rng.get_state(legacy=False)
    draws = np.empty(n + 1)  # one more, because draws come in pairs
    filled = min(n, int(state["has_gauss"]))  # a draw left over from the previous pair comes first
    draws[:filled] = state["gauss"]
    end = filled + (n - filled + 1) // 2 * 2
    while filled < end:
        uniforms = rng.random_sample(((end - filled) // 2, 2))
        filled += 2 * transform_uniform_pairs(uniforms, draws[filled:end].reshape(-1, 2))
    if n:
        unused = {"has_gauss": end - n, "gauss": draws[n] if end > n else 0.0}
        rng.set_state({**rng.get_state(legacy=False), **unused})
    return mean + std_dev * draws[:n]
