"""Small searches, in this process or in one of their own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from experiments.config.offline import Search
from experiments.evaluation.cross_validation import FoldSource
from experiments.search.run import Asking, forget_search, run_search
from experiments.search.trials import Trial, to_record

LONG = {"svd": {"n_epochs": [4000], "n_factors": [200, 201, 202]}}  # some seconds each


def search_of(candidates: dict[str, Any], **changes: Any) -> Search:
    block = {"sampler": "grid", "n_trials": 3, "workers": 2, "experiment": "test"}
    return Search.model_validate({**block, "candidates": candidates, **changes})


def asking_of(search: Search, source: FoldSource, home: Path) -> Asking:
    return Asking(search, source, 42, "rmse", home)


def run(search: Search, source: FoldSource, home: Path) -> list[Trial]:
    asking = asking_of(search, source, home)
    trials = run_search(asking, lambda *_: None)
    forget_search(asking)
    return trials


def records(trials: list[Trial]) -> list[dict[str, Any]]:
    return [to_record(trial) for trial in trials]


SEARCH = """
import sys, json
from pathlib import Path
from experiments.config.offline import Search
from experiments.evaluation.cross_validation import FoldSource
from experiments.search.run import Asking, forget_search, run_search
from experiments.search.trials import to_record
if __name__ == "__main__":
    search, train, order, home = sys.argv[1:]
    source = FoldSource(Path(train), Path(order), 3, (1.0, 5.0))
    asking = Asking(Search.model_validate_json(search), source, 42, "rmse", Path(home))
    def tell(trials, *_):
        for trial in trials:
            print("told", trial.algorithm, json.dumps(trial.parameters), flush=True)
    print("done", json.dumps([to_record(trial) for trial in run_search(asking, tell)]), flush=True)
"""


def begin(search: Search, source: FoldSource, home: Path, **options: Any) -> subprocess.Popen[str]:
    script = home / "search.py"
    script.write_text(SEARCH)
    arguments = [search.model_dump_json(), str(source.train), str(source.order), str(home)]
    return subprocess.Popen(
        [sys.executable, str(script), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}, **options,
    )  # fmt: skip
