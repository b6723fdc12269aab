"""Search specification: every input that the results of a search depend on, and the search key."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import experiments
from experiments.config.offline import SearchParams
from experiments.evaluation.cross_validation import FoldSource
from experiments.import_closure import import_closure, matching_files
from experiments.search.training_queue import TrainingQueue
from experiments.search.training_space import CandidateSpace
from marquee.files.digest import sha256_of

ROOT = Path(str(experiments.__file__)).parents[1]
# Results depend on this code and on what it imports. The algorithms are listed because `import_closure`
# cannot find modules that are imported by a computed name.
CODE_PATTERNS = ("experiments/search", "marquee/algorithms")
LIBRARIES = ("numpy", "scipy", "numba", "scikit-surprise", "implicit", "optuna")
KEY_LENGTH = 16
KEY_PARAMS = {"sampler", "n_trials", "pruner", "candidates", "order"}  # the others do not change the results


@dataclass(frozen=True)
class WorkerAssignment:
    """Picklable description of a search, which tells a worker what to do."""

    search: SearchParams
    source: FoldSource
    seed: int
    metric: str
    key: str
    journal: Path

    def open_queue(
        self, spaces: Mapping[str, CandidateSpace], seed: int, *, create: bool = False
    ) -> TrainingQueue:
        """Open the training queue of the search; `seed` is that of the sampler."""
        return TrainingQueue(
            self.search.storage, self.journal, self.key, spaces,
            sampler=self.search.sampler, pruner=self.search.pruner, seed=seed, create=create,
        )  # fmt: skip


@dataclass(frozen=True)
class SearchSpec:
    """Search specification: parameters, data, seed and metric of a search.

    Attributes:
        search: the `search` block of params.yaml.
        source: ratings and folds.
        seed: root seed of the samplers and the trainings.
        metric: error that trials are compared by, `rmse` or `mae`.
        folder: folder of the journal.
    """

    search: SearchParams
    source: FoldSource
    seed: int
    metric: str
    folder: Path

    def compute_key(self) -> str:
        """Return the search key: digest of parameters, data, folds, seed, metric and code.

        An interrupted search resumes under its key. The data files are read.
        """
        inputs = {
            "search": self.search.model_dump(include=KEY_PARAMS),
            "seed": self.seed,
            "metric": self.metric,
            "folds": [self.source.n_folds, self.source.scale],
            "data": [sha256_of(path) for path in (self.source.train, self.source.order)],
            "code": _code_digest(),
        }
        text = json.dumps(inputs, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]

    def create_worker_assignment(self) -> WorkerAssignment:
        """Describe the search for its workers. The data files are read to compute the search key."""
        key = self.compute_key()
        journal = self.folder / f"search-{key}.journal"
        return WorkerAssignment(self.search, self.source, self.seed, self.metric, key, journal)


def source_files(root: Path = ROOT) -> list[Path]:
    """Return the source files that the results of a search depend on, relative to the root.

    Raises:
        MarqueeError: a pattern of `CODE_PATTERNS` matches no file.
    """
    return sorted(import_closure(root, matching_files(root, CODE_PATTERNS)))


@cache
def _code_digest() -> str:
    """Return the digest of the code and library versions that compute the results.

    It is cached because the files may change while a search runs, but the code in memory does not.
    """
    digest = hashlib.sha256()
    for path in source_files():
        digest.update(path.as_posix().encode() + (ROOT / path).read_bytes())
    for library in LIBRARIES:
        digest.update(f"{library} {version(library)}".encode())
    return digest.hexdigest()
