"""Normal draws: those of NumPy's legacy generator, and its state afterwards."""

import numpy as np
import pytest

from marquee.algorithms.normal_draws import normal_draws


@pytest.mark.parametrize("sizes", [[0], [1], [2], [1000], [1, 1, 1], [3, 0, 4], [7, 2, 5, 1]])
def test_draws_and_state_are_those_of_numpy(sizes: list[int]) -> None:
    ours, theirs = np.random.RandomState(5), np.random.RandomState(5)
    for n in sizes:
        np.testing.assert_allclose(normal_draws(ours, 0.5, 2.0, n), theirs.normal(0.5, 2.0, n), rtol=1e-13)
    assert ours.random_sample() == theirs.random_sample()
    assert ours.normal() == pytest.approx(theirs.normal(), rel=1e-13)  # the other one of a pair, or a new one


def test_without_spread_every_draw_is_the_mean() -> None:
    assert (normal_draws(np.random.RandomState(0), 3.0, 0.0, 5) == 3.0).all()
