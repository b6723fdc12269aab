"""Matrix factorisation by stochastic gradient descent: SVD, PMF and SVD++."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from surprise.utils import get_rng

from marquee.algorithms.base import UNKNOWN, EpochAlgorithm, Estimates
from marquee.algorithms.kernels.sgd import dots, implicit_factors, svd_epoch, svdpp_epoch
from marquee.algorithms.parameters import DTYPES, require_choice, require_number, require_whole
from marquee.algorithms.parameters import RandomState as RandomState  # noqa: PLC0414  other models take it from here
from marquee.algorithms.threads import ONE_BLAS_THREAD
from marquee.arrays import Floats, Integers, Real
from marquee.interactions.matrix import RatingMatrix


class FactorModel(EpochAlgorithm):
    r"""What all models with user and item factors share: prediction.

    .. math:: \hat r_{ui} = \mu + b_u + b_i + q_i^T p_u

    Unknown users and items have no bias and no factors. Without biases a pair is impossible to
    estimate unless both are known.
    """

    impossible_reason = "User and item are unknown."

    biased: bool = True
    dtype: str
    pu: Real
    qi: Real

    def user_factors(self, users: Integers) -> Real:
        """What the item factors are multiplied by for each of these users, shape (len(users), n_factors)."""
        return self.pu[users]

    def _score_all(self, users: Integers) -> Floats:
        with ONE_BLAS_THREAD:
            scores = np.asarray(self.user_factors(users) @ self.qi.T, dtype=np.float64)
        if self.biased:
            scores += self.trainset.global_mean + self.bu[users].astype(np.float64)[:, None] + self.bi
        return scores

    def _estimate_pairs(self, users: Integers, items: Integers) -> Estimates:
        values = np.empty(len(users))
        known_users, known_items = users >= 0, items >= 0
        dots(*self._rows(users), items, self.qi, values)
        if not self.biased:
            return Estimates(values, ~(known_users & known_items))
        values += self.trainset.global_mean
        values += np.where(known_users, self.bu[users], 0)
        values += np.where(known_items, self.bi[items], 0)
        return Estimates(values)

    def _rows(self, users: Integers) -> tuple[Real, Integers]:
        """A matrix of user factors, and the row in it of each user (negative where unknown)."""
        return self.pu, users


class _SGD(FactorModel):
    """Parameters and their checks, common to SVD and SVD++."""

    learned: ClassVar[tuple[str, ...]] = ("bu", "bi", "pu", "qi")

    def _check_parameters(self) -> None:
        super()._check_parameters()
        require_whole(self, "n_factors")
        require_number(self, "init_mean", least=-np.inf)
        require_number(self, "init_std_dev")
        require_choice(self, "dtype", DTYPES)

    def _set_rates(self, lr_all: float, reg_all: float, given: dict[str, float | None]) -> None:
        """Set `lr_bu`, `reg_bu`, ...: each as given, else as for all."""
        for name, value in given.items():
            common = lr_all if name.startswith("lr_") else reg_all
            setattr(self, name, common if value is None else value)

    def _steps(self, *names: str) -> tuple[Real, Real]:
        """Rates, and decays 1 - rate * regularisation, of these parameters."""
        rates = np.array([getattr(self, f"lr_{name}") for name in names], dtype=np.float64)
        regs = np.array([getattr(self, f"reg_{name}") for name in names], dtype=np.float64)
        return rates.astype(self.dtype), (1 - rates * regs).astype(self.dtype)

    def _initial(self, *heights: int) -> Iterator[Real]:
        """Factor matrices of so many rows, drawn one after the other."""
        rng = get_rng(self.random_state)
        for height in heights:
            drawn = rng.normal(self.init_mean, self.init_std_dev, size=(height, self.n_factors))
            yield drawn.astype(self.dtype, copy=False)


class SVD(_SGD):
    r"""The biased matrix factorisation made popular by Simon Funk in the Netflix Prize.

    .. math:: \hat r_{ui} = \mu + b_u + b_i + q_i^T p_u

    learned by stochastic gradient descent on the regularised squared error: for each rating, with
    :math:`e_{ui} = r_{ui} - \hat r_{ui}`,

    .. math::
        b_u &\leftarrow b_u + \gamma (e_{ui} - \lambda b_u) \\
        b_i &\leftarrow b_i + \gamma (e_{ui} - \lambda b_i) \\
        p_u &\leftarrow p_u + \gamma (e_{ui} q_i - \lambda p_u) \\
        q_i &\leftarrow q_i + \gamma (e_{ui} p_u - \lambda q_i)

    Twin of `surprise.SVD`. With `biased=False` it is probabilistic matrix factorisation
    (Salakhutdinov and Mnih, 2008). Koren, Bell and Volinsky (2009), equations 5 and 6.

    Args:
        n_factors: length of the factor vectors.
        n_epochs: how often every rating is visited.
        biased: whether there are a mean and biases.
        init_mean: mean of the normal distribution that factors are drawn from.
        init_std_dev: its standard deviation.
        lr_all: learning rate of all parameters; `lr_bu`, `lr_bi`, `lr_pu`, `lr_qi` override it.
        reg_all: regularisation of all parameters; `reg_bu`, `reg_bi`, `reg_pu`, `reg_qi` override it.
        random_state: seed of the initial factors, or a generator; None: NumPy's global one.
        verbose: print each epoch.
        dtype: float64, which gives the twin's numbers, or float32, half the memory.

    Attributes: `pu` (n_users, n_factors), `qi` (n_items, n_factors), `bu` (n_users,), `bi` (n_items,).
    """

    rates: ClassVar[tuple[str, ...]] = (
        "lr_bu",
        "lr_bi",
        "lr_pu",
        "lr_qi",
        "reg_bu",
        "reg_bi",
        "reg_pu",
        "reg_qi",
    )

    def __init__(
        self,
        n_factors: int = 100,
        n_epochs: int = 20,
        biased: bool = True,
        init_mean: float = 0,
        init_std_dev: float = 0.1,
        lr_all: float = 0.005,
        reg_all: float = 0.02,
        lr_bu: float | None = None,
        lr_bi: float | None = None,
        lr_pu: float | None = None,
        lr_qi: float | None = None,
        reg_bu: float | None = None,
        reg_bi: float | None = None,
        reg_pu: float | None = None,
        reg_qi: float | None = None,
        random_state: RandomState = None,
        verbose: bool = False,
        dtype: str = "float64",
    ) -> None:
        super().__init__()
        self.n_factors, self.n_epochs, self.biased = n_factors, n_epochs, biased
        self.init_mean, self.init_std_dev = init_mean, init_std_dev
        given = {"lr_bu": lr_bu, "lr_bi": lr_bi, "lr_pu": lr_pu, "lr_qi": lr_qi}
        given |= {"reg_bu": reg_bu, "reg_bi": reg_bi, "reg_pu": reg_pu, "reg_qi": reg_qi}
        self._set_rates(lr_all, reg_all, given)
        self.random_state, self.verbose, self.dtype = random_state, verbose, dtype

    def _train(self, matrix: RatingMatrix) -> Iterator[float | None]:
        self.pu, self.qi = self._initial(matrix.n_users, matrix.n_items)
        self.bu, self.bi = np.zeros(matrix.n_users, self.dtype), np.zeros(matrix.n_items, self.dtype)
        mean = self.pu.dtype.type(self.trainset.global_mean if self.biased else 0)
        values = matrix.values.astype(self.dtype, copy=False)
        rates, decays = self._steps("bu", "bi", "pu", "qi")
        yield None
        while True:
            yield svd_epoch(
                matrix.indptr, matrix.items, values,
                self.bu, self.bi, self.pu, self.qi,
                mean, self.biased, rates, decays,
            )  # fmt: skip


class PMF(SVD):
    r"""Probabilistic matrix factorisation: `SVD` without mean and biases.

    .. math:: \hat r_{ui} = q_i^T p_u

    Salakhutdinov and Mnih (2008), Probabilistic Matrix Factorization. Arguments and attributes as `SVD`.
    """

    def __init__(
        self,
        n_factors: int = 100,
        n_epochs: int = 20,
        init_mean: float = 0,
        init_std_dev: float = 0.1,
        lr_all: float = 0.005,
        reg_all: float = 0.02,
        lr_pu: float | None = None,
        lr_qi: float | None = None,
        reg_pu: float | None = None,
        reg_qi: float | None = None,
        random_state: RandomState = None,
        verbose: bool = False,
        dtype: str = "float64",
    ) -> None:
        super().__init__(
            n_factors, n_epochs, biased=False, init_mean=init_mean, init_std_dev=init_std_dev,
            lr_all=lr_all, reg_all=reg_all, lr_pu=lr_pu, lr_qi=lr_qi, reg_pu=reg_pu, reg_qi=reg_qi,
            random_state=random_state, verbose=verbose, dtype=dtype,
        )  # fmt: skip


class SVDpp(_SGD):
    r"""SVD++: matrix factorisation that also learns from which items a user rated, whatever the rating.

    .. math:: \hat r_{ui} = \mu + b_u + b_i + q_i^T \Big(p_u + |I_u|^{-1/2} \sum_{j \in I_u} y_j\Big)

    learned as `SVD`, with, for every :math:`j \in I_u` at each rating,

    .. math:: y_j \leftarrow y_j + \gamma (e_{ui} |I_u|^{-1/2} q_i - \lambda y_j)

    Twin of `surprise.SVDpp`; the same model, at the cost of SVD (see `kernels/factors.py`).
    Koren (2008), Factorization Meets the Neighborhood, section 4.

    Args:
        cache_ratings: accepted as the twin's; changes nothing, for there is nothing to cache.

    The other arguments as in `SVD` (`n_factors` 20, `lr_all` 0.007 unless given), and `lr_yj`, `reg_yj`.

    Attributes: those of `SVD`, and `yj` (n_items, n_factors).
    """

    rates: ClassVar[tuple[str, ...]] = (*SVD.rates[:4], "lr_yj", *SVD.rates[4:], "reg_yj")
    learned: ClassVar[tuple[str, ...]] = (*_SGD.learned, "yj")

    def __init__(
        self,
        n_factors: int = 20,
        n_epochs: int = 20,
        init_mean: float = 0,
        init_std_dev: float = 0.1,
        lr_all: float = 0.007,
        reg_all: float = 0.02,
        lr_bu: float | None = None,
        lr_bi: float | None = None,
        lr_pu: float | None = None,
        lr_qi: float | None = None,
        lr_yj: float | None = None,
        reg_bu: float | None = None,
        reg_bi: float | None = None,
        reg_pu: float | None = None,
        reg_qi: float | None = None,
        reg_yj: float | None = None,
        random_state: RandomState = None,
        verbose: bool = False,
        cache_ratings: bool = False,
        dtype: str = "float64",
    ) -> None:
        super().__init__()
        self.n_factors, self.n_epochs = n_factors, n_epochs
        self.init_mean, self.init_std_dev = init_mean, init_std_dev
        given = {"lr_bu": lr_bu, "lr_bi": lr_bi, "lr_pu": lr_pu, "lr_qi": lr_qi, "lr_yj": lr_yj}
        given |= {"reg_bu": reg_bu, "reg_bi": reg_bi, "reg_pu": reg_pu, "reg_qi": reg_qi, "reg_yj": reg_yj}
        self._set_rates(lr_all, reg_all, given)
        self.random_state, self.verbose, self.dtype = random_state, verbose, dtype
        self.cache_ratings = cache_ratings

    def _tell(self, epoch: int) -> None:
        if self.verbose:
            print(f" processing epoch {epoch - 1}")  # noqa: T201  as the twin, which differs from SVD here

    def user_factors(self, users: Integers) -> Real:
        """p_u and the implicit part of each of these users, shape (len(users), n_factors)."""
        implicit = np.empty((len(users), self.n_factors), dtype=self.dtype)
        implicit_factors(users, self.matrix.indptr, self.matrix.items, self.yj, implicit)
        return self.pu[users] + implicit

    def _rows(self, users: Integers) -> tuple[Real, Integers]:
        asked = np.unique(users[users >= 0])
        rows = np.full(self.matrix.n_users, UNKNOWN, dtype=np.int32)
        rows[asked] = np.arange(len(asked), dtype=np.int32)
        return self.user_factors(asked), np.where(users >= 0, rows[users], UNKNOWN)

    def _train(self, matrix: RatingMatrix) -> Iterator[float | None]:
        self.pu, self.qi, self.yj = self._initial(matrix.n_users, matrix.n_items, matrix.n_items)
        self.bu, self.bi = np.zeros(matrix.n_users, self.dtype), np.zeros(matrix.n_items, self.dtype)
        mean = self.pu.dtype.type(self.trainset.global_mean)
        values = matrix.values.astype(self.dtype, copy=False)
        rates, decays = self._steps("bu", "bi", "pu", "qi", "yj")
        yield None
        while True:
            yield svdpp_epoch(
                matrix.indptr, matrix.items, values,
                self.bu, self.bi, self.pu, self.qi, self.yj,
                mean, rates, decays,
            )  # fmt: skip
