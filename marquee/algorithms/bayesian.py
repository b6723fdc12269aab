"""Bayesian matrix factorization: the average of many models drawn from the posterior by Gibbs sampling."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from itertools import count
from math import isfinite
from typing import Any, ClassVar

import numpy as np
from surprise.utils import get_rng

from marquee.algorithms.base import EpochResult
from marquee.algorithms.gibbs_sampler import GibbsSampler, SamplerSide
from marquee.algorithms.kernels.sgd import run_svd_epoch
from marquee.algorithms.low_rank import PosteriorDraw, center_factors, compress_draws
from marquee.algorithms.parameter_checks import (
    DTYPES,
    RandomState,
    check_choice_attribute,
    check_integer_attributes,
    check_number_attributes,
)
from marquee.algorithms.side_information import FeatureRegression
from marquee.algorithms.svd import FactorModel
from marquee.algorithms.threads import run_blocks
from marquee.algorithms.trainset import Trainset
from marquee.array_types import Float32Array, FloatArray
from marquee.interactions.matrix import InteractionMatrix

WARM_REG_BIAS = 0.02  # regularization of biases in the warm start
MIN_RELATIVE_SPREAD = 1e-9  # share of the largest rating; ratings that differ by less count as constant
MIN_REG = 1e-3  # lowest reg_user and reg_item; below it, the influence of a single feature is unbounded


class BayesianMF(FactorModel):
    r"""Biased matrix factorization, averaged over the posterior, with the rated pairs as side information.

    .. math::
        r_{ui} &\sim \mathcal N(\mu + b_u + b_i + q_i^T p_u, \alpha^{-1}) \\
        (b_u, p_u) &\sim \mathcal N\Big(m_U + |I_u|^{-1/2} \sum_{j \in I_u} y_j, \Lambda_U^{-1}\Big), \qquad
            y_j \sim \mathcal N(0, (\lambda_U \Lambda_U)^{-1}) \\
        (b_i, q_i) &\sim \mathcal N\Big(m_I + |U_i|^{-1/2} \sum_{v \in U_i} z_v, \Lambda_I^{-1}\Big), \qquad
            z_v \sim \mathcal N(0, (\lambda_I \Lambda_I)^{-1})

    with Normal-Wishart priors of :math:`(m, \Lambda)` and :math:`\alpha \sim \Gamma(1, 1)`, on ratings
    standardized to mean 0 and variance 1. The y are the implicit feedback of SVD++; the z are their
    counterpart for items. An epoch is one sweep of a Gibbs sampler over all of these variables, after a warm
    start by SGD. Each sweep gives one model: a draw of the :math:`q_i`, and the mean of :math:`p_u` given
    that draw. The model after e epochs is the average of all but the first min(n_burn, e // 2) of them.

    The fitted model is the best approximation of this average with at most `rank` factors, and predicts
    :math:`\mu + b_u + b_i + q_i^T p_u`. On MovieLens 1M, rank 64 costs 0.0001 of RMSE and rank 32 costs
    0.0004.

    Memory while fitting: 4 bytes per factor of each user and item for each epoch (80 MB for MovieLens 1M),
    and two square matrices of min(n_users, n_items) rows, unless these would exceed
    `side_information.MAX_FACTORIZED_ROWS`.

    Salakhutdinov and Mnih (2008), Bayesian Probabilistic Matrix Factorization using MCMC; Simm and others
    (2017), Macau (the regression on features); Rendle, Zhang and Koren (2019), On the Difficulty of
    Evaluating Baselines (why biases and both regressions suffice).

    Args:
        n_factors: number of factors of a draw; 0: biases only.
        n_epochs: number of sweeps; more are better, with diminishing returns. 0: the warm start only.
        n_burn: number of initial sweeps excluded from the average, at most half of all sweeps.
        reg_user: :math:`\lambda_U`, at least 0.001; with a higher value, which items a user rated has less
            influence on the user's factors.
        reg_item: :math:`\lambda_I`, at least 0.001; with a higher value, which users rated an item has less
            influence on the item's factors.
        n_warm: number of epochs of the warm start.
        lr_warm: learning rate of the warm start.
        reg_warm: regularization of factors in the warm start.
        init_std_dev: standard deviation of the normal distribution of the initial factors.
        rank: maximum number of factors of the fitted model.
        random_state: seed or generator; None: NumPy's global generator.
        verbose: print each epoch.
        dtype: type of the attributes. Draws are always computed in single precision, whose rounding error is
            a millionth of their noise.

    Attributes:
        pu: user factors (n_users, at most rank).
        qi: item factors (n_items, at most rank).
        bu: user biases (n_users,).
        bi: item biases (n_items,).

    During `fit_by_epoch`, `pu` and `qi` are computed on first access.
    """

    step_parameters: ClassVar[tuple[str, ...]] = ("lr_warm", "reg_warm", "init_std_dev")
    learned_attributes: ClassVar[tuple[str, ...]] = ("bu", "bi")
    _draws: deque[PosteriorDraw] | None = None  # the draws to average; None except during training

    def __init__(
        self,
        n_factors: int = 32,
        n_epochs: int = 60,
        n_burn: int = 5,
        reg_user: float = 3.0,
        reg_item: float = 1.0,
        n_warm: int = 15,
        lr_warm: float = 0.01,
        reg_warm: float = 0.03,
        init_std_dev: float = 0.1,
        rank: int = 64,
        random_state: RandomState = None,
        verbose: bool = False,
        dtype: str = "float64",
    ) -> None:
        super().__init__()
        self.n_factors, self.n_epochs, self.n_burn = n_factors, n_epochs, n_burn
        self.reg_user, self.reg_item = reg_user, reg_item
        self.n_warm, self.lr_warm, self.reg_warm, self.init_std_dev = n_warm, lr_warm, reg_warm, init_std_dev
        self.rank, self.random_state, self.verbose, self.dtype = rank, random_state, verbose, dtype

    def fit_by_epoch(self, trainset: Trainset | InteractionMatrix) -> Iterator[EpochResult]:
        """Train as the base class does; when the iteration ends, even early, all attributes are set."""
        try:
            yield from super().fit_by_epoch(trainset)
        finally:
            self._finish_training()

    @cached_property
    def pu(self) -> FloatArray:  # type: ignore[override]
        """User factors."""
        return self._set_factors()[0]

    @cached_property
    def qi(self) -> FloatArray:  # type: ignore[override]
        """Item factors."""
        return self._set_factors()[1]

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes without the draws; pickling does not disturb a training in progress."""
        if self._draws is not None:
            self._set_factors()
        return {**self.__dict__, "_draws": None}

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_integer_attributes(self, "n_factors", "n_burn", "n_warm")
        check_integer_attributes(self, "rank", minimum=1)
        check_number_attributes(self, "reg_user", "reg_item", minimum=MIN_REG)
        check_choice_attribute(self, "dtype", DTYPES)

    def _fit(self, matrix: InteractionMatrix) -> None:
        super()._fit(matrix)
        self._finish_training()

    def _train(self, matrix: InteractionMatrix) -> Iterator[float | None]:
        state = self.random_state
        seed = state if isinstance(state, int | np.integer) else get_rng(state).randint(2**31)
        rng = np.random.default_rng(seed)
        spread = float(np.std(matrix.values))
        self._rating_spread = spread if spread > MIN_RELATIVE_SPREAD * np.abs(matrix.values).max() else 1.0
        weights = [side.counts / len(matrix.values) for side in (matrix.by_user, matrix.by_item)]
        sampler, error = self._create_sampler(matrix, rng)
        self._draws = deque([center_factors(sampler.users.vectors, sampler.items.vectors, *weights)])
        self._set_biases()
        self._raise_if_diverged(0, error)
        yield None
        for epoch in count(1):
            error = float("nan")  # reported as divergence if the sweep fails
            with suppress(np.linalg.LinAlgError):
                error = sampler.sweep(rng)
            if isfinite(error):
                self._draws.append(center_factors(*sampler.pair, *weights))
                while len(self._draws) > epoch - min(self.n_burn, epoch // 2):
                    self._draws.popleft()
                self._set_biases()
            yield error * self._rating_spread**2

    def _create_sampler(
        self, matrix: InteractionMatrix, rng: np.random.Generator
    ) -> tuple[GibbsSampler, float]:
        """Run the warm start; return a sampler with its vectors, and the squared error of its last epoch."""
        mean = self.trainset.global_mean
        residuals = [
            ((side.values - mean) / self._rating_spread).astype(np.float32)
            for side in (matrix.by_user, matrix.by_item)
        ]
        tasks: list[Callable[[], Any]] = [
            lambda: self._warm_start(matrix, residuals[0], rng),
            lambda: FeatureRegression(matrix.by_user, matrix.by_item, self.reg_user),
            lambda: FeatureRegression(matrix.by_item, matrix.by_user, self.reg_item),
        ]
        results: list[Any] = [None] * len(tasks)

        def run_tasks(start: int, stop: int) -> None:
            results[start:stop] = [task() for task in tasks[start:stop]]

        run_blocks(run_tasks, len(tasks), block_size=1)
        (users, items, error), user_regression, item_regression = results
        sides = (
            SamplerSide(matrix.by_user, residuals[0], user_regression, users),
            SamplerSide(matrix.by_item, residuals[1], item_regression, items),
        )
        return GibbsSampler(*sides, error, len(residuals[0])), error

    def _warm_start(
        self, matrix: InteractionMatrix, residuals: Float32Array, rng: np.random.Generator
    ) -> tuple[Float32Array, Float32Array, float]:
        """Train by SGD; return (bias, factors) of users and of items, and the last sum of squared errors."""
        sizes = (matrix.n_users, matrix.n_items)
        bu, bi = (np.zeros(size, dtype=np.float32) for size in sizes)
        initial = [rng.standard_normal((size, self.n_factors)) * self.init_std_dev for size in sizes]
        pu, qi = (factors.astype(np.float32) for factors in initial)
        rates = np.full(4, self.lr_warm)
        decays = 1 - rates * (WARM_REG_BIAS, WARM_REG_BIAS, self.reg_warm, self.reg_warm)
        error = float(np.square(residuals).sum(dtype=np.float64))
        for _ in range(self.n_warm):
            error = run_svd_epoch(
                matrix.indptr, matrix.items, residuals, bu, bi, pu, qi,
                np.float32(0), True, rates.astype(np.float32), decays.astype(np.float32),
            )  # fmt: skip
        return np.column_stack([bu, pu]), np.column_stack([bi, qi]), error

    def _set_biases(self) -> None:
        """Set the biases to the mean of the draws; the factors are computed on first access."""
        for name in ("pu", "qi"):
            self.__dict__.pop(name, None)
        draws = self._draws or ()
        for name in ("bu", "bi"):
            total = sum(getattr(draw, name) for draw in draws)
            setattr(self, name, (total * (self._rating_spread / len(draws))).astype(self.dtype))

    def _set_factors(self) -> tuple[FloatArray, FloatArray]:
        """Set the factors to the low-rank approximation of the average of the draws, and return them."""
        pu, qi = compress_draws(self._draws or (), self.rank)
        self.pu = np.ascontiguousarray(pu * np.float32(self._rating_spread), dtype=self.dtype)
        self.qi = np.ascontiguousarray(qi, dtype=self.dtype)
        return self.pu, self.qi

    def _finish_training(self) -> None:
        """Set all attributes and discard the draws."""
        if self._draws is not None:
            self._set_factors()
            self._draws = None
