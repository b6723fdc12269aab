"""Benefits and costs in the search: a second worker, the overhead of Optuna and MLflow, and pruning.

    python -m benchmarks.workers [--quick] [--only NAME] [--json FILE]

There is no peer, because no other library combines workers, a tracker and pruning. The ratings are read from
MARQUEE_DATA_DIR.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.command_line import run_benchmark
from benchmarks.ratings import load_movielens, sample_ratings
from benchmarks.result_rows import ResultRow, format_check_mark
from benchmarks.search import make_search_params, time_search, write_search_spec
from experiments.search.run import run_search
from experiments.search.trials import Trial, rank_trials
from experiments.tracking.data_version import DataVersion
from experiments.tracking.runs import ExperimentTracker
from marquee.algorithms.threads import THREADS_VARIABLE

N_LOGGED_TRIALS = 100  # as in params.yaml
OVERHEAD_SHARE = 0.01  # of the ratings, so that trainings take hardly any time
N_EPOCHS = 54  # of a training in the measurement of pruning
MIN_SPEEDUP = 1.9
MAX_OVERHEAD_MS = 5  # per trial
MAX_EPOCH_SHARE = 0.4
MAX_RMSE_LOSS = 0.0005  # in stars


def measure_worker_speedup(share: float) -> ResultRow:
    """Compare the time of a search with two workers and with one, each limited to one thread."""
    ratings = sample_ratings(load_movielens("ml-1m"), share)
    space = {"svd": {"n_factors": [50, 60, 70, 80, 90, 100, 110, 120], "n_epochs": [40]}}
    with one_thread_per_worker():
        seconds = {n: time_search(make_search_params(space, workers=n), ratings)[1] for n in (2, 1)}
    speedup = seconds[1] / seconds[2]
    note = f"target {MIN_SPEEDUP}x {format_check_mark(speedup >= MIN_SPEEDUP)}"
    return ResultRow(
        "two workers against one, SVD, ml-1m", seconds[2], "s", 1, note, peer=seconds[1], ratio=speedup
    )


@contextmanager
def one_thread_per_worker() -> Iterator[None]:
    """Limit every worker to one thread; otherwise a single worker would train its folds on both cores."""
    previous = os.environ.get(THREADS_VARIABLE)
    os.environ[THREADS_VARIABLE] = "1"
    try:
        yield
    finally:
        if previous is None:
            del os.environ[THREADS_VARIABLE]
        else:
            os.environ[THREADS_VARIABLE] = previous


def measure_trial_overhead(_: float) -> ResultRow:
    """Measure the time per trial in addition to its training: queueing with Optuna, and logging to MLflow."""
    with TemporaryDirectory() as folder:
        trials, optuna_ms = time_queueing(Path(folder))
        mlflow_ms = time_logging(trials, Path(folder))
    overhead_ms = optuna_ms + mlflow_ms
    note = (
        f"target {MAX_OVERHEAD_MS} ms {format_check_mark(overhead_ms <= MAX_OVERHEAD_MS)}; "
        f"Optuna {optuna_ms:.2f}, MLflow {mlflow_ms:.2f} with {N_LOGGED_TRIALS} runs"
    )
    return ResultRow("overhead of a trial, 200 trials", overhead_ms, "ms", len(trials), note)


def time_queueing(folder: Path) -> tuple[list[Trial], float]:
    """Run 200 small trials; return them, and the mean milliseconds of a trial in addition to its training."""
    space = {"svd": {"n_factors": list(range(1, 201)), "n_epochs": [1]}}
    ratings = sample_ratings(load_movielens("ml-100k"), OVERHEAD_SHARE)
    spec = write_search_spec(make_search_params(space, workers=1), ratings, folder)
    times: list[float] = []
    trials = run_search(spec, lambda _: times.append(time.perf_counter())).trials
    seconds = (times[-1] - times[0]) / (len(times) - 1) - mean_training_seconds(trials)
    return trials, 1000 * seconds


def time_logging(trials: Sequence[Trial], folder: Path) -> float:
    """Log trials to a new MLflow store; return the milliseconds per trial."""
    tracker = ExperimentTracker("overhead", f"sqlite:///{folder}/mlflow.db")
    run_id = tracker.start_search_run("overhead", DataVersion("ml-100k", "0", str(folder)), {}, {})
    start = time.perf_counter()
    tracker.log_trials(run_id, trials, {}, max_runs=N_LOGGED_TRIALS, metric="rmse")
    return 1000 * (time.perf_counter() - start) / len(trials)


def measure_pruning(share: float) -> Iterator[ResultRow]:
    """Measure, for each pruner, the share of epochs that are trained and the increase of the best RMSE."""
    ratings = sample_ratings(load_movielens("ml-100k"), share)
    rates, regularization = [0.002, 0.005, 0.01, 0.02], [0.02, 0.06, 0.1]
    space = {
        "svd": {
            "n_factors": [20, 100], "lr_all": rates, "reg_all": regularization, "n_epochs": [N_EPOCHS],
        },
    }  # fmt: skip
    complete, _ = time_search(make_search_params(space), ratings)
    best_rmse = rank_trials(complete, "rmse")[0].mean("rmse")
    for pruner in ("curve", "median", "hyperband"):
        pruned, _ = time_search(make_search_params(space, pruner=pruner), ratings)
        loss = rank_trials(pruned, "rmse")[0].mean("rmse") - best_rmse
        epoch_share = sum(trial.curve[-1][0] for trial in pruned) / (N_EPOCHS * len(pruned))
        note = (
            f"target {MAX_EPOCH_SHARE:.0%} {format_check_mark(epoch_share <= MAX_EPOCH_SHARE)}; "
            f"target {MAX_RMSE_LOSS} stars {format_check_mark(loss <= MAX_RMSE_LOSS)}: {loss:.5f} lost"
        )
        title = f"epochs with {pruner} pruning, SVD, ml-100k"
        yield ResultRow(title, 100 * epoch_share, "%", 1, note, peer=100, ratio=1 / epoch_share)


def mean_training_seconds(trials: Sequence[Trial]) -> float:
    """Return the mean over trials of the seconds that all folds of a trial took."""
    folds = [fold for trial in trials for fold in trial.folds]
    return sum(fold.fit_seconds + fold.predict_seconds for fold in folds) / len(trials)


PARTS: dict[str, Callable[[float], Iterable[ResultRow]]] = {
    "workers": lambda share: [measure_worker_speedup(share)],
    "overhead": lambda share: [measure_trial_overhead(share)],
    "pruning": measure_pruning,
}

if __name__ == "__main__":
    sys.exit(run_benchmark("python -m benchmarks.workers", __doc__, PARTS))
