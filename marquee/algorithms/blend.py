"""Blend of rankers: the weighted sum of their standardized scores."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from functools import partial
from math import inf
from typing import Any, Self

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
MEMBER_KEYS = {"algorithm", "parameters", "weight"}
DEFAULT_MEMBERS: tuple[Mapping[str, Any], ...] = (
    {"algorithm": "ease", "parameters": {"weighting": "binary"}, "weight": 1.0},
    {"algorithm": "ease", "parameters": {"weighting": "linear"}, "weight": 1.0},
)


class SharedMembers:
    """Fitted members that several blends share, and as many of their scores as fit in the memory.

    Args:
        max_bytes: memory for the scores.
    """

    def __init__(self, max_bytes: float) -> None:
        self._fitted: dict[str, Ranker | MarqueeError] = {}  # an error: why the member cannot be fitted
        self._scores: dict[tuple[str, bytes], Float64Array] = {}
        self._free_bytes = max_bytes
        self.fit_seconds: dict[str, float] = {}

    def fit(self, key: str, member: Ranker, matrix: InteractionMatrix) -> Ranker:
        """Return the fitted member of this key; `member` is fitted if there is none yet.

        Raises:
            MarqueeError: the member cannot be fitted; it is not tried again.
        """
        if key not in self._fitted:
            start = time.perf_counter()
            try:
                self._fitted[key] = member.fit(matrix)
            except MarqueeError as error:
                self._fitted[key] = error
            self.fit_seconds[key] = time.perf_counter() - start
        fitted = self._fitted[key]
        if isinstance(fitted, MarqueeError):
            raise fitted
        return fitted

    def score(self, key: str, users: Int32Array) -> Float64Array:
        """Return the scores of all items by the member of this key."""
        block = key, users.tobytes()
        if (known := self._scores.get(block)) is not None:
            return known
        member = self._fitted[key]
        assert isinstance(member, Ranker), "a blend is scored only if all of its members are fitted"
        scores = member.score_all_items(users)
        if scores.nbytes <= self._free_bytes:
            self._free_bytes -= scores.nbytes
            self._scores[block] = scores
        return scores


class Blend(Ranker):
    r"""Ranks items by the weighted sum of the standardized scores of several rankers, its members.

    .. math:: s_{ui} = \sum_m w_m \frac{s^m_{ui} - a^m_u}{d^m_u}

    where :math:`a^m_u` and :math:`d^m_u` are mean and standard deviation of the scores that member m gives to
    all items for user u. Standardization makes scores of different scales comparable, and gives every user
    the same influence of each member. Montague and Aslam (2001), Relevance Score Normalization for
    Metasearch (zero mean, unit variance).

    The search chooses members and weights on the validation parts (`experiments.search.blend_members`).

    Args:
        members: a mapping for each member, with `algorithm` (a ranker that scores histories), its
            `parameters` and its `weight`, above 0. Weighting and thresholds are parameters of the members.
        random_state: seed, from which each member gets its own; None: NumPy's global generator.

    Attributes:
        fitted_members: the fitted members.
    """

    uses_histories = True
    shared: SharedMembers | None = None  # fitted members of several blends that are trained together

    def __init__(
        self, members: Sequence[Mapping[str, Any]] = DEFAULT_MEMBERS, random_state: RandomState = None
    ) -> None:
        super().__init__()
        self.members, self.random_state = members, random_state
        self.fitted_members: list[Ranker] = []

    @property
    def member_keys(self) -> list[str]:
        """Text that identifies each member apart from its weight, as in `SharedMembers`."""
        return [_member_key(member) for member in self.members]

    def create_members(self) -> None:
        """Set `fitted_members` to unfitted algorithms, for fitting them or restoring their state."""
        self.fitted_members = [self._create_member(number) for number in range(len(self.members))]

    def score_all_items(self, users: npt.ArrayLike) -> Float64Array:
        """Return the weighted sums of standardized scores for each of these users, (len(users), n_items)."""
        known = mark_unknown_ids(users, self.trainset.n_users)
        return self._combine(
            (self._score_member(number, known) for number in range(len(self.members))), len(known)
        )

    def build_stored_scorer(self, noise: float | None) -> BlendedScorers | None:
        """Return the stored scorers of all members; None if a member has none. See the base class."""
        stored = [member.build_stored_scorer(noise) for member in self.fitted_members]
        scorers = [scorer for scorer in stored if scorer is not None]
        weights = [float(member["weight"]) for member in self.members]
        return BlendedScorers(tuple(scorers), tuple(weights)) if len(scorers) == len(stored) else None

    def build_served_copy(self) -> Self | None:
        """Return a blend of what is stored of the members; None: everything is. See the base class."""
        copies = [member.build_served_copy() for member in self.fitted_members]
        if all(member is None for member in copies):
            return None
        served = copy(self)
        served.shared = None
        pairs = zip(copies, self.fitted_members, strict=True)
        served.fitted_members = [member if stored is None else stored for stored, member in pairs]
        return served

    def _build_history_scorer(self) -> Callable[[SparseRows], Float64Array]:
        scorers = [member.build_history_scorer() for member in self.fitted_members]

        def score(histories: SparseRows) -> Float64Array:
            arrays = histories.indptr, histories.indices, histories.values
            return self._combine((scorer(*arrays) for scorer in scorers), len(histories.counts))

        return score

    def _combine(self, scores_of_members: Iterator[Float64Array], n_users: int) -> Float64Array:
        total = np.zeros((n_users, self.trainset.n_items))
        for member, scores in zip(self.members, scores_of_members, strict=True):
            add = partial(add_standardized_rows, np.ascontiguousarray(scores), float(member["weight"]), total)
            run_blocks(add, n_users, USERS_PER_BLOCK)
        return total

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if not self.members:
            raise ParameterError("members of a blend must not be empty")
        for number, member in enumerate(self.members):
            _check_member(member)
            self._create_member(number)._check_parameters()

    def _fit(self, matrix: InteractionMatrix) -> None:
        self.create_members()
        for number, member in enumerate(self.members):
            try:
                self.fitted_members[number] = self._fit_member(number, matrix)
            except MarqueeError as error:
                title = find_algorithm(member["algorithm"]).title
                raise type(error)(f"member {number + 1} of the blend, {title}: {error}") from error

    def _fit_member(self, number: int, matrix: InteractionMatrix) -> Ranker:
        if self.shared is not None:
            return self.shared.fit(_member_key(self.members[number]), self.fitted_members[number], matrix)
        return self.fitted_members[number].fit(matrix)

    def _score_member(self, number: int, users: Int32Array) -> Float64Array:
        if self.shared is not None:
            return self.shared.score(_member_key(self.members[number]), users)
        return self.fitted_members[number].score_all_items(users)

    def _create_member(self, number: int) -> Ranker:
        """Create an unfitted member, with a seed that depends on the member and not on the others."""
        member, state = self.members[number], self.random_state
        root = state if isinstance(state, int | np.integer) else get_rng(state).randint(2**31)
        seed = seed_for(int(root), "member", _member_key(member))
        algorithm = find_algorithm(member["algorithm"]).create(member.get("parameters", {}), seed)
        assert isinstance(algorithm, Ranker), "_check_member rejects others"
        return algorithm


def _member_key(member: Mapping[str, Any]) -> str:
    """Return a text that identifies a member apart from its weight."""
    return json.dumps([member["algorithm"], dict(member.get("parameters", {}))], sort_keys=True)


def _check_member(member: object) -> None:
    """Check the description of a member.

    Raises:
        ParameterError: a key or the weight is invalid, or the algorithm ranks no histories.
        ConfigError: the algorithm is unknown.
    """
    if not isinstance(member, Mapping) or not {"algorithm", "weight"} <= member.keys() <= MEMBER_KEYS:
        raise ParameterError(
            f"a member of a blend must have algorithm, parameters and weight (got {member!r})"
        )
    if not isinstance(member.get("parameters", {}), Mapping):
        raise ParameterError(
            f"parameters of a member of a blend must be a mapping (got {member['parameters']!r})"
        )
    if not (is_number(member["weight"]) and 0 < member["weight"] < inf):
        raise ParameterError(f"weight of a member of a blend must be above 0 (got {member['weight']!r})")
    entry = find_algorithm(member["algorithm"])
    algorithm_class = entry.algorithm_class
    if not (algorithm_class.is_ranker and algorithm_class.uses_histories) or algorithm_class is Blend:
        raise ParameterError(
            f"a member of a blend must rank items by histories, which {entry.title} does not"
        )
