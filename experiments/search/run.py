"""The search: asks for trainings round by round, and gathers what its workers found."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import experiments
from experiments.config.offline import Search
from experiments.evaluation.cross_validation import FoldSource
from experiments.search.scheduler import Planner
from experiments.search.space import Axes, axes_of_all
from experiments.search.training_queue import MOST_DEATHS, Slot, Studies
from experiments.search.training_result import Outcome
from experiments.search.trials import Trial, cost_of
from experiments.search.worker import Assignment, is_gone
from experiments.search.worker_pool import crew
from experiments.source_code import import_closure, matching_files
from marquee.algorithms.registry import Parameters
from marquee.errors import MarqueeError
from marquee.files.digest import sha256_of

POLL = 0.05  # seconds between looks at the storage
ROOT = Path(str(experiments.__file__)).parents[1]
# Results depend on these packages and on all that they import. The algorithms are imported by computed names.
CODE = ("experiments/search", "marquee/algorithms")
LIBRARIES = ("numpy", "scipy", "numba", "scikit-surprise", "implicit", "optuna")

OnTraining = Callable[[list[Trial], int, int], None]  # its trials, trainings done, trainings known of


@dataclass(frozen=True)
class Asking:
    """What a search is: all that its results depend on."""

    search: Search
    source: FoldSource
    seed: int
    metric: str
    home: Path  # where the journal lies

    @property
    def key(self) -> str:
        """The same for the same search on the same data by the same code: what a search goes on by."""
        told = {
            "search": self.search.model_dump(
                include={"sampler", "n_trials", "pruner", "candidates", "order"}
            ),
            "seed": self.seed,
            "metric": self.metric,
            "folds": [self.source.n_folds, self.source.scale],
            "data": [sha256_of(path) for path in (self.source.train, self.source.order)],
            "code": _code_digest(),
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def assignment(self) -> Assignment:
        """What its workers are given."""
        key = self.key
        return Assignment(
            self.search, self.source, self.seed, self.metric, key, self.home / f"search-{key}.journal"
        )


def run_search(asking: Asking, on_training: OnTraining) -> list[Trial]:
    """Search, or go on where a search of the same key was left.

    A training that fails is kept with its reason; the others go on. A worker that dies is replaced, and what
    it had is asked again. The trials come in the order of params.yaml, whoever finished first. They are kept
    until `forget_search`.

    Raises:
        MarqueeError: every trial failed, or the storage cannot be reached or written.
    """
    axes = axes_of_all(asking.search)
    assignment = asking.assignment()
    studies = assignment.studies(axes, asking.seed, create=True)
    planner = Planner(asking.search, axes, asking.seed, asking.metric)
    watch = _Watch(asking.search.minutes)
    gathered = _Gathered(studies, axes, on_training, planner.n_known)
    settled: dict[Slot, Outcome] = {}  # by the rounds that are over, so that one that goes on asks the same
    studies.close(closed=False)
    with crew(assignment) as keep_up:
        gathered.look()
        while not watch.is_over and (asked := planner.round(settled)):
            known = studies.open_slots() | gathered.told.keys()
            for order, one in enumerate(asked, len(settled)):
                if one.slot not in known:
                    studies.ask(one.slot, order, one.training)
            waited = [one.slot for one in asked]
            while not (gathered.has(waited) or watch.is_over):
                gathered.deadly(studies.retire(is_gone))
                keep_up()
                time.sleep(POLL)
                gathered.look()
            settled |= {slot: gathered.told[slot] for slot in waited if slot in gathered.told}
        studies.close()
    gathered.look()  # at what workers were about to end
    trials = gathered.trials()
    _refuse_all_failed(trials)
    return trials


def forget_search(asking: Asking) -> None:
    """Clear away what a search goes on by. To be called when its trials are safe elsewhere."""
    assignment = asking.assignment()
    assignment.studies(axes_of_all(asking.search), asking.seed).forget()
    if asking.search.storage == "journal":
        assignment.journal.unlink()


class _Watch:
    """The minutes that a search may take."""

    def __init__(self, minutes: float | None) -> None:
        self._end = None if minutes is None else time.monotonic() + 60 * minutes

    @property
    def is_over(self) -> bool:
        return self._end is not None and time.monotonic() > self._end


class _Gathered:
    """What came of the trainings so far."""

    def __init__(
        self, studies: Studies, axes: dict[str, Axes], on_training: OnTraining, n_known: int
    ) -> None:
        self._studies, self._axes, self._on_training, self._n_known = studies, axes, on_training, n_known
        self.told: dict[Slot, Outcome] = {}

    def has(self, slots: Iterable[Slot]) -> bool:
        """Whether all of these have an outcome."""
        return all(slot in self.told for slot in slots)

    def look(self) -> None:
        """Read what is new."""
        for slot, outcome in sorted(self._studies.told(known=self.told).items()):
            self._take(slot, outcome)

    def deadly(self, trainings: list[tuple[Slot, Parameters]]) -> None:
        """Give up trainings that killed one worker after the other."""
        for slot, training in trainings:
            reason = f"its worker was killed {MOST_DEATHS} times, perhaps for want of memory"
            self._take(slot, Outcome.failed([training], reason))

    def _take(self, slot: Slot, outcome: Outcome) -> None:
        self.told[slot] = outcome
        self._on_training(_trials_of(slot, outcome, 0), len(self.told), self._n_known)

    def trials(self) -> list[Trial]:
        """All trials, numbered in the order of params.yaml."""
        place = {name: number for number, name in enumerate(self._axes)}
        trials: list[Trial] = []
        for slot in sorted(self.told, key=lambda slot: (place[slot[0]], slot[1])):
            trials += _trials_of(slot, self.told[slot], len(trials))
        return trials


def _trials_of(slot: Slot, outcome: Outcome, first: int) -> list[Trial]:
    """The points of a training as trials, numbered from there."""
    return [
        Trial(
            number,
            slot[0],
            point.parameters,
            point.folds,
            failure=point.failure,
            pruned=point.pruned,
            cost=cost_of(point.folds) if point.folds else None,
            curve=outcome.curve,
        )
        for number, point in enumerate(outcome.points, first)
    ]


def code_files(root: Path = ROOT) -> list[Path]:
    """Return the source files that the results of a search depend on, relative to the root.

    Raises:
        MarqueeError: a pattern of `CODE` matches no file.
    """
    return sorted(import_closure(root, matching_files(root, CODE)))


@cache
def _code_digest() -> str:
    """Digest of the code and the libraries that compute the results.

    Cached: the files on disk may change while the search runs, but the code that runs does not.
    """
    digest = hashlib.sha256()
    for path in code_files():
        digest.update(path.as_posix().encode() + (ROOT / path).read_bytes())
    for library in LIBRARIES:
        digest.update(f"{library} {version(library)}".encode())
    return digest.hexdigest()


def _refuse_all_failed(trials: list[Trial]) -> None:
    if not trials:
        raise MarqueeError("no training ended within search.minutes: give it more, and run it again")
    if all(trial.failure for trial in trials):
        first = trials[0]
        raise MarqueeError(
            f"all {len(trials)} trials failed; the first, {first.label}: {first.failure}; "
            f"see search.candidates in params.yaml"
        )
