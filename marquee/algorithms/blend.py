"""Blend of rankers: the weighted sum of their standardized scores."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt
from surprise.utils import get_rng

from marquee.algorithms.base import mark_unknown_ids
from marquee.algorithms.kernels.blend import add_standardized_rows
from marquee.algorithms.parameter_checks import RandomState
from marquee.algorithms.ranking_base import Ranker
from marquee.algorithms.registry import find_algorithm
from marquee.algorithms.threads import run_blocks
from marquee.array_types import Float64Array, Int32Array
from marquee.errors import MarqueeError, ParameterError
from marquee.interactions.matrix import InteractionMatrix, SparseRows
from marquee.model.json_checks import is_number
from marquee.model.scorers.blend import BlendedScorers
from marquee.seeds import seed_for

USERS_PER_BLOCK = 16  # users whose scores a thread standardizes at a time
PART_KEYS = {"algorithm", "parameters", "weight"}
DEFAULT_PARTS: tuple[Mapping[str, Any], ...] = (
    {"algorithm": "ease", "parameters": {"weighting": "binary"}, "weight": 1.0},
    {"algorithm": "ease", "parameters": {"weighting": "linear"}, "weight": 1.0},
)


class SharedParts:
    """Fitted parts that several blends share, and as many of their scores as fit in the memory.

    Args:
        max_bytes: memory for the scores.
    """

    def __init__(self, max_bytes: float) -> None:
        self._fitted: dict[str, Ranker] = {}
        self._scores: dict[tuple[str, bytes], Float64Array] = {}
        self._free_bytes = max_bytes
        self.fit_seconds: dict[str, float] = {}

    def fit(self, key: str, part: Ranker, matrix: InteractionMatrix) -> Ranker:
        """Return the fitted part of this key; `part` is fitted if there is none yet."""
        if key not in self._fitted:
            start = time.perf_counter()
            self._fitted[key] = part.fit(matrix)
            self.fit_seconds[key] = time.perf_counter() - start
        return self._fitted[key]

    def score(self, key: str, users: Int32Array) -> Float64Array:
        """Return the scores of all items by the part of this key."""
        block = key, users.tobytes()
        if (known := self._scores.get(block)) is not None:
            return known
        scores = self._fitted[key].score_all_items(users)
        if scores.nbytes <= self._free_bytes:
            self._free_bytes -= scores.nbytes
            self._scores[block] = scores
        return scores


class Blend(Ranker):
    r"""Ranks items by the weighted sum of the standardized scores of several rankers, its parts.

    .. math:: s_{ui} = \sum_p w_p \frac{s^p_{ui} - m^p_u}{d^p_u}

    where :math:`m^p_u` and :math:`d^p_u` are mean and standard deviation of the scores that part p gives to
    all items for user u. Standardization makes scores of different scales comparable, and gives every user
    the same influence of each part. Linear combination of standardized scores: Lee (1997), Analyses of
    Multiple Evidence Combination, on why it improves retrieval; Jahrer, Töscher and Legenstein (2010),
    Combining Predictions for Accurate Recommender Systems, for recommenders.

    The search chooses parts and weights on the validation parts (`experiments.search.blend_parts`).

    Args:
        parts: for each part, a mapping with `algorithm` (a ranker that scores histories), its `parameters`
            and its `weight`, above 0. Weighting, threshold and neutral are parameters of the parts.
        random_state: seed, from which each part gets its own; None: NumPy's global generator.

    Attributes:
        components: the fitted parts.
    """

    uses_histories = True
    shared: SharedParts | None = None  # fitted parts of several blends that are trained together

    def __init__(
        self, parts: Sequence[Mapping[str, Any]] = DEFAULT_PARTS, random_state: RandomState = None
    ) -> None:
        super().__init__()
        self.parts, self.random_state = parts, random_state
        self.components: list[Ranker] = []

    @property
    def part_keys(self) -> list[str]:
        """Text that identifies each part apart from its weight, as in `SharedParts`."""
        return [_part_key(part) for part in self.parts]

    def create_components(self) -> None:
        """Set `components` to unfitted algorithms, for fitting them or restoring their state."""
        self.components = [self._create_part(number) for number in range(len(self.parts))]

    def score_all_items(self, users: npt.ArrayLike) -> Float64Array:
        """Return the weighted sums of standardized scores for each of these users, (len(users), n_items)."""
        known = mark_unknown_ids(users, self.trainset.n_users)
        return self._combine(
            (self._score_part(number, known) for number in range(len(self.parts))), len(known)
        )

    def build_stored_scorer(self, noise: float | None) -> BlendedScorers | None:
        """Return the stored scorers of all parts; None if a part has none. See the base class."""
        stored = [part.build_stored_scorer(noise) for part in self.components]
        scorers = [scorer for scorer in stored if scorer is not None]
        weights = [float(part["weight"]) for part in self.parts]
        return BlendedScorers(tuple(scorers), tuple(weights)) if len(scorers) == len(stored) else None

    def _build_history_scorer(self) -> Callable[[SparseRows], Float64Array]:
        scorers = [part.build_history_scorer() for part in self.components]

        def score(histories: SparseRows) -> Float64Array:
            arrays = histories.indptr, histories.indices, histories.values
            return self._combine((scorer(*arrays) for scorer in scorers), len(histories.counts))

        return score

    def _combine(self, scores_of_parts: Iterator[Float64Array], n_users: int) -> Float64Array:
        total = np.zeros((n_users, self.trainset.n_items))
        for part, scores in zip(self.parts, scores_of_parts, strict=True):
            add = partial(add_standardized_rows, np.ascontiguousarray(scores), float(part["weight"]), total)
            run_blocks(add, n_users, USERS_PER_BLOCK)
        return total

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if not self.parts:
            raise ParameterError("parts of a blend must not be empty")
        for number, part in enumerate(self.parts):
            _check_part(part)
            self._create_part(number)._check_parameters()

    def _fit(self, matrix: InteractionMatrix) -> None:
        self.create_components()
        for number, part in enumerate(self.parts):
            try:
                self.components[number] = self._fit_part(number, matrix)
            except MarqueeError as error:
                title = find_algorithm(part["algorithm"]).title
                raise type(error)(f"part {number + 1} of the blend, {title}: {error}") from error

    def _fit_part(self, number: int, matrix: InteractionMatrix) -> Ranker:
        if self.shared is not None:
            return self.shared.fit(_part_key(self.parts[number]), self.components[number], matrix)
        return self.components[number].fit(matrix)

    def _score_part(self, number: int, users: Int32Array) -> Float64Array:
        if self.shared is not None:
            return self.shared.score(_part_key(self.parts[number]), users)
        return self.components[number].score_all_items(users)

    def _create_part(self, number: int) -> Ranker:
        """Create an unfitted part, with a seed that depends on the part and not on the others."""
        part, state = self.parts[number], self.random_state
        root = state if isinstance(state, int | np.integer) else get_rng(state).randint(2**31)
        seed = seed_for(int(root), "part", _part_key(part))
        algorithm = find_algorithm(part["algorithm"]).create(part.get("parameters", {}), seed)
        assert isinstance(algorithm, Ranker), "_check_part rejects others"
        return algorithm


def _part_key(part: Mapping[str, Any]) -> str:
    """Return a text that identifies a part apart from its weight."""
    return json.dumps([part["algorithm"], dict(part.get("parameters", {}))], sort_keys=True)


def _check_part(part: object) -> None:
    """Check the description of a part.

    Raises:
        ParameterError: a key or the weight is invalid, or the algorithm ranks no histories.
        ConfigError: the algorithm is unknown.
    """
    if not isinstance(part, Mapping) or not {"algorithm", "weight"} <= part.keys() <= PART_KEYS:
        raise ParameterError(f"a part of a blend must have algorithm, parameters and weight (got {part!r})")
    if not (is_number(part["weight"]) and 0 < part["weight"] < inf):
        raise ParameterError(f"weight of a part of a blend must be above 0 (got {part['weight']!r})")
    entry = find_algorithm(part["algorithm"])
    algorithm_class = entry.algorithm_class
    if not (algorithm_class.is_ranker and algorithm_class.uses_histories) or algorithm_class is Blend:
        raise ParameterError(f"a part of a blend must rank items by histories, which {entry.title} does not")
