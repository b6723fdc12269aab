"""The points of a candidate's space: what a training is given, and what it then answers for at once.

space of params.yaml ── axes_of ──► trained axes   a choice of each is one training
                                    swept points   all of them are answered by each training
"""

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.config.offline import Choice, Range, Search, Space
from marquee.algorithms.base import EpochAlgorithm
from marquee.algorithms.registry import Parameters, candidate
from marquee.algorithms.shared_training import swept
from marquee.errors import ConfigError
from marquee.seeds import seed_for

LADDER = 8  # values of a range that is swept
COMPLETE = ("grid", "defaults")  # samplers whose points are all known beforehand


@dataclass(frozen=True)
class Axes:
    """The space of one candidate."""

    order: tuple[str, ...]  # of the parameters, as in params.yaml
    trained: Space
    swept: tuple[Parameters, ...]  # what each training answers for; one empty point where nothing is swept
    n_epochs: int = 0  # of each training; 0: it does not train by epochs

    @property
    def is_finite(self) -> bool:
        """Whether all trained axes are lists."""
        return not any(isinstance(values, Range) for values in self.trained.values())

    def trainings(self) -> list[Parameters]:
        """Every choice of the trained axes, which are lists."""
        lists = {key: values for key, values in self.trained.items() if isinstance(values, list)}
        return [dict(zip(lists, point, strict=True)) for point in itertools.product(*lists.values())]

    def points(self, training: Parameters) -> tuple[Parameters, ...]:
        """The points that a training answers for, each with its parameters in the file's order."""
        return tuple(_ordered({**training, **point}, self.order) for point in self.swept)


def axes_of(name: str, space: Space) -> Axes:
    """Split a space by what one training answers for.

    A swept range becomes a ladder of at most `LADDER` values, both ends among them.
    """
    free = [key for key in space if key in swept(candidate(name))]
    ladders = [_ladder(space[key]) for key in free]
    points = tuple(dict(zip(free, values, strict=True)) for values in itertools.product(*ladders))
    trained = {key: values for key, values in space.items() if key not in free}
    return Axes(tuple(space), trained, points, _longest(name, points))


def _longest(name: str, points: Sequence[Parameters]) -> int:
    """Epochs of a training: the most that its points ask for, or the candidate's default."""
    if not issubclass(candidate(name).factory, EpochAlgorithm):
        return 0
    default = int(candidate(name).make({}, 0).n_epochs)
    return max((int(point.get("n_epochs", default)) for point in points), default=default)


def axes_of_all(search: Search) -> dict[str, Axes]:
    """The axes of every candidate.

    Raises:
        ConfigError: the catalogue has no such candidate or parameter, or RMSE cannot judge it.
    """
    check_candidates(search)
    empty: Space = {}
    return {
        name: axes_of(name, empty if search.sampler == "defaults" else space)
        for name, space in search.candidates.items()
    }


def check_candidates(search: Search) -> None:
    """Refuse what the catalogue does not have, and what RMSE cannot judge, before any work is done.

    Raises:
        ConfigError: names the candidate or the parameter.
    """
    for name, space in search.candidates.items():
        candidate(name).check(space)
        if candidate(name).factory.ranks:
            raise ConfigError(
                f"search.candidates.{name}: {candidate(name).title} ranks items and predicts no rating, so "
                "that no RMSE could judge it: remove it"
            )


def shuffled_trainings(axes: Axes, seed: int, name: str) -> list[Parameters]:
    """Every training of a finite space in random order: drawn so, no point is tried twice."""
    trainings = axes.trainings()
    random.Random(seed_for(seed, "sampler", name)).shuffle(trainings)
    return trainings


def drawn_training(axes: Axes, seed: int, name: str, slot: int) -> Parameters:
    """The training of one slot of a random search, which depends on nothing but its number."""
    noise = np.random.default_rng(seed_for(seed, "sampler", name, slot))
    return {key: _drawn(values, noise) for key, values in axes.trained.items()}


def _drawn(values: Sequence[Choice] | Range, noise: np.random.Generator) -> Choice:
    if not isinstance(values, Range):
        return values[int(noise.integers(len(values)))]
    low, high = values.low, values.high
    if isinstance(low, int) and isinstance(high, int):
        if not values.log:
            return int(noise.integers(low, high + 1))
        return min(int(np.exp(noise.uniform(np.log(low), np.log(high + 1)))), high)
    if values.log:
        return float(np.exp(noise.uniform(np.log(low), np.log(high))))
    return float(noise.uniform(low, high))


def _ladder(values: Sequence[Choice] | Range) -> list[Choice]:
    if not isinstance(values, Range):
        return list(values)
    spaced = np.geomspace if values.log else np.linspace
    rungs = spaced(values.low, values.high, LADDER)
    if isinstance(values.low, int) and isinstance(values.high, int):
        return [int(rung) for rung in np.unique(np.rint(rungs).astype(np.int64))]
    return [float(rung) for rung in rungs]


def _ordered(point: Mapping[str, Choice], order: Sequence[str]) -> Parameters:
    return {key: point[key] for key in order}
