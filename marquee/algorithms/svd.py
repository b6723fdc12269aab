"""Matrix factorization by stochastic gradient descent: SVD, PMF and SVD++."""

from collections.abc import Callable, Iterator
from typing import ClassVar

import numpy as np
from surprise.utils import get_rng

from marquee.algorithms.base import UNKNOWN, EpochAlgorithm, Estimates
from marquee.algorithms.fold_in import fold_in_ratings
from marquee.algorithms.kernels.sgd import (
    compute_implicit_factors,
    compute_pair_dots,
    run_svd_epoch,
    run_svdpp_epoch,
)
from marquee.algorithms.normal_draws import draw_normal
from marquee.algorithms.parameter_checks import (
    DTYPES,
    RandomState,
    check_choice_attribute,
    check_integer_attributes,
    check_number_attributes,
)
from marquee.algorithms.reproducible_linear_algebra import multiply_matrices
from marquee.array_types import Float64Array, FloatArray, Int32Array
from marquee.interactions.matrix import InteractionMatrix, SparseRows
from marquee.model.factor_scoring import FactorSpace


class FactorModel(EpochAlgorithm):
    r"""Base class of models with user and item factors; implements prediction.

    .. math:: \hat r_{ui} = \mu + b_u + b_i + q_i^T p_u

    The bias and factors of an unknown user or item are 0. If the model has no biases, a prediction is
    impossible unless both user and item are known.

    `score_histories` uses the most likely bias and factors of a user with these ratings (`FactorSpace`). The
    variance of a rating around its estimate is that of the training ratings.
    """

    uses_histories = True
    impossible_reason = "User and item are unknown."

    biased: bool = True
    dtype: str
    pu: FloatArray
    qi: FloatArray

    def compute_user_factors(self, users: Int32Array) -> FloatArray:
        """Return the vectors of known users that item factors are multiplied by, (len(users), n_factors)."""
        return self.pu[users]

    def build_factor_space(self, noise: float) -> FactorSpace:
        """Return the parameters of the fitted model, for serving and fold-in.

        Args:
            noise: variance of a rating around the model's estimate, in squared stars.
        """
        users = self.compute_user_factors(np.arange(self.trainset.n_users, dtype=np.int32))
        bu, bi, offset = np.zeros(len(users)), np.zeros(len(self.qi)), 0.0
        if self.biased:
            bu, bi, offset = self.bu, self.bi, float(self.trainset.global_mean)
        return FactorSpace.from_parameters((self.qi, bi), (users, bu), offset, noise)

    def _build_history_scorer(self) -> Callable[[SparseRows], Float64Array]:
        space = self.build_factor_space(self._training_error())
        factors = space.item_factors.astype(np.float64)

        def score(histories: SparseRows) -> Float64Array:
            vectors = fold_in_ratings(histories, space)
            user_factors = np.ascontiguousarray(vectors[:, 1:])
            scores = np.asarray(multiply_matrices(user_factors, factors.T), np.float64)
            scores += space.offset + vectors[:, :1] + space.item_biases
            return scores

        return score

    def _training_error(self) -> float:
        """Mean squared error of the training ratings."""
        matrix = self.training_matrix
        users = np.repeat(np.arange(matrix.n_users, dtype=np.int32), matrix.by_user.counts)
        return float(np.square(matrix.values - self._estimate_pairs(users, matrix.items).values).mean())

    def _score_all_items(self, users: Int32Array) -> Float64Array:
        scores = np.asarray(multiply_matrices(self.compute_user_factors(users), self.qi.T), dtype=np.float64)
        if self.biased:
            scores += self.trainset.global_mean + self.bu[users].astype(np.float64)[:, None] + self.bi
        return scores

    def _estimate_pairs(self, users: Int32Array, items: Int32Array) -> Estimates:
        values = np.empty(len(users))
        known_users, known_items = users >= 0, items >= 0
        compute_pair_dots(*self._user_factor_table(users), items, self.qi, values)
        if not self.biased:
            return Estimates(values, ~(known_users & known_items))
        values += self.trainset.global_mean
        values += np.where(known_users, self.bu[users], 0)
        values += np.where(known_items, self.bi[items], 0)
        return Estimates(values)

    def _user_factor_table(self, users: Int32Array) -> tuple[FloatArray, Int32Array]:
        """Return a matrix of user factors, and each user's row in it (`UNKNOWN` for unknown users)."""
        return self.pu, users


class _SGDModel(FactorModel):
    """Base class of SVD and SVD++: their parameters and initial factors."""

    learned_attributes: ClassVar[tuple[str, ...]] = ("bu", "bi", "pu", "qi")

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_integer_attributes(self, "n_factors")
        check_number_attributes(self, "init_mean", minimum=-np.inf)
        check_number_attributes(self, "init_std_dev")
        check_choice_attribute(self, "dtype", DTYPES)

    def _set_step_parameters(self, lr_all: float, reg_all: float, overrides: dict[str, float | None]) -> None:
        """Set `lr_bu`, `reg_bu`, ... to their overrides, or to `lr_all` and `reg_all` if these are None."""
        for name, value in overrides.items():
            default = lr_all if name.startswith("lr_") else reg_all
            setattr(self, name, default if value is None else value)

    def _rates_and_decays(self, *names: str) -> tuple[FloatArray, FloatArray]:
        """Return the learning rates of these attributes, and the factors 1 - rate * reg of their decay."""
        rates = np.array([getattr(self, f"lr_{name}") for name in names], dtype=np.float64)
        regs = np.array([getattr(self, f"reg_{name}") for name in names], dtype=np.float64)
        return rates.astype(self.dtype), (1 - rates * regs).astype(self.dtype)

    def _draw_factors(self, *n_rows: int) -> Iterator[FloatArray]:
        """Yield random factor matrices with these numbers of rows, drawn one after the other."""
        rng = get_rng(self.random_state)
        for n in n_rows:
            factors = draw_normal(rng, self.init_mean, self.init_std_dev, n * self.n_factors)
            yield factors.reshape(n, self.n_factors).astype(self.dtype, copy=False)


class SVD(_SGDModel):
    r"""Biased matrix factorization, made popular by Simon Funk in the Netflix Prize.

    .. math:: \hat r_{ui} = \mu + b_u + b_i + q_i^T p_u

    Stochastic gradient descent minimizes the regularized squared error. The update for each rating, with
    :math:`e_{ui} = r_{ui} - \hat r_{ui}`, is

    .. math::
        b_u &\leftarrow b_u + \gamma (e_{ui} - \lambda b_u) \\
        b_i &\leftarrow b_i + \gamma (e_{ui} - \lambda b_i) \\
        p_u &\leftarrow p_u + \gamma (e_{ui} q_i - \lambda p_u) \\
        q_i &\leftarrow q_i + \gamma (e_{ui} p_u - \lambda q_i)

    Twin of `surprise.SVD`. With `biased=False` it is probabilistic matrix factorization (see `PMF`). Koren,
    Bell and Volinsky (2009), Matrix Factorization Techniques for Recommender Systems, equations 5 and 6.

    Args:
        n_factors: number of factors.
        n_epochs: number of passes over the ratings.
        biased: use the global mean and biases.
        init_mean: mean of the normal distribution of the initial factors.
        init_std_dev: standard deviation of that distribution.
        lr_all: learning rate of all parameters; `lr_bu`, `lr_bi`, `lr_pu` and `lr_qi` override it.
        reg_all: regularization of all parameters; `reg_bu`, `reg_bi`, `reg_pu` and `reg_qi` override it.
        random_state: seed or generator of the initial factors; None: NumPy's global generator.
        verbose: print each epoch.
        dtype: float64 for the same numbers as the twin, or float32 for half the memory.

    Attributes:
        pu: user factors (n_users, n_factors).
        qi: item factors (n_items, n_factors).
        bu: user biases (n_users,).
        bi: item biases (n_items,).
    """

    step_parameters: ClassVar[tuple[str, ...]] = (
        "lr_bu", "lr_bi", "lr_pu", "lr_qi",
        "reg_bu", "reg_bi", "reg_pu", "reg_qi",
    )  # fmt: skip

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
        overrides = {"lr_bu": lr_bu, "lr_bi": lr_bi, "lr_pu": lr_pu, "lr_qi": lr_qi}
        overrides |= {"reg_bu": reg_bu, "reg_bi": reg_bi, "reg_pu": reg_pu, "reg_qi": reg_qi}
        self._set_step_parameters(lr_all, reg_all, overrides)
        self.random_state, self.verbose, self.dtype = random_state, verbose, dtype

    def _train(self, matrix: InteractionMatrix) -> Iterator[float | None]:
        self.pu, self.qi = self._draw_factors(matrix.n_users, matrix.n_items)
        self.bu, self.bi = np.zeros(matrix.n_users, self.dtype), np.zeros(matrix.n_items, self.dtype)
        mean = self.pu.dtype.type(self.trainset.global_mean if self.biased else 0)
        values = matrix.values.astype(self.dtype, copy=False)
        rates, decays = self._rates_and_decays("bu", "bi", "pu", "qi")
        yield None
        while True:
            yield run_svd_epoch(
                matrix.indptr, matrix.items, values,
                self.bu, self.bi, self.pu, self.qi,
                mean, self.biased, rates, decays,
            )  # fmt: skip


class PMF(SVD):
    r"""Probabilistic matrix factorization: `SVD` without global mean and biases.

    .. math:: \hat r_{ui} = q_i^T p_u

    Salakhutdinov and Mnih (2008), Probabilistic Matrix Factorization. Arguments and attributes as in `SVD`.
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


class SVDpp(_SGDModel):
    r"""SVD++: matrix factorization that also uses which items a user rated, regardless of the rating.

    .. math:: \hat r_{ui} = \mu + b_u + b_i + q_i^T \Big(p_u + |I_u|^{-1/2} \sum_{j \in I_u} y_j\Big)

    Trained as `SVD`, with an additional update at each rating for every :math:`j \in I_u`,

    .. math:: y_j \leftarrow y_j + \gamma (e_{ui} |I_u|^{-1/2} q_i - \lambda y_j)

    Twin of `surprise.SVDpp`: the same model at the cost of SVD (see `marquee.algorithms.kernels.sgd`).
    Koren (2008), Factorization Meets the Neighborhood, section 4.

    Args:
        lr_yj: learning rate of the implicit item factors; None: `lr_all`.
        reg_yj: regularization of the implicit item factors; None: `reg_all`.
        cache_ratings: accepted for compatibility with the twin, without effect.

    Other arguments as in `SVD`, with defaults `n_factors=20` and `lr_all=0.007`; there is no `biased`.

    Attributes:
        yj: implicit item factors (n_items, n_factors).

    Other attributes as in `SVD`.
    """

    step_parameters: ClassVar[tuple[str, ...]] = (
        "lr_bu", "lr_bi", "lr_pu", "lr_qi", "lr_yj",
        "reg_bu", "reg_bi", "reg_pu", "reg_qi", "reg_yj",
    )  # fmt: skip
    learned_attributes: ClassVar[tuple[str, ...]] = (*_SGDModel.learned_attributes, "yj")

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
        overrides = {"lr_bu": lr_bu, "lr_bi": lr_bi, "lr_pu": lr_pu, "lr_qi": lr_qi, "lr_yj": lr_yj}
        overrides |= {
            "reg_bu": reg_bu,
            "reg_bi": reg_bi,
            "reg_pu": reg_pu,
            "reg_qi": reg_qi,
            "reg_yj": reg_yj,
        }
        self._set_step_parameters(lr_all, reg_all, overrides)
        self.random_state, self.verbose, self.dtype = random_state, verbose, dtype
        self.cache_ratings = cache_ratings

    def _print_epoch(self, epoch: int) -> None:
        if self.verbose:
            print(f" processing epoch {epoch - 1}")  # noqa: T201  the twin's format, unlike SVD's

    def compute_user_factors(self, users: Int32Array) -> FloatArray:
        """Return p_u plus the implicit part for known users, (len(users), n_factors)."""
        implicit = np.empty((len(users), self.n_factors), dtype=self.dtype)
        compute_implicit_factors(
            users, self.training_matrix.indptr, self.training_matrix.items, self.yj, implicit
        )
        return self.pu[users] + implicit

    def _user_factor_table(self, users: Int32Array) -> tuple[FloatArray, Int32Array]:
        distinct = np.unique(users[users >= 0])
        rows = np.full(self.training_matrix.n_users, UNKNOWN, dtype=np.int32)
        rows[distinct] = np.arange(len(distinct), dtype=np.int32)
        return self.compute_user_factors(distinct), np.where(users >= 0, rows[users], UNKNOWN)

    def _train(self, matrix: InteractionMatrix) -> Iterator[float | None]:
        self.pu, self.qi, self.yj = self._draw_factors(matrix.n_users, matrix.n_items, matrix.n_items)
        self.bu, self.bi = np.zeros(matrix.n_users, self.dtype), np.zeros(matrix.n_items, self.dtype)
        mean = self.pu.dtype.type(self.trainset.global_mean)
        values = matrix.values.astype(self.dtype, copy=False)
        rates, decays = self._rates_and_decays("bu", "bi", "pu", "qi", "yj")
        yield None
        while True:
            yield run_svdpp_epoch(
                matrix.indptr, matrix.items, values,
                self.bu, self.bi, self.pu, self.qi, self.yj,
                mean, rates, decays,
            )  # fmt: skip
