"""Search specification: every input that the results of a search depend on, and the search key."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import experiments
from experiments.config.offline import SearchParams
from experiments.evaluation.cross_validation import FoldSource
from experiments.evaluation.list_evaluation import COSTLY_METRICS, ListEvaluator, find_evaluated_users
from experiments.evaluation.parts import Part, PartSource
from experiments.evaluation.protocol import EvaluationProtocol
from experiments.import_closure import import_closure, matching_files
from experiments.search.metric import SearchMetric
from experiments.search.task_queue import TaskQueue
from experiments.search.training_space import CandidateSpace
from experiments.search.user_scores import UserColumns
from marquee.files.digest import sha256_of

ROOT = Path(str(experiments.__file__)).parents[1]
# Results depend on this code and on what it imports. The algorithms are listed because `import_closure`
# cannot find modules that are imported by a computed name.
CODE_PATTERNS = ("experiments/search", "marquee/algorithms")
LIBRARIES = ("numpy", "scipy", "numba", "scikit-surprise", "implicit", "optuna")
KEY_LENGTH = 16
KEY_PARAMS = {  # the others do not change the results
    "sampler", "n_trials", "pruner", "candidates", "order", "metric", "racing", "max_users",
    "blend",
}  # fmt: skip


@dataclass(frozen=True)
class SearchSpec:
    """Search specification: parameters, data and seed of a search.

    Attributes:
        search: the `search` block of params.yaml.
        folds: ratings and folds; None if no candidate predicts ratings.
        parts: validation parts; None if `search.metric` uses errors only.
        protocol: length of the evaluated lists, and which held-out items are relevant.
        seed: root seed of the samplers and the trainings.
        folder: folder of the journal.
    """

    search: SearchParams
    folds: FoldSource | None
    parts: PartSource | None
    protocol: EvaluationProtocol
    seed: int
    folder: Path

    @property
    def metric(self) -> SearchMetric:
        """Metric of the search."""
        return SearchMetric.parse(self.search.metric_weights)

    def compute_key(self) -> str:
        """Return the search key: digest of parameters, data, folds, parts, seed and code.

        An interrupted search resumes under its key. The data files are read.
        """
        folds, parts = self.folds, self.parts
        files = [folds.train, folds.order] if folds else []
        files += [parts.rows, parts.split] if parts else []
        inputs = {
            "search": self.search.model_dump(include=KEY_PARAMS),
            "seed": self.seed,
            "folds": [folds.n_folds, folds.scale] if folds else None,
            "parts": [parts.repeats, parts.scale, asdict(self.protocol)] if parts else None,
            "data": [sha256_of(path) for path in files],
            "code": _code_digest(),
        }
        text = json.dumps(inputs, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]

    def create_evaluator(self, part: Part) -> ListEvaluator:
        """Return the evaluator of lists on a validation part.

        Raises:
            DataError: no user has a relevant held-out item.
        """
        costly_metrics = set(self.metric.names) & set(COSTLY_METRICS)
        return ListEvaluator(part, self.protocol, self.search.max_users, costly_metrics)

    def find_evaluated_users(self) -> UserColumns:
        """Return the evaluated users of every validation part; none if the metric uses errors only.

        Raises:
            DataError: a part has none.
        """
        if self.parts is None:
            return UserColumns(())
        parts = self.parts.load()
        return UserColumns(
            tuple(
                find_evaluated_users(parts, part, self.protocol, self.search.max_users)
                for part in range(len(parts))
            )
        )

    def create_worker_assignment(self) -> "WorkerAssignment":
        """Describe the search for its workers. The data files are read to compute the search key."""
        key = self.compute_key()
        return WorkerAssignment(self, key, self.folder / f"search-{key}.journal")


@dataclass(frozen=True)
class WorkerAssignment:
    """Picklable description of a search, which tells a worker what to do."""

    spec: SearchSpec
    key: str
    journal: Path

    def open_queue(self, spaces: Mapping[str, CandidateSpace], *, create: bool = False) -> TaskQueue:
        """Open the task queue of the search."""
        search = self.spec.search
        return TaskQueue(
            search.storage, self.journal, self.key, spaces,
            metric=self.spec.metric, pruner=search.pruner, create=create,
        )  # fmt: skip


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
