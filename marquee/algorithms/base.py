"""Base classes of all algorithms: scikit-surprise's `AlgoBase`, computing on arrays.

    Algorithm            fit, predict and test as in Surprise; estimate_pairs, score_pairs and
    │                    score_all_items on arrays
    └── EpochAlgorithm   trains by epochs; fit_by_epoch yields after each one

A subclass implements `_fit` (or `_train`, which yields after each epoch) and `_estimate_pairs`; all public
methods build on these.
"""

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import repeat, starmap
from math import isfinite, sqrt
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from surprise import AlgoBase, Prediction, PredictionImpossible

from marquee.algorithms.biases import compute_biases
from marquee.algorithms.parameter_checks import check_integer_attributes, check_number_attributes
from marquee.algorithms.trainset import Testset, Trainset, as_interaction_matrix, as_trainset
from marquee.array_types import BoolArray, Float64Array, Int32Array
from marquee.errors import DataError, DivergedError
from marquee.interactions.matrix import InteractionMatrix, SparseRows, check_rating_values
from marquee.model.factor_scoring import FactorSpace
from marquee.model.scorers.rating_factors import RatingFactors
from marquee.model.scorers.stored_scorer import StoredScorer

UNKNOWN = -1  # inner id of a user or item that is not in the training set

HistoryScorer: TypeAlias = Callable[[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike], Float64Array]


@dataclass(frozen=True)
class Estimates:
    """Estimated ratings of n user-item pairs, not clipped to the rating scale."""

    values: Float64Array  # (n,); undefined where impossible
    impossible: BoolArray | None = None  # (n,); None if every pair has an estimate
    # Entries for the `details` of Surprise's predictions, by name, (n,); negative: none for this pair.
    details: Mapping[str, Int32Array] = field(default_factory=dict)


class Algorithm(AlgoBase):  # type: ignore[misc]
    """Rating predictor with scikit-surprise's interface and vectorized prediction.

    Methods that take inner ids accept `UNKNOWN` for users and items that are not in the training set.
    """

    impossible_reason: ClassVar[str] = "User and/or item is unknown."
    is_ranker: ClassVar[bool] = False  # True: scores only order items, ratings cannot be predicted
    is_random: ClassVar[bool] = False  # True: estimates are random draws and depend on the order of calls
    uses_histories: ClassVar[bool] = False  # True: `score_histories` personalizes scores of unknown users

    # Algorithms that this one consists of, fitted; their state is stored with its own.
    fitted_members: "Sequence[Algorithm]" = ()

    bu: Any  # biases of users and items, if the algorithm has them; None until they are computed
    bi: Any

    def fit(self, trainset: Trainset | InteractionMatrix) -> Self:
        """Fit the algorithm to a Surprise training set or an `InteractionMatrix`.

        Raises:
            DataError: there are no ratings, or a rating is NaN or infinite.
            ParameterError: a constructor argument is invalid.
            DivergedError: the learned parameters are not finite.
        """
        self._fit(self._prepare_fit(trainset))
        return self

    def estimate_pairs(self, users: npt.ArrayLike, items: npt.ArrayLike) -> Estimates:
        """Estimate the ratings of pairs of inner ids.

        An impossible estimate has the value of `default_prediction()`, as in `predict`.
        """
        estimates = self._estimate_pairs(
            mark_unknown_ids(users, self.trainset.n_users),
            mark_unknown_ids(items, self.trainset.n_items),
        )
        return replace(estimates, values=self._fill_impossible(estimates))

    def score_pairs(self, users: npt.ArrayLike, items: npt.ArrayLike) -> Float64Array:
        """Return the estimated ratings of pairs of inner ids, shape (n,), not clipped to the rating scale."""
        return self.estimate_pairs(users, items).values

    def score_all_items(self, users: npt.ArrayLike) -> Float64Array:
        """Score every item for each of these users; shape (len(users), n_items), not clipped."""
        users, n_items = mark_unknown_ids(users, self.trainset.n_users), self.trainset.n_items
        known = users != UNKNOWN
        if known.all():
            return self._score_all_items(users)
        scores = np.empty((len(users), n_items))
        scores[known] = self._score_all_items(users[known])
        scores[~known] = self.score_pairs(np.full(n_items, UNKNOWN), np.arange(n_items))
        return scores

    def _score_all_items(self, users: Int32Array) -> Float64Array:
        """Implement `score_all_items` for known users."""
        n_items = self.trainset.n_items
        items = np.tile(np.arange(n_items, dtype=np.int32), len(users))
        return self.score_pairs(np.repeat(users, n_items), items).reshape(len(users), n_items)

    def score_histories(
        self, indptr: npt.ArrayLike, items: npt.ArrayLike, values: npt.ArrayLike
    ) -> Float64Array:
        """Score every item for users who are not in the training set, from their histories (fold-in).

        If `uses_histories` is False, each user gets the scores of an unknown user.

        Args:
            indptr: user n has the interactions `indptr[n]:indptr[n + 1]`; shape (n_users + 1,).
            items: inner ids; items that are not in the training set are ignored.
            values: ratings, or weights if the training set has implicit feedback.

        Returns:
            Scores as in `score_all_items`, (n_users, n_items).

        Raises:
            DataError: the arrays do not fit together, or a value is NaN or infinite.
        """
        return self.build_history_scorer()(indptr, items, values)

    def build_history_scorer(self) -> HistoryScorer:
        """Return `score_histories` for many calls: what all histories have in common is computed once."""
        score, n_items = self._build_history_scorer(), self.trainset.n_items

        def score_histories(
            indptr: npt.ArrayLike, items: npt.ArrayLike, values: npt.ArrayLike
        ) -> Float64Array:
            rows = SparseRows(
                np.asarray(indptr, dtype=np.int64),
                mark_unknown_ids(items, n_items),
                np.asarray(values, dtype=np.float64),
            )
            _check_histories(rows)
            is_known = rows.indices != UNKNOWN
            n_known_before = np.concatenate([[0], np.cumsum(is_known)])
            return score(
                SparseRows(n_known_before[rows.indptr], rows.indices[is_known], rows.values[is_known])
            )

        return score_histories

    def _build_history_scorer(self) -> Callable[[SparseRows], Float64Array]:
        """Implement `build_history_scorer` for valid arrays and known items."""
        return self._score_histories

    def _score_histories(self, histories: SparseRows) -> Float64Array:
        """Implement `score_histories` for valid arrays and known items."""
        return self.score_all_items(np.full(len(histories.indptr) - 1, UNKNOWN))

    def create_members(self) -> None:
        """Set `fitted_members` to unfitted algorithms, to restore their state."""

    def build_served_copy(self) -> Self | None:
        """Return a copy that scores items as its stored scorer does; None: it scores the same itself."""
        return None

    def build_factor_space(self, noise: float) -> FactorSpace | None:  # noqa: ARG002  factor models use it
        """Return the parameters of a fitted factor model of ratings, or None for another algorithm.

        Args:
            noise: variance of a rating around the model's estimate, in squared stars.
        """
        return None

    def build_stored_scorer(self, noise: float | None) -> StoredScorer | None:
        """Return what a served model stores to score items for any history; None if the algorithm cannot.

        Args:
            noise: variance of a rating around the model's estimate, in squared stars; None if unknown.
        """
        space = None if noise is None else self.build_factor_space(noise)
        return None if space is None else RatingFactors(space)

    def test(self, testset: Testset, verbose: bool = False) -> list[Prediction]:
        """Predict all (raw user, raw item, true rating) rows of a test set in one pass."""
        testset = list(testset)  # Surprise accepts any iterable
        if self._overrides_prediction() or not testset:
            return list(super().test(testset, verbose=verbose))
        raw_users, raw_items, actual = zip(*testset, strict=True)
        users = to_inner_ids(raw_users, self.trainset._raw2inner_id_users)
        items = to_inner_ids(raw_items, self.trainset._raw2inner_id_items)
        estimates = self.estimate_pairs(users, items)
        values = np.clip(estimates.values, *self.trainset.rating_scale).tolist()
        with _garbage_collection_paused():  # each collection would scan the growing list
            details = self._prediction_details(estimates, users, items)
            rows = zip(raw_users, raw_items, actual, values, details, strict=True)
            predictions = list(starmap(Prediction, rows))
        if verbose:
            print(*predictions, sep="\n")  # noqa: T201  as Surprise does
        return predictions

    def estimate(self, u: int | str, i: int | str) -> float | tuple[float, dict[str, Any]]:
        """Estimate one rating; Surprise passes a string for an unknown user or item.

        Raises:
            PredictionImpossible: the algorithm has no estimate for this pair.
        """
        users = mark_unknown_ids([UNKNOWN if isinstance(u, str) else u], self.trainset.n_users)
        items = mark_unknown_ids([UNKNOWN if isinstance(i, str) else i], self.trainset.n_items)
        estimates = self._estimate_pairs(users, items)
        if estimates.impossible is not None and estimates.impossible[0]:
            raise PredictionImpossible(self._explain_impossible(users[0], items[0]))
        details = {name: int(values[0]) for name, values in estimates.details.items() if values[0] >= 0}
        value = float(estimates.values[0])
        return (value, details) if details else value

    def compute_baselines(self) -> tuple[Float64Array, Float64Array]:
        """Return user and item biases estimated with `bsl_options`, computed once per fit.

        Raises:
            ParameterError, DivergedError: see `compute_biases`.
        """
        if self.bu is None:
            if getattr(self, "verbose", False):
                print(f"Estimating biases using {self.bsl_options.get('method', 'als')}...")  # noqa: T201
            self.bu, self.bi = compute_biases(
                self.training_matrix, self.trainset.global_mean, self.bsl_options
            )
        return self.bu, self.bi

    @property
    def training_matrix(self) -> InteractionMatrix:
        """Training set as an interaction matrix."""
        return as_interaction_matrix(self.trainset)

    def _prepare_fit(self, data: Trainset | InteractionMatrix) -> InteractionMatrix:
        """Validate parameters and ratings, reset the model as `AlgoBase.fit` does, and return the matrix."""
        self._check_parameters()
        trainset = as_trainset(data)
        matrix = as_interaction_matrix(trainset)
        check_rating_values(matrix.values)
        AlgoBase.fit(self, trainset)  # after validation: a failed fit leaves the model unchanged
        return matrix

    def _check_parameters(self) -> None:
        """Raise ParameterError if a constructor argument is invalid."""

    def _fit(self, matrix: InteractionMatrix) -> None:
        """Compute the model's attributes."""
        raise NotImplementedError

    def _estimate_pairs(self, users: Int32Array, items: Int32Array) -> Estimates:
        """Estimate pairs of inner ids, which may be `UNKNOWN`."""
        raise NotImplementedError

    def _overrides_prediction(self) -> bool:
        """Return True if a subclass replaces `estimate` or `predict`; `test` then has to call them."""
        cls = type(self)
        return cls.estimate is not Algorithm.estimate or cls.predict is not AlgoBase.predict

    def _fill_impossible(self, estimates: Estimates) -> Float64Array:
        if estimates.impossible is None:
            return estimates.values
        return np.where(estimates.impossible, self.default_prediction(), estimates.values)

    def _explain_impossible(self, user: int, item: int) -> str:  # noqa: ARG002  k-NN has two reasons
        return self.impossible_reason

    def _prediction_details(
        self, estimates: Estimates, users: Int32Array, items: Int32Array
    ) -> list[dict[str, Any]]:
        """Return the `details` dictionaries of Surprise's predictions."""
        details: list[dict[str, Any]] = [{} for _ in range(len(users))]
        for name, values in estimates.details.items():
            for detail, value in zip(details, values.tolist(), strict=True):
                if value >= 0:
                    detail[name] = value
        for detail in details:  # last key, as in `predict`: Surprise prints the keys in this order
            detail["was_impossible"] = False
        if estimates.impossible is not None:
            for row in np.flatnonzero(estimates.impossible).tolist():
                reason = self._explain_impossible(users[row], items[row])
                details[row] = {"was_impossible": True, "reason": reason}
        return details


@dataclass(frozen=True)
class EpochResult:
    """Progress after one training epoch."""

    number: int  # from 1
    train_rmse: float | None  # of the predictions made during the epoch, unclipped; None: not computed


class EpochAlgorithm(Algorithm):
    """Algorithm that trains by epochs and can be used after each of them.

    `fit_by_epoch` does the same as `fit`, but yields after each epoch. At each yield, the model can predict
    and equals the model that `fit` would produce with `n_epochs` set to the number of that epoch.
    """

    n_epochs: int
    step_parameters: ClassVar[tuple[str, ...]] = ()  # non-negative numbers; reported if training diverges
    learned_attributes: ClassVar[tuple[str, ...]] = ()  # arrays that must stay finite
    divergence_remedy: ClassVar[str] = "lower the learning rates or raise the regularization"

    def fit_by_epoch(self, trainset: Trainset | InteractionMatrix) -> Iterator[EpochResult]:
        """Train, yielding after each of the `n_epochs` epochs; stop iterating to stop early.

        Raises:
            DataError, ParameterError, DivergedError: see `fit`.
        """
        yield from self._run_epochs(self._prepare_fit(trainset))

    def _fit(self, matrix: InteractionMatrix) -> None:
        for _ in self._run_epochs(matrix):
            pass

    def _run_epochs(self, matrix: InteractionMatrix) -> Iterator[EpochResult]:
        """Run `n_epochs` epochs of `_train`, checking each for divergence."""
        training = self._train(matrix)
        next(training)
        for number in range(1, self.n_epochs + 1):
            self._print_epoch(number)
            squared_error = next(training)
            self._raise_if_diverged(number, squared_error)
            rmse = None if squared_error is None else sqrt(squared_error / len(matrix.values))
            yield EpochResult(number, rmse)

    def _print_epoch(self, epoch: int) -> None:
        """If `verbose`, print the line that Surprise prints before an epoch; `epoch` counts from 1."""
        if getattr(self, "verbose", False):
            print(f"Processing epoch {epoch - 1}")  # noqa: T201

    def _train(self, matrix: InteractionMatrix) -> Iterator[float | None]:
        """Initialize the attributes and yield once; then train forever, yielding after each epoch.

        The attributes are up to date at each yield.

        Yields:
            Sum of squared errors of the predictions made during the epoch, or None if it is not computed.
        """
        raise NotImplementedError

    def _check_parameters(self) -> None:
        check_integer_attributes(self, "n_epochs")
        check_number_attributes(self, *self.step_parameters)

    def _raise_if_diverged(self, epoch: int, squared_error: float | None) -> None:
        arrays = (getattr(self, name) for name in self.learned_attributes)
        if isfinite(squared_error or 0.0) and all(np.isfinite(array).all() for array in arrays):
            return
        parameters = ", ".join(f"{name}={getattr(self, name)}" for name in self.step_parameters)
        raise DivergedError(
            f"{type(self).__name__} diverged in epoch {epoch} with {parameters}: {self.divergence_remedy}"
        )


def mark_unknown_ids(ids: npt.ArrayLike, n: int) -> Int32Array:
    """Return ids as a contiguous int32 array in which `UNKNOWN` replaces those outside range(n).

    Kernels do not check bounds, so ids must pass through this function first.
    """
    ids = np.asarray(ids)
    if ids.size and (ids.min() < 0 or ids.max() >= n):
        ids = np.where((ids >= 0) & (ids < n), ids, UNKNOWN)
    return np.ascontiguousarray(ids, dtype=np.int32)


def to_inner_ids(raw_ids: Sequence[Any], index: Mapping[Any, int]) -> Int32Array:
    """Look up the inner ids of raw ids; ids that are not in the index become `UNKNOWN`."""
    return np.fromiter(map(index.get, raw_ids, repeat(UNKNOWN)), np.int32, len(raw_ids))


def _check_histories(histories: SparseRows) -> None:
    """Raise DataError if the arrays do not fit together, or a value is not finite."""
    indptr, n = histories.indptr, len(histories.indices)
    if not len(indptr) or indptr[0] != 0 or indptr[-1] != n or (np.diff(indptr) < 0).any():
        raise DataError(f"indptr of histories must increase from 0 to the number of items ({n})")
    if len(histories.values) != n:
        raise DataError(f"histories have {n} items and {len(histories.values)} values")
    invalid = np.flatnonzero(~np.isfinite(histories.values))
    if len(invalid):
        raise DataError(f"value {invalid[0]} of the histories is not finite ({histories.values[invalid[0]]})")


@contextmanager
def _garbage_collection_paused() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
