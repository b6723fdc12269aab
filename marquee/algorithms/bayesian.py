"""Bayesian matrix factorisation: instead of the best factors, all that are likely, on average."""

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
from marquee.algorithms.gibbs import Sampler, Side
from marquee.algorithms.kernels.sgd import svd_epoch
from marquee.algorithms.low_rank import Draw, centred, compact
from marquee.algorithms.parameters import DTYPES, require_choice, require_integer, require_number
from marquee.algorithms.side_information import Link
from marquee.algorithms.svd import FactorModel, RandomState
from marquee.algorithms.threads import run_blocks
from marquee.algorithms.trainset import Trainset
from marquee.arrays import Float32Array, FloatArray
from marquee.interactions.matrix import InteractionMatrix

REG_BIAS = 0.02  # of the warm start
FLAT = 1e-9  # of the largest rating: ratings that differ by less are all the same
LEAST_REG = 1e-3  # of a link: with less a single feature could do anything


class BayesianMF(FactorModel):
    r"""Biased matrix factorisation, averaged over the posterior, with links to who rated what.

    .. math::
        r_{ui} &\sim \mathcal N(\mu + b_u + b_i + q_i^T p_u, \alpha^{-1}) \\
        (b_u, p_u) &\sim \mathcal N\Big(m_U + |I_u|^{-1/2} \sum_{j \in I_u} y_j, \Lambda_U^{-1}\Big), \qquad
            y_j \sim \mathcal N(0, (\lambda_U \Lambda_U)^{-1}) \\
        (b_i, q_i) &\sim \mathcal N\Big(m_I + |U_i|^{-1/2} \sum_{v \in U_i} z_v, \Lambda_I^{-1}\Big), \qquad
            z_v \sim \mathcal N(0, (\lambda_I \Lambda_I)^{-1})

    with Normal-Wishart priors of :math:`(m, \Lambda)` and :math:`\alpha \sim \Gamma(1, 1)`, on ratings that
    are shifted and scaled to mean 0 and variance 1. The y are SVD++'s implicit feedback, the z the same of
    items. An epoch is a sweep of a Gibbs sampler over all of these, from a warm start by SGD; a draw of the
    :math:`q_i` and the mean of :math:`p_u` given it make one model, and the model after e epochs is the
    average of those of the last :math:`e - \min(` `n_burn`, :math:`\lfloor e / 2 \rfloor)`.

    It is served as :math:`\mu + b_u + b_i + q_i^T p_u` with at most `rank` factors: the best approximation
    of the average. On MovieLens 1M rank 64 costs 0.0001 of RMSE, rank 32 costs 0.0004.

    Salakhutdinov and Mnih (2008), Bayesian Probabilistic Matrix Factorization using MCMC; Simm and others
    (2017), Macau (the links); Rendle, Zhang and Koren (2019), On the Difficulty of Evaluating Baselines
    (why biases, both links and no more). Fitting keeps 4 bytes a factor of every user and item for every
    epoch: 80 MB for MovieLens 1M; and two matrices of the shorter side squared, unless it is longer than
    `side_information.LARGEST`.

    Args:
        n_factors: length of the factor vectors of a draw; 0: biases only.
        n_epochs: number of sweeps. More are better, ever less so; 0: the warm start.
        n_burn: sweeps that are left out of the average, at most the first half of them.
        reg_user: :math:`\lambda_U`: how little the items that a user rated say of the user, above 0.
        reg_item: :math:`\lambda_I`: how little the users that rated an item say of the item, above 0.
        n_warm: epochs of the warm start.
        lr_warm: its learning rate.
        reg_warm: its regularisation of factors.
        init_std_dev: standard deviation of the normal distribution that it begins with.
        rank: the most factors that the served model has.
        random_state: seed, or a generator; None: NumPy's global one.
        verbose: print each epoch.
        dtype: of the attributes. Draws are always computed in single precision: their noise is a million
            times its rounding.

    Attributes: `pu` (n_users, at most rank), `qi` (n_items, as many), `bu` (n_users,), `bi` (n_items,).
    While epochs are iterated over, `pu` and `qi` are computed when they are first asked for.
    """

    step_parameters: ClassVar[tuple[str, ...]] = ("lr_warm", "reg_warm", "init_std_dev")
    learned_attributes: ClassVar[tuple[str, ...]] = ("bu", "bi")
    _draws: deque[Draw] | None = None  # while learning

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

    def epochs(self, trainset: Trainset | InteractionMatrix) -> Iterator[EpochResult]:
        """As `EpochAlgorithm.epochs`; it ends, or is left off, with all attributes in their places."""
        try:
            yield from super().epochs(trainset)
        finally:
            self._settle()

    @cached_property
    def pu(self) -> FloatArray:  # type: ignore[override]
        """User factors."""
        return self._compact()[0]

    @cached_property
    def qi(self) -> FloatArray:  # type: ignore[override]
        """Item factors."""
        return self._compact()[1]

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle holds: the attributes, not the draws. Training that is under way goes on."""
        if self._draws is not None:
            self._compact()
        return {**self.__dict__, "_draws": None}

    def _check_parameters(self) -> None:
        super()._check_parameters()
        require_integer(self, "n_factors", "n_burn", "n_warm")
        require_integer(self, "rank", minimum=1)
        require_number(self, "reg_user", "reg_item", minimum=LEAST_REG)
        require_choice(self, "dtype", DTYPES)

    def _fit(self, matrix: InteractionMatrix) -> None:
        super()._fit(matrix)
        self._settle()

    def _train(self, matrix: InteractionMatrix) -> Iterator[float | None]:
        state = self.random_state
        seed = state if isinstance(state, int | np.integer) else get_rng(state).randint(2**31)
        noise = np.random.default_rng(seed)
        spread = float(np.std(matrix.values))
        self._unit = spread if spread > FLAT * np.abs(matrix.values).max() else 1.0
        weights = [side.counts / len(matrix.values) for side in (matrix.by_user, matrix.by_item)]
        sampler, error = self._begun(matrix, noise)
        self._draws = deque([centred(sampler.users.vectors, sampler.items.vectors, *weights)])
        self._average()
        self._check_convergence(0, error)
        yield None
        for epoch in count(1):
            with suppress(np.linalg.LinAlgError):
                error = float("nan")
                error = sampler.sweep(noise)
            if isfinite(error):
                self._draws.append(centred(*sampler.pair, *weights))
                while len(self._draws) > epoch - min(self.n_burn, epoch // 2):
                    self._draws.popleft()
                self._average()
            yield error * self._unit**2

    def _begun(self, matrix: InteractionMatrix, noise: np.random.Generator) -> tuple[Sampler, float]:
        """A sampler after the warm start, and the sum of squared errors of its last epoch."""
        mean = self.trainset.global_mean
        residuals = [
            ((side.values - mean) / self._unit).astype(np.float32)
            for side in (matrix.by_user, matrix.by_item)
        ]
        ahead: list[Callable[[], Any]] = [
            lambda: self._warm_start(matrix, residuals[0], noise),
            lambda: Link(matrix.by_user, matrix.by_item, self.reg_user),
            lambda: Link(matrix.by_item, matrix.by_user, self.reg_item),
        ]
        done: list[Any] = [None] * len(ahead)

        def work(start: int, stop: int) -> None:
            done[start:stop] = [make() for make in ahead[start:stop]]

        run_blocks(work, len(ahead), 1)
        (users, items, error), of_users, of_items = done
        sides = (
            Side(matrix.by_user, residuals[0], of_users, users),
            Side(matrix.by_item, residuals[1], of_items, items),
        )
        return Sampler(*sides, error, len(residuals[0])), error

    def _warm_start(
        self, matrix: InteractionMatrix, residuals: Float32Array, noise: np.random.Generator
    ) -> tuple[Float32Array, Float32Array, float]:
        """Bias and factors of each user and item by gradient descent, and the last epoch's squared error."""
        sizes = (matrix.n_users, matrix.n_items)
        bu, bi = (np.zeros(size, dtype=np.float32) for size in sizes)
        drawn = [noise.standard_normal((size, self.n_factors)) * self.init_std_dev for size in sizes]
        pu, qi = (factors.astype(np.float32) for factors in drawn)
        rates = np.full(4, self.lr_warm)
        decays = 1 - rates * (REG_BIAS, REG_BIAS, self.reg_warm, self.reg_warm)
        error = float(np.square(residuals).sum(dtype=np.float64))
        for _ in range(self.n_warm):
            error = svd_epoch(
                matrix.indptr, matrix.items, residuals, bu, bi, pu, qi,
                np.float32(0), True, rates.astype(np.float32), decays.astype(np.float32),
            )  # fmt: skip
        return np.column_stack([bu, pu]), np.column_stack([bi, qi]), error

    def _average(self) -> None:
        """Set the biases to the mean of the draws; the factors are left until they are asked for."""
        for name in ("pu", "qi"):
            self.__dict__.pop(name, None)
        draws = self._draws or ()
        for name in ("bu", "bi"):
            total = sum(getattr(draw, name) for draw in draws)
            setattr(self, name, (total * (self._unit / len(draws))).astype(self.dtype))

    def _compact(self) -> tuple[FloatArray, FloatArray]:
        """Set the factors, which as arrays then are what any factor model has."""
        pu, qi = compact(self._draws or (), self.rank)
        self.pu = np.ascontiguousarray(pu * np.float32(self._unit), dtype=self.dtype)
        self.qi = np.ascontiguousarray(qi, dtype=self.dtype)
        return self.pu, self.qi

    def _settle(self) -> None:
        """Leave the attributes and nothing else."""
        if self._draws is not None:
            self._compact()
            self._draws = None
