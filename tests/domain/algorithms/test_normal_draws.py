"""Normal draws equal those of NumPy's legacy generator and leave it in the same state."""

import numpy as np
import pytest

from marquee.algorithms.normal_draws import draw_normal


@pytest.mark.parametrize("sizes", [[0], [1], [2], [1000], [1, 1, 1], [3, 0, 4], [7, 2, 5, 1]])
def test_draws_and_state_equal_those_of_numpy(sizes: list[int]) -> None:
    rng, expected = np.random.RandomState(5), np.random.RandomState(5)
    for n in sizes:
        np.testing.assert_allclose(draw_normal(rng, 0.5, 2.0, n), expected.normal(0.5, 2.0, n), rtol=1e-13)
    assert rng.random_sample() == expected.random_sample()
    # The next draw is the second of a pair or the first of a new pair.
    assert rng.normal() == pytest.approx(expected.normal(), rel=1e-13)


def test_draws_without_spread_equal_the_mean() -> None:
    assert (draw_normal(np.random.RandomState(0), 3.0, 0.0, 5) == 3.0).all()
