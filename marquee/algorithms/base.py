"""What every algorithm of ours is: scikit-surprise's `AlgoBase`, with arrays where it loops.

    Algorithm            fit, predict, test as Surprise has them; score and score_all on arrays
    └── EpochAlgorithm   trains by epochs, and can be looked at after each

A subclass says how it learns (`_learn`, or `_train` epoch by epoch) and what it estimates of pairs
(`_estimate_pairs`); everything that Surprise's users call is made of these.
"""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import repeat, starmap
from math import isfinite, sqrt
from typing import Any, ClassVar, Self

import numpy as np
from surprise import AlgoBase, Prediction, PredictionImpossible

from marquee.algorithms.biases import biases
from marquee.algorithms.parameters import require_number, require_whole
from marquee.algorithms.trainset import Testset, Trainset, as_trainset, matrix_of
from marquee.arrays import Floats, Integers, Mask
from marquee.errors import DivergedError
from marquee.interactions.matrix import RatingMatrix, check_values

UNKNOWN = -1  # the number of a user or item that the training set does not have


@dataclass(frozen=True)
class Estimates:
    """Estimated ratings of pairs, unclipped."""

    values: Floats  # (n,); whatever where impossible
    impossible: Mask | None = None  # (n,); None: none is
    details: Mapping[str, Integers] = field(default_factory=dict)  # (n,) each; negative: not told


class Algorithm(AlgoBase):  # type: ignore[misc]
    """A rating predictor with scikit-surprise's interface and vectorised prediction.

    Inner ids number users and items from 0; `UNKNOWN` stands for one that training did not see.
    """

    impossible_reason: ClassVar[str] = "User and/or item is unknown."
    ranks: ClassVar[bool] = False  # its scores only order items: it predicts no rating

    bu: Any  # biases of users and items, where the algorithm has them; None until they are computed
    bi: Any

    def fit(self, trainset: Trainset | RatingMatrix) -> Self:
        """Learn from a training set of Surprise's or from a `RatingMatrix`.

        Raises:
            DataError: there is no rating, or one that is NaN or infinite.
            ParameterError: a constructor argument has a value that cannot be used.
            DivergedError: learned parameters are not finite numbers.
        """
        self._learn(self._begin(trainset))
        return self

    def estimates(self, users: Integers, items: Integers) -> Estimates:
        """Estimated ratings of pairs of inner ids, unclipped, and where none is possible.

        There `default_prediction()` stands in, as in `predict`.
        """
        estimates = self._estimate_pairs(
            inner_ids(users, self.trainset.n_users), inner_ids(items, self.trainset.n_items)
        )
        return replace(estimates, values=self._with_defaults(estimates))

    def score(self, users: Integers, items: Integers) -> Floats:
        """Estimated ratings of pairs of inner ids, shape (n,), unclipped; see `estimates`."""
        return self.estimates(users, items).values

    def score_all(self, users: Integers) -> Floats:
        """Estimated ratings of every item for each of these users, shape (len(users), n_items), unclipped."""
        users, n_items = inner_ids(users, self.trainset.n_users), self.trainset.n_items
        known = users != UNKNOWN
        if known.all():
            return self._score_all(users)
        scores = np.empty((len(users), n_items))
        scores[known] = self._score_all(users[known])
        scores[~known] = self.score(np.full(n_items, UNKNOWN), np.arange(n_items))
        return scores

    def _score_all(self, users: Integers) -> Floats:
        """The same for known users."""
        n_items = self.trainset.n_items
        items = np.tile(np.arange(n_items, dtype=np.int32), len(users))
        return self.score(np.repeat(users, n_items), items).reshape(len(users), n_items)

    def test(self, testset: Testset, verbose: bool = False) -> list[Prediction]:
        """Predict every (raw user, raw item, true rating) of a test set, all at once."""
        own = type(self).estimate is not Algorithm.estimate or type(self).predict is not AlgoBase.predict
        testset = list(testset)  # Surprise takes any iterable
        if own or not testset:
            return list(super().test(testset, verbose=verbose))  # a subclass predicts in its own way
        raw_users, raw_items, actual = zip(*testset, strict=True)
        users = to_inner(raw_users, self.trainset._raw2inner_id_users)
        items = to_inner(raw_items, self.trainset._raw2inner_id_items)
        estimates = self.estimates(users, items)
        values = np.clip(estimates.values, *self.trainset.rating_scale).tolist()
        with _collector_paused():  # it would look hundreds of times through what is all still needed
            details = self._details(estimates, users, items)
            rows = zip(raw_users, raw_items, actual, values, details, strict=True)
            predictions = list(starmap(Prediction, rows))
        if verbose:
            print(*predictions, sep="\n")  # noqa: T201  what Surprise's `verbose` does
        return predictions

    def estimate(self, u: int | str, i: int | str) -> float | tuple[float, dict[str, Any]]:
        """Estimate one rating; Surprise passes a string for a user or item that is unknown.

        Raises:
            PredictionImpossible: there is nothing to base an estimate on.
        """
        users = inner_ids([UNKNOWN if isinstance(u, str) else u], self.trainset.n_users)
        items = inner_ids([UNKNOWN if isinstance(i, str) else i], self.trainset.n_items)
        estimates = self._estimate_pairs(users, items)
        if estimates.impossible is not None and estimates.impossible[0]:
            raise PredictionImpossible(self._reason(users[0], items[0]))
        told = {name: int(values[0]) for name, values in estimates.details.items() if values[0] >= 0}
        value = float(estimates.values[0])
        return (value, told) if told else value

    def compute_baselines(self) -> tuple[Floats, Floats]:
        """Biases of users and items by `bsl_options`, computed once a fit.

        Raises:
            ParameterError, DivergedError: see `biases`.
        """
        if self.bu is None:
            if getattr(self, "verbose", False):
                print(f"Estimating biases using {self.bsl_options.get('method', 'als')}...")  # noqa: T201
            self.bu, self.bi = biases(self.matrix, self.trainset.global_mean, self.bsl_options)
        return self.bu, self.bi

    @property
    def matrix(self) -> RatingMatrix:
        """The arrays of the training set."""
        return matrix_of(self.trainset)

    def _begin(self, data: Trainset | RatingMatrix) -> RatingMatrix:
        """Take a training set as `AlgoBase.fit` does, and give its arrays."""
        self._check_parameters()
        trainset = as_trainset(data)
        matrix = matrix_of(trainset)
        check_values(matrix.values)
        AlgoBase.fit(self, trainset)  # forgets what was learned: not before the new ratings are known to do
        return matrix

    def _check_parameters(self) -> None:
        """Refuse constructor arguments that cannot be used."""

    def _learn(self, matrix: RatingMatrix) -> None:
        """Compute the model's attributes."""
        raise NotImplementedError

    def _estimate_pairs(self, users: Integers, items: Integers) -> Estimates:
        """Estimate pairs of inner ids, `UNKNOWN` included."""
        raise NotImplementedError

    def _with_defaults(self, estimates: Estimates) -> Floats:
        if estimates.impossible is None:
            return estimates.values
        return np.where(estimates.impossible, self.default_prediction(), estimates.values)

    def _reason(self, user: int, item: int) -> str:  # noqa: ARG002  k-NN has two reasons
        return self.impossible_reason

    def _details(self, estimates: Estimates, users: Integers, items: Integers) -> list[dict[str, Any]]:
        """The details that Surprise gives with each prediction."""
        details: list[dict[str, Any]] = [{} for _ in range(len(users))]
        for name, values in estimates.details.items():
            for detail, value in zip(details, values.tolist(), strict=True):
                if value >= 0:
                    detail[name] = value
        for detail in details:  # last, as in `predict`: the order in which Surprise prints them
            detail["was_impossible"] = False
        if estimates.impossible is not None:
            for row in np.flatnonzero(estimates.impossible).tolist():
                details[row] = {"was_impossible": True, "reason": self._reason(users[row], items[row])}
        return details


@dataclass(frozen=True)
class Epoch:
    """What an algorithm says after an epoch."""

    number: int  # from 1
    train_rmse: float | None  # of the predictions made while learning, unclipped; None: not known


class EpochAlgorithm(Algorithm):
    """An algorithm that learns by epochs.

    `epochs` is `fit` with a look in after each: the model is ready to predict whenever it yields, and
    is then the one that `n_epochs` set to that number would have given.
    """

    n_epochs: int
    rates: ClassVar[
        tuple[str, ...]
    ] = ()  # attributes that decide the size of a step, to be named when it fails
    learned: ClassVar[tuple[str, ...]] = ()  # attributes that must stay finite numbers

    def epochs(self, trainset: Trainset | RatingMatrix) -> Iterator[Epoch]:
        """Learn, yielding after each of the `n_epochs` epochs; leave off to stop early.

        Raises:
            DataError, ParameterError, DivergedError: as `fit`.
        """
        yield from self._watched(self._begin(trainset))

    def _learn(self, matrix: RatingMatrix) -> None:
        for _ in self._watched(matrix):
            pass

    def _watched(self, matrix: RatingMatrix) -> Iterator[Epoch]:
        """The epochs of `_train`, refused when they diverge."""
        training = self._train(matrix)
        next(training)
        for number in range(1, self.n_epochs + 1):
            self._tell(number)
            squared_error = next(training)
            self._refuse_diverged(number, squared_error)
            yield Epoch(number, None if squared_error is None else sqrt(squared_error / len(matrix.values)))

    def _tell(self, epoch: int) -> None:
        """Say what Surprise's `verbose` says before an epoch, counted from 1."""
        if getattr(self, "verbose", False):
            print(f"Processing epoch {epoch - 1}")  # noqa: T201

    def _train(self, matrix: RatingMatrix) -> Iterator[float | None]:
        """Set the attributes to their initial values and yield; then yield after each epoch, for ever.

        What is yielded after an epoch is the sum of the squared errors met on the way, or None. The
        attributes are up to date at each yield.
        """
        raise NotImplementedError

    def _check_parameters(self) -> None:
        require_whole(self, "n_epochs")
        for name in self.rates:
            require_number(self, name)

    def _refuse_diverged(self, epoch: int, squared_error: float | None) -> None:
        learned = (getattr(self, name) for name in self.learned)
        if (squared_error is None or isfinite(squared_error)) and all(np.isfinite(a).all() for a in learned):
            return
        steps = ", ".join(f"{name}={getattr(self, name)}" for name in self.rates)
        raise DivergedError(
            f"{type(self).__name__} diverged in epoch {epoch} with {steps}: "
            "lower the learning rates or raise the regularisation"
        )


def as_numbers(ids: object) -> Integers:
    """Inner ids as the kernels take them."""
    return np.ascontiguousarray(ids, dtype=np.int32)


def inner_ids(ids: object, n: int) -> Integers:
    """Inner ids as the kernels take them: what is none of the n is `UNKNOWN`, for kernels check no bounds."""
    ids = np.asarray(ids)
    if ids.size and (ids.min() < 0 or ids.max() >= n):
        ids = np.where((ids >= 0) & (ids < n), ids, UNKNOWN)
    return as_numbers(ids)


def to_inner(raw_ids: Sequence[Any], numbers: Mapping[Any, int]) -> Integers:
    """Inner ids of raw ones, `UNKNOWN` where there is none."""
    return np.fromiter(map(numbers.get, raw_ids, repeat(UNKNOWN)), np.int32, len(raw_ids))


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Within this block no garbage is collected."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
