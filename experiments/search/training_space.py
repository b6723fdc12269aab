"""Search spaces: the trainings of each candidate, and the points that each training scores.

Some parameter values need no training of their own: a training for 60 epochs also gives the models of 20 and
40 epochs, and one similarity matrix serves every k. A candidate's search space is split accordingly:

search space of params.yaml ─┬─► trained parameters   one training for each combination
                             └─► shared parameters    every training scores all of their combinations

The blend has no search space in params.yaml: its members are the best trials of others (`blend_members`).
"""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.config.offline import ParameterRange, ParameterValue, SearchParams, SearchSpace
from experiments.search.blend_members import weigh_members
from experiments.search.metric import SearchMetric
from experiments.search.trials import MEMBERS
from marquee.algorithms.base import EpochAlgorithm
from marquee.algorithms.registry import BLEND, Parameters, find_algorithm
from marquee.algorithms.shared_training import list_varying_parameters
from marquee.errors import ConfigError
from marquee.seeds import seed_for

MAX_SHARED_RANGE_VALUES = 8
ENUMERATING_SAMPLERS = ("grid", "defaults")  # all their trainings are known in advance


@dataclass(frozen=True)
class CandidateSpace:
    """Search space of one candidate, split into trained and shared parameters."""

    parameter_order: tuple[str, ...]  # as in params.yaml
    trained: SearchSpace
    shared_points: tuple[Parameters, ...]  # a single empty point if there are no shared parameters
    n_epochs: int = 0  # of each training; 0 if the algorithm does not train by epochs

    @property
    def is_finite(self) -> bool:
        """True if the trained parameters are all lists, not ranges."""
        return not any(isinstance(values, ParameterRange) for values in self.trained.values())

    def enumerate_trainings(self) -> list[Parameters]:
        """Return every combination of the trained parameters, which must be lists."""
        lists = {name: values for name, values in self.trained.items() if isinstance(values, list)}
        return [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]

    def points_of_training(self, training: Parameters) -> tuple[Parameters, ...]:
        """Return the points that a training scores, with parameters in the order of params.yaml."""
        points = ({**training, **shared} for shared in self.shared_points)
        return tuple({name: point[name] for name in self.parameter_order} for point in points)


class BlendSpace(CandidateSpace):
    """Search space of the blend: its trainings are chosen by `choose_members`, not enumerated."""

    @classmethod
    def create(cls) -> "BlendSpace":
        """Create the space."""
        return cls((MEMBERS,), {}, ({},))

    def enumerate_trainings(self) -> list[Parameters]:
        """Return an empty list: the members are known only after all other trainings."""
        return []

    def points_of_training(self, training: Parameters) -> tuple[Parameters, ...]:
        """Return all blends of the members of a training."""
        return tuple({MEMBERS: members} for members in weigh_members(training[MEMBERS]))


def candidate_spaces(search: SearchParams) -> dict[str, CandidateSpace]:
    """Return the search space of every candidate, split; all are empty for the sampler `defaults`.

    Raises:
        ConfigError: see `check_candidates`.
    """
    check_candidates(search)
    empty: SearchSpace = {}
    spaces = {
        name: split_space(name, empty if search.sampler == "defaults" else space)
        for name, space in search.spaces.items()
    }
    return spaces | {BLEND: BlendSpace.create()} if plans_blends(search) else spaces


def plans_blends(search: SearchParams) -> bool:
    """Return True if the best rankers of the search will be blended."""
    return search.blend is not None and SearchMetric.parse(search.metric_weights).uses_lists


def check_candidates(search: SearchParams) -> None:
    """Check candidates and parameter names before any work starts.

    Raises:
        ConfigError: a candidate or parameter does not exist, or the search metric is an error of predicted
            ratings and the candidate does not predict ratings.
    """
    metric = SearchMetric.parse(search.metric_weights)
    for name, space in search.spaces.items():
        algorithm = find_algorithm(name)
        algorithm.check_parameter_names(space)
        if algorithm.algorithm_class.is_ranker and metric.uses_errors:
            raise ConfigError(
                f"search.candidates.{name}: {algorithm.title} ranks items and predicts no ratings, so it has "
                "no RMSE or MAE; remove it, or set search.metric to a metric of lists, such as ndcg"
            )


def select_rankers(search: SearchParams) -> SearchParams:
    """Return the parameters of a search without the candidates that need ratings, for implicit feedback.

    Raises:
        ConfigError: no candidate is left, or the search metric is an error of predicted ratings.
    """
    if SearchMetric.parse(search.metric_weights).uses_errors:
        raise ConfigError(
            "search.metric must be a metric of lists, such as ndcg, because there are no ratings to predict"
        )
    rankers = {
        name: space
        for name, space in search.candidates.items()
        if find_algorithm(name).algorithm_class.is_ranker
    }
    if not rankers:
        raise ConfigError(
            "search.candidates must contain an algorithm that ranks items, such as popularity, ease or "
            f"implicit_als, because there are no ratings to predict (got {', '.join(search.candidates)})"
        )
    return search.model_copy(update={"candidates": rankers})


def require_predictor(search: SearchParams) -> SearchParams:
    """Return the parameters of a search if one of its candidates predicts ratings, for explicit feedback.

    Raises:
        ConfigError: all candidates only rank items.
    """
    if all(find_algorithm(name).algorithm_class.is_ranker for name in search.candidates):
        raise ConfigError(
            "search.candidates must contain an algorithm that predicts ratings, such as svd "
            f"(got {', '.join(search.candidates)}); "
            "to train without ratings, set interactions.feedback to implicit"
        )
    return search


def split_space(name: str, space: SearchSpace) -> CandidateSpace:
    """Split the search space of a candidate into trained and shared parameters.

    A shared range is replaced with at most `MAX_SHARED_RANGE_VALUES` values, including both bounds.
    """
    shareable = list_varying_parameters(find_algorithm(name))
    shared = {key: _shared_values(values) for key, values in space.items() if key in shareable}
    trained = {key: values for key, values in space.items() if key not in shared}
    points = tuple(dict(zip(shared, values, strict=True)) for values in itertools.product(*shared.values()))
    return CandidateSpace(tuple(space), trained, points, _training_epochs(name, points))


def shuffle_trainings(space: CandidateSpace, seed: int, name: str) -> list[Parameters]:
    """Return every training of a finite space in random order: random sampling without replacement."""
    trainings = space.enumerate_trainings()
    random.Random(seed_for(seed, "sampler", name)).shuffle(trainings)
    return trainings


def draw_random_training(space: CandidateSpace, seed: int, name: str, number: int) -> Parameters:
    """Draw a training of a random search; the result depends only on seed, candidate name and number."""
    rng = np.random.default_rng(seed_for(seed, "sampler", name, number))
    return {key: _draw_value(values, rng) for key, values in space.trained.items()}


def _draw_value(
    values: Sequence[ParameterValue] | ParameterRange, rng: np.random.Generator
) -> ParameterValue:
    if not isinstance(values, ParameterRange):
        return values[int(rng.integers(len(values)))]
    low, high = values.low, values.high
    if isinstance(low, int) and isinstance(high, int):
        if not values.log:
            return int(rng.integers(low, high + 1))
        return min(int(np.exp(rng.uniform(np.log(low), np.log(high + 1)))), high)
    if values.log:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return float(rng.uniform(low, high))


def _shared_values(values: Sequence[ParameterValue] | ParameterRange) -> list[ParameterValue]:
    if not isinstance(values, ParameterRange):
        return list(values)
    spacing = np.geomspace if values.log else np.linspace
    grid = spacing(values.low, values.high, MAX_SHARED_RANGE_VALUES)
    if isinstance(values.low, int) and isinstance(values.high, int):
        return [int(value) for value in np.unique(np.rint(grid).astype(np.int64))]
    return [float(value) for value in grid]


def _training_epochs(name: str, points: Sequence[Parameters]) -> int:
    """Return the number of epochs of each training: the most that any of its points needs."""
    if not issubclass(find_algorithm(name).algorithm_class, EpochAlgorithm):
        return 0
    default = int(find_algorithm(name).create({}, 0).n_epochs)
    return max((int(point.get("n_epochs", default)) for point in points), default=default)
