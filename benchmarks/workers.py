"""What the search's machinery gains and costs: two workers, Optuna and MLflow, pruning.

    python -m benchmarks.workers [--quick] [--only NAME] [--json FILE]

Ours alone: no peer has workers, a tracker and pruning in one. The ratings are those of MARQUEE_DATA_DIR.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.search import Row, asking_of, ours, ratings_of, run, sampled, search_of
from experiments.search.run import run_search
from experiments.search.trials import Trial, ranked
from experiments.tracking.data_version import DataVersion
from experiments.tracking.runs import Tracker
from marquee.algorithms.threads import VARIABLE

LOGGED = 100  # runs in MLflow, as in params.yaml


def scaling_row(share: float) -> Row:
    """Two workers against one, of one thread each, on trainings that fill their time."""
    ratings = sampled(ratings_of("ml-1m"), share)
    space = {"svd": {"n_factors": [50, 60, 70, 80, 90, 100, 110, 120], "n_epochs": [40]}}
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "1"  # else one worker takes both cores, for its folds
    try:
        seconds = {n: ours(search_of(space, workers=n), ratings)[1] for n in (2, 1)}
    finally:
        os.environ.pop(VARIABLE) if before is None else os.environ.update({VARIABLE: before})
    ratio = seconds[1] / seconds[2]
    note = f"target 1.9x {_mark(ratio >= 1.9)}"
    return Row("two workers against one, SVD, ml-1m", seconds[2], seconds[1], ratio, "s", 1, note)


def overhead_row(_: float) -> Row:
    """What a trial costs beside its training: asking and telling Optuna, and keeping it in MLflow."""
    ratings = sampled(ratings_of("ml-100k"), 0.01)
    search = search_of({"svd": {"n_factors": list(range(1, 201)), "n_epochs": [1]}}, workers=1)
    times: list[float] = []
    with TemporaryDirectory() as folder:
        asking = asking_of(search, ratings, Path(folder))
        trials = run_search(asking, lambda *_: times.append(time.perf_counter()))
        optuna_s = (times[-1] - times[0]) / (len(times) - 1) - _worked(trials)
        tracker = Tracker("overhead", f"sqlite:///{folder}/mlflow.db")
        parent = tracker.start_search("overhead", DataVersion("ml-100k", "0", folder), {}, {})
        began = time.perf_counter()
        tracker.log_trials(parent, trials, {}, runs=LOGGED, metric="rmse")
        mlflow_s = (time.perf_counter() - began) / len(trials)
    each = 1000 * (optuna_s + mlflow_s)
    parts = f"Optuna {1000 * optuna_s:.2f}, MLflow {1000 * mlflow_s:.2f} with {LOGGED} runs"
    note = f"target 5 ms {_mark(each <= 5)}; {parts}"
    return Row("overhead of a trial, 200 trials", each, None, None, "ms", len(trials), note)


def pruning_rows(share: float) -> Iterator[Row]:
    """What pruning saves and what it costs: epochs trained, and the error of the winner."""
    ratings = sampled(ratings_of("ml-100k"), share)
    rates, decays = [0.002, 0.005, 0.01, 0.02], [0.02, 0.06, 0.1]
    space = {"svd": {"n_factors": [20, 100], "lr_all": rates, "reg_all": decays, "n_epochs": [54]}}
    every, _ = ours(search_of(space), ratings)
    best = ranked(every, "rmse")[0].mean("rmse")
    for pruner in ("curve", "median", "hyperband"):
        some, _ = ours(search_of(space, pruner=pruner), ratings)
        lost = ranked(some, "rmse")[0].mean("rmse") - best
        epochs = sum(trial.curve[-1][0] for trial in some) / (54 * len(some))
        note = f"target 40% {_mark(epochs <= 0.4)} and 0.0005 stars {_mark(lost <= 0.0005)}: {lost:.5f} lost"
        yield Row(f"epochs with {pruner} pruning, SVD, ml-100k", 100 * epochs, 100, 1 / epochs, "%", 1, note)


def _worked(trials: Sequence[Trial]) -> float:
    """Mean seconds of a trial's folds, one after the other."""
    return sum(f.fit_seconds + f.predict_seconds for trial in trials for f in trial.folds) / len(trials)


def _mark(reached: bool) -> str:
    return "✓" if reached else "✗"


PARTS: dict[str, Callable[[float], Iterable[Row]]] = {
    "workers": lambda share: [scaling_row(share)],
    "overhead": lambda share: [overhead_row(share)],
    "pruning": pruning_rows,
}

if __name__ == "__main__":
    sys.exit(run("python -m benchmarks.workers", __doc__, PARTS))
