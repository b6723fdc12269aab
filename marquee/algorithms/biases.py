r"""User and item biases as in scikit-surprise's `bsl_options`, the baseline of several algorithms.

.. math:: \min_b \sum_{r_{ui}} (r_{ui} - \mu - b_u - b_i)^2 + \lambda_U \sum_u b_u^2 + \lambda_I \sum_i b_i^2

is solved by alternating least squares (`als`), with `reg_u` and `reg_i` as :math:`\lambda_U` and
:math:`\lambda_I`. Stochastic gradient descent (`sgd`) instead regularizes both biases with `reg` at every
rating. Koren (2010), Factor in the Neighbors, section 2.1.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice
from math import isfinite
from typing import Any, Self

import numpy as np

from marquee.algorithms.kernels.biases import run_bias_sgd_epoch, solve_biases
from marquee.algorithms.parameter_checks import check_choice, check_integer, check_number, check_option_names
from marquee.algorithms.threads import run_blocks
from marquee.array_types import Float64Array, FloatArray
from marquee.errors import DivergedError
from marquee.interactions.matrix import InteractionMatrix, SparseRows

METHODS = ("als", "sgd")
DEFAULT_EPOCHS = {"als": 10, "sgd": 20}
# Users or items that a thread solves at a time; starting a thread takes as long as solving 200 of them.
ROWS_PER_BLOCK = 2048


@dataclass(frozen=True)
class BiasOptions:
    """Validated `bsl_options`. Options of the other method are accepted and have no effect."""

    method: str = "als"
    n_epochs: int = DEFAULT_EPOCHS["als"]
    reg_u: float = 15.0  # als: regularization of user biases
    reg_i: float = 10.0  # als: regularization of item biases
    reg: float = 0.02  # sgd: regularization of all biases
    learning_rate: float = 0.005  # sgd

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> Self:
        """Validate the options and add the defaults of Surprise.

        Deviation from Surprise: an unknown option raises an error and is not ignored.

        Raises:
            ParameterError: an option is unknown or has an invalid value.
        """
        check_option_names("bsl_options", options, tuple(cls.__dataclass_fields__))
        for name, value in options.items():
            _check_value(name, value)
        method = options.get("method", "als")
        return cls(**{"n_epochs": DEFAULT_EPOCHS[method], **options})


def compute_biases(
    matrix: InteractionMatrix, mean: float, options: Mapping[str, Any]
) -> tuple[Float64Array, Float64Array]:
    """Return the biases of users (n_users,) and items (n_items,), as Surprise's `compute_baselines` does.

    Args:
        matrix: training ratings.
        mean: global mean of the ratings.
        options: Surprise's `bsl_options`, see `BiasOptions`.

    Raises:
        ParameterError: an option is unknown or has an invalid value.
        DivergedError: the learning rate is too large.
    """
    parsed = BiasOptions.parse(options)
    bu, bi = np.zeros(matrix.n_users), np.zeros(matrix.n_items)
    for _ in islice(train_biases_by_epoch(matrix, mean, parsed, bu, bi), parsed.n_epochs):
        pass
    return bu, bi


def train_biases_by_epoch(
    matrix: InteractionMatrix, mean: float, options: BiasOptions, bu: FloatArray, bi: FloatArray
) -> Iterator[float | None]:
    """Train biases in place for an unlimited number of epochs, yielding after each one.

    Yields:
        Sum of squared errors of the predictions made during the epoch (sgd), or None (als).

    Raises:
        DivergedError: the learning rate is too large.
    """
    for epoch in count(1):
        squared_error = None
        if options.method == "als":
            _solve_side(matrix.by_item, mean, options.reg_i, bu, bi)
            _solve_side(matrix.by_user, mean, options.reg_u, bi, bu)
        else:
            rate, decay = float(options.learning_rate), 1.0 - options.learning_rate * options.reg
            squared_error = run_bias_sgd_epoch(
                matrix.indptr, matrix.items, matrix.values, float(mean), rate, decay, bu, bi
            )
        if not (np.isfinite(bu).all() and np.isfinite(bi).all() and isfinite(squared_error or 0.0)):
            raise DivergedError(
                f"the biases diverged in epoch {epoch} with learning_rate={options.learning_rate}, "
                f"reg={options.reg}: lower the learning rate in bsl_options"
            )
        yield squared_error


def _solve_side(side: SparseRows, mean: float, reg: float, other_biases: FloatArray, out: FloatArray) -> None:
    """Compute the least-squares biases of users or of items, with those of the other side fixed."""

    def solve_block(start: int, stop: int) -> None:
        solve_biases(
            side.indptr, side.indices, side.values, start, stop, float(mean), float(reg), other_biases, out
        )

    run_blocks(solve_block, len(out), ROWS_PER_BLOCK)


def _check_value(name: str, value: Any) -> None:
    if name == "method":
        check_choice("bsl_options", name, value, METHODS)
    elif name == "n_epochs":
        check_integer("bsl_options", name, value)
    else:
        check_number("bsl_options", name, value)
