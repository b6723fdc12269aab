"""Small searches, run in this process or in a separate one."""

import multiprocessing
import os
import subprocess
import sys
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from experiments.config.offline import SearchParams
from experiments.evaluation.cross_validation import FoldSource
from experiments.evaluation.parts import PartSource
from experiments.evaluation.protocol import EvaluationProtocol
from experiments.search.run import SearchOutcome, delete_search_state, run_search
from experiments.search.specification import SearchSpec
from experiments.search.trials import Trial, trial_to_record

PROTOCOL = EvaluationProtocol(5, 4.0)
ROOT = Path(__file__).parents[2]
SLOW_SPACE = {"svd": {"n_epochs": [4000], "n_factors": [200, 201, 202]}}  # a training takes some seconds


def make_search_params(candidates: dict[str, Any], **changes: Any) -> SearchParams:
    block = {"sampler": "grid", "n_trials": 3, "workers": 2, "metric": "rmse", "experiment": "test"}
    return SearchParams.model_validate({**block, "candidates": candidates, **changes})


def live_workers() -> list[ForkServerProcess]:
    """Return the worker processes of running searches, without child processes of other libraries."""
    return [child for child in multiprocessing.active_children() if isinstance(child, ForkServerProcess)]


def make_search_spec(
    search: SearchParams, source: FoldSource | None, folder: Path, parts: PartSource | None = None
) -> SearchSpec:
    return SearchSpec(search, source, parts, PROTOCOL, 42, folder)


def run_search_to_end(
    search: SearchParams, source: FoldSource | None, folder: Path, parts: PartSource | None = None
) -> list[Trial]:
    """Run a search, delete its state as the search stage does, and return all trials."""
    return run_to_outcome(search, source, folder, parts).trials


def run_to_outcome(
    search: SearchParams, source: FoldSource | None, folder: Path, parts: PartSource | None = None
) -> SearchOutcome:
    """Run a search, delete its state as the search stage does, and return its outcome."""
    spec = make_search_spec(search, source, folder, parts)
    outcome = run_search(spec, lambda _: None)
    delete_search_state(spec)
    return outcome


def trial_records(trials: list[Trial]) -> list[dict[str, Any]]:
    return [trial_to_record(trial) for trial in trials]


SEARCH_SCRIPT = """
import sys, json
from pathlib import Path
from experiments.config.offline import SearchParams
from experiments.evaluation.cross_validation import FoldSource
from experiments.evaluation.protocol import EvaluationProtocol
from experiments.search.run import run_search
from experiments.search.specification import SearchSpec
from experiments.search.trials import trial_to_record
if __name__ == "__main__":
    search, train, order, folder = sys.argv[1:]
    source = FoldSource(Path(train), Path(order), 3, (1.0, 5.0))
    protocol = EvaluationProtocol(5, 4.0)
    spec = SearchSpec(SearchParams.model_validate_json(search), source, None, protocol, 42, Path(folder))
    def print_trials(report):
        for trial in report.trials:
            print("trial", trial.algorithm, json.dumps(trial.parameters), flush=True)
    trials = run_search(spec, print_trials).trials
    print("done", json.dumps([trial_to_record(trial) for trial in trials]), flush=True)
"""


def start_search_process(
    search: SearchParams, source: FoldSource, folder: Path, **options: Any
) -> subprocess.Popen[str]:
    """Start a search that prints a line `trial ...` as each trial ends, then `done ...` with all records."""
    script = folder / "search.py"
    script.write_text(SEARCH_SCRIPT)
    arguments = [search.model_dump_json(), str(source.train), str(source.order), str(folder)]
    return subprocess.Popen(
        [sys.executable, str(script), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, **options,
    )  # fmt: skip
