"""BaselineOnly: global mean plus user and item biases, the baseline for every rating predictor."""

from collections.abc import Iterator, Mapping
from math import sqrt
from typing import Any

import numpy as np

from marquee.algorithms.base import EpochAlgorithm, EpochResult, Estimates
from marquee.algorithms.biases import BiasOptions, train_biases_by_epoch
from marquee.algorithms.parameter_checks import DTYPES, check_choice_attribute
from marquee.array_types import Float64Array, FloatArray, Int32Array
from marquee.interactions.matrix import InteractionMatrix
from marquee.model.factor_scoring import FactorSpace


class BaselineOnly(EpochAlgorithm):
    r"""Predicts the global mean plus the biases of user and item.

    .. math:: \hat r_{ui} = \mu + b_u + b_i

    The bias of an unknown user or item is 0. `marquee.algorithms.biases` describes how biases are estimated.
    Twin of `surprise.BaselineOnly`. Koren (2010), Factor in the Neighbors, section 2.1.

    Args:
        bsl_options: `method` (`als` or `sgd`) and `n_epochs` (default 10 for als, 20 for sgd); for als also
            `reg_u` and `reg_i`; for sgd also `reg` and `learning_rate`.
        verbose: print the method before estimating.
        dtype: float64 for the same numbers as the twin, or float32 for half the memory.

    Attributes:
        bu: user biases (n_users,).
        bi: item biases (n_items,).
    """

    bu: FloatArray
    bi: FloatArray

    def __init__(
        self, bsl_options: Mapping[str, Any] | None = None, verbose: bool = True, dtype: str = "float64"
    ) -> None:
        super().__init__(bsl_options={} if bsl_options is None else bsl_options)
        self.verbose, self.dtype = verbose, dtype

    @property
    def n_epochs(self) -> int:  # type: ignore[override]
        """Number of epochs in `bsl_options`, or the default of the method."""
        return BiasOptions.parse(self.bsl_options).n_epochs

    def build_factor_space(self, noise: float) -> FactorSpace:
        """Return the biases as a factor space without factors; see the base class."""
        no_factors = np.zeros((len(self.bi), 0)), np.zeros((len(self.bu), 0))
        items, users = zip(no_factors, (self.bi, self.bu), strict=True)
        return FactorSpace.from_parameters(items, users, float(self.trainset.global_mean), noise)

    def _score_all_items(self, users: Int32Array) -> Float64Array:
        scores: Float64Array = (
            self.trainset.global_mean + self.bu[users].astype(np.float64)[:, None] + self.bi
        )
        return scores

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_choice_attribute(self, "dtype", DTYPES)

    def _run_epochs(self, matrix: InteractionMatrix) -> Iterator[EpochResult]:
        """Run all epochs, printing a single line as the twin does.

        There is no check for divergence here: `train_biases_by_epoch` has one.
        """
        if self.verbose:
            print(f"Estimating biases using {BiasOptions.parse(self.bsl_options).method}...")  # noqa: T201
        training = self._train(matrix)
        next(training)
        for number, squared_error in zip(range(1, self.n_epochs + 1), training, strict=False):
            rmse = None if squared_error is None else sqrt(squared_error / len(matrix.values))
            yield EpochResult(number, rmse)

    def _train(self, matrix: InteractionMatrix) -> Iterator[float | None]:
        self.bu, self.bi = np.zeros(matrix.n_users, self.dtype), np.zeros(matrix.n_items, self.dtype)
        yield None
        options = BiasOptions.parse(self.bsl_options)
        yield from train_biases_by_epoch(matrix, self.trainset.global_mean, options, self.bu, self.bi)

    def _estimate_pairs(self, users: Int32Array, items: Int32Array) -> Estimates:
        values = np.full(len(users), self.trainset.global_mean)
        values += np.where(users >= 0, self.bu[users], 0)
        values += np.where(items >= 0, self.bi[items], 0)
        return Estimates(values)
