r"""The biases b_u and b_i of scikit-surprise's `bsl_options`, which several algorithms start from.

.. math:: \sum_{r_{ui}} (r_{ui} - \mu - b_u - b_i)^2 + \lambda \Big(\sum_u b_u^2 + \sum_i b_i^2\Big)

is made small by alternating least squares (`als`) or stochastic gradient descent (`sgd`).
Koren (2010), Factor in the Neighbors, section 2.1.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice
from math import isfinite
from typing import Any, Self

import numpy as np

from marquee.algorithms.kernels.biases import bias_epoch, least_squares_biases
from marquee.algorithms.parameters import choice, known, number, whole
from marquee.algorithms.threads import share_out
from marquee.arrays import Floats, Real
from marquee.errors import DivergedError
from marquee.interactions.matrix import Grouped, RatingMatrix

METHODS = ("als", "sgd")
EPOCHS = {"als": 10, "sgd": 20}  # unless given
BLOCK = 2048  # groups that one thread solves at a time: starting a thread costs as much as 200 of them


@dataclass(frozen=True)
class BiasOptions:
    """Surprise's `bsl_options`, checked. Options of the other method are accepted and change nothing."""

    method: str = "als"
    n_epochs: int = EPOCHS["als"]
    reg_u: float = 15.0  # als
    reg_i: float = 10.0  # als
    reg: float = 0.02  # sgd
    learning_rate: float = 0.005  # sgd

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> Self:
        """Check the options and fill in the twin's defaults.

        Deviation from the twin: an option that does not exist is refused, where it would be ignored.

        Raises:
            ParameterError: names the option, its value and what it may be.
        """
        known("bsl_options", options, tuple(cls.__dataclass_fields__))
        for name, value in options.items():
            _check(name, value)
        method = options.get("method", "als")
        return cls(**{"n_epochs": EPOCHS[method], **options})


def biases(matrix: RatingMatrix, mean: float, options: Mapping[str, Any]) -> tuple[Floats, Floats]:
    """Biases of users (n_users,) and items (n_items,), as Surprise's `compute_baselines` gives them.

    Args:
        matrix: the ratings.
        mean: their global mean.
        options: Surprise's `bsl_options`: method, n_epochs, reg_u, reg_i, reg, learning_rate.

    Raises:
        ParameterError: an option does not exist or has a value that cannot be used.
        DivergedError: gradient descent took too large a step.
    """
    chosen = BiasOptions.read(options)
    bu, bi = np.zeros(matrix.n_users), np.zeros(matrix.n_items)
    for _ in islice(learn_biases(matrix, mean, chosen, bu, bi), chosen.n_epochs):
        pass
    return bu, bi


def learn_biases(
    matrix: RatingMatrix, mean: float, options: BiasOptions, bu: Real, bi: Real
) -> Iterator[float | None]:
    """Improve biases in place, yielding after each epoch, for ever: the sum of squared errors met, or None.

    Raises:
        DivergedError: names the learning rate that was too large.
    """
    for epoch in count(1):
        squared_error = None
        if options.method == "als":
            _solve(matrix.by_item, mean, options.reg_i, bu, bi)
            _solve(matrix.by_user, mean, options.reg_u, bi, bu)
        else:
            rate, decay = float(options.learning_rate), 1.0 - options.learning_rate * options.reg
            squared_error = bias_epoch(
                matrix.indptr, matrix.items, matrix.values, float(mean), rate, decay, bu, bi
            )
        if not (np.isfinite(bu).all() and np.isfinite(bi).all() and isfinite(squared_error or 0.0)):
            raise DivergedError(
                f"the biases diverged in epoch {epoch} with learning_rate={options.learning_rate}, "
                f"reg={options.reg}: lower the learning rate in bsl_options"
            )
        yield squared_error


def _solve(side: Grouped, mean: float, reg: float, other_biases: Real, out: Real) -> None:
    """Least squares of one side, the other being given."""

    def work(start: int, stop: int) -> None:
        least_squares_biases(
            side.indptr, side.others, side.values, start, stop, float(mean), float(reg), other_biases, out
        )

    share_out(work, len(out), BLOCK)


def _check(name: str, value: Any) -> None:
    """Refuse a value that an option cannot have."""
    if name == "method":
        choice("bsl_options", name, value, METHODS)
    elif name == "n_epochs":
        whole("bsl_options", name, value)
    else:
        number("bsl_options", name, value)
