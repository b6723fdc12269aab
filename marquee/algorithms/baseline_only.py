"""The mean and two biases: what every other rating predictor has to beat."""

from collections.abc import Iterator, Mapping
from math import sqrt
from typing import Any

import numpy as np

from marquee.algorithms.base import Epoch, EpochAlgorithm, Estimates
from marquee.algorithms.biases import BiasOptions, learn_biases
from marquee.algorithms.parameters import DTYPES, require_choice
from marquee.arrays import Floats, Integers, Real
from marquee.interactions.matrix import RatingMatrix


class BaselineOnly(EpochAlgorithm):
    r"""Some users rate higher than others, and some items are rated higher.

    .. math:: \hat r_{ui} = \mu + b_u + b_i

    Unknown users and items have no bias. Twin of `surprise.BaselineOnly`; how the biases are learned is
    in `biases.py`. Koren (2010), Factor in the Neighbors, section 2.1.

    Args:
        bsl_options: `method` (als or sgd), `n_epochs` (10 or 20 unless given), `reg_u` and `reg_i` of
            als, `reg` and `learning_rate` of sgd.
        verbose: say which method estimates the biases.
        dtype: float64, which gives the twin's numbers, or float32, half the memory.

    Attributes: `bu` (n_users,), `bi` (n_items,).
    """

    bu: Real
    bi: Real

    def __init__(
        self, bsl_options: Mapping[str, Any] | None = None, verbose: bool = True, dtype: str = "float64"
    ) -> None:
        super().__init__(bsl_options={} if bsl_options is None else bsl_options)
        self.verbose, self.dtype = verbose, dtype

    @property
    def n_epochs(self) -> int:  # type: ignore[override]
        """Number of epochs, which `bsl_options` gives."""
        return BiasOptions.read(self.bsl_options).n_epochs

    def _score_all(self, users: Integers) -> Floats:
        scores: Floats = self.trainset.global_mean + self.bu[users].astype(np.float64)[:, None] + self.bi
        return scores

    def _check_parameters(self) -> None:
        super()._check_parameters()
        require_choice(self, "dtype", DTYPES)

    def _watched(self, matrix: RatingMatrix) -> Iterator[Epoch]:
        """As of every algorithm that learns by epochs, but told of once, as the twin does."""
        if self.verbose:
            print(f"Estimating biases using {BiasOptions.read(self.bsl_options).method}...")  # noqa: T201
        training = self._train(matrix)
        next(training)
        for number, squared_error in zip(range(1, self.n_epochs + 1), training, strict=False):
            yield Epoch(number, None if squared_error is None else sqrt(squared_error / len(matrix.values)))

    def _train(self, matrix: RatingMatrix) -> Iterator[float | None]:
        self.bu, self.bi = np.zeros(matrix.n_users, self.dtype), np.zeros(matrix.n_items, self.dtype)
        yield None
        options = BiasOptions.read(self.bsl_options)
        yield from learn_biases(matrix, self.trainset.global_mean, options, self.bu, self.bi)

    def _estimate_pairs(self, users: Integers, items: Integers) -> Estimates:
        values = np.full(len(users), self.trainset.global_mean)
        values += np.where(users >= 0, self.bu[users], 0)
        values += np.where(items >= 0, self.bi[items], 0)
        return Estimates(values)
