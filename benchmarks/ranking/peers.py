"""Peers: models of implicit in this process, and of LensKit in its own environment (`make bench-peers`)."""

import warnings
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender
from threadpoolctl import threadpool_limits

from benchmarks.machine import available_cores
from benchmarks.process_jobs import Job, JobResult, run_job
from benchmarks.ranking.task import N, RankingTask, load_task
from benchmarks.ratings import SEED
from benchmarks.table.sections import find_peers_problem
from marquee.algorithms.threads import thread_count
from marquee.interactions.columns import FeedbackType

PEERS_PYTHON = ".venv-peers/bin/python"
N_FACTORS, N_ITERATIONS = 64, 15
ALPHAS, REGULARIZATIONS = (2.0, 5.0, 10.0), (10.0, 30.0, 100.0)
QUICK_POINTS = ((5.0, 30.0), (10.0, 100.0))  # the best ones of MovieLens 100K and 1M
REACHED_SHARE = 0.999  # of an NDCG, from which on it counts as reached
POSITIVES_FILE = "positives.npz"


@dataclass
class LearningCurve:
    """NDCG@10 after each epoch of one fit.

    Attributes:
        label: model and parameters, for notes.
        parameters: the parameters.
        seconds: time of the fit up to the end of each epoch, without the evaluations.
        values: NDCG@10.
    """

    label: str
    parameters: tuple[float, ...] = ()
    seconds: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    @property
    def ndcg(self) -> float:
        """Highest NDCG@10 of all epochs."""
        return max(self.values)

    def seconds_to_reach(self, ndcg: float) -> float:
        """Return the time after which this NDCG@10 was reached, or infinity.

        >>> LearningCurve("", (), [1.0, 2.0, 3.0], [0.1, 0.3, 0.2]).seconds_to_reach(0.3)
        2.0
        """
        pairs = zip(self.seconds, self.values, strict=True)
        return next((at for at, value in pairs if value >= REACHED_SHARE * ndcg), float("inf"))


class EpochClock:
    """Clock of a fit that stands still during evaluations."""

    def __init__(self, curve: LearningCurve) -> None:
        self._curve = curve
        self._elapsed, self._since = 0.0, perf_counter()

    def stop(self) -> None:
        """End an epoch."""
        self._elapsed += perf_counter() - self._since

    def resume(self, ndcg: float) -> None:
        """Record the NDCG@10 after the epoch that ended, and begin the next one."""
        self._curve.seconds.append(self._elapsed)
        self._curve.values.append(ndcg)
        self._since = perf_counter()


def fit_implicit_als(task: RankingTask, alpha: float, reg: float) -> LearningCurve:
    """Fit the ALS of implicit to the positives; its factors are evaluated after each iteration."""
    curve = LearningCurve(f"alpha={alpha:g}, regularization={reg:g}", (alpha, reg))
    with threadpool_limits(1, "blas"):  # as implicit recommends
        model = AlternatingLeastSquares(
            N_FACTORS,
            reg,
            alpha=alpha,
            iterations=N_ITERATIONS,
            num_threads=thread_count(),
            random_state=SEED,
        )
        clock = EpochClock(curve)

        def evaluate(*_: Any) -> None:
            clock.stop()
            clock.resume(task.score_lists(model.recommend(task.users, task.seen, N=N)[0]))

        model.fit(task.liked, show_progress=False, callback=evaluate)
    return curve


@cache
def best_implicit_als(data: str, feedback: FeedbackType, *, is_quick: bool) -> LearningCurve:
    """Return the learning curve with the highest NDCG@10 of a grid, chosen on the held-out items of a task.

    Quick: of the two points that are best on MovieLens 1M and 100K.
    """
    task = load_task(data, feedback)
    points = QUICK_POINTS if is_quick else tuple(product(ALPHAS, REGULARIZATIONS))
    return max((fit_implicit_als(task, *point) for point in points), key=lambda curve: curve.ndcg)


@dataclass(frozen=True)
class FitAndLists:
    """Seconds of a fit and of the lists of all users, medians over runs, and the NDCG@10."""

    fit_seconds: float
    list_seconds: float
    ndcg: float

    @property
    def total(self) -> float:
        """Seconds of both."""
        return self.fit_seconds + self.list_seconds

    def __str__(self) -> str:
        return f"fit {self.fit_seconds:.2f} s, lists {self.list_seconds:.2f} s, NDCG@10 {self.ndcg:.4f}"


def run_implicit_knn(task: RankingTask, k: int) -> FitAndLists:
    """Fit the CosineRecommender of implicit, and compute the lists of all users."""
    start = perf_counter()
    model = CosineRecommender(K=k, num_threads=thread_count())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a matrix that implicit itself converts
        model.fit(task.liked, show_progress=False)
    fitted = perf_counter()
    lists, _ = model.recommend(task.users, task.seen, N=N)
    ended = perf_counter()
    return FitAndLists(fitted - start, ended - fitted, task.score_lists(lists))


def find_lenskit_problem() -> str | None:
    """Return why LensKit cannot be measured, or None."""
    return find_peers_problem(PEERS_PYTHON)


def fit_lenskit(task: RankingTask, algorithm: str, n_repeats: int, **parameters: Any) -> float:
    """Return the median time in seconds in which a scorer of LensKit fits the positives."""
    with TemporaryDirectory() as folder:
        job = Job("fit", folder, "LensKit", algorithm, parameters, repeats=n_repeats)
        return _median_phase(_run_lenskit(job, task), "fit")


def run_lenskit(task: RankingTask, algorithm: str, n_repeats: int, **parameters: Any) -> FitAndLists:
    """Fit a scorer of LensKit to the positives in a new process, and compute the lists of all users.

    Its lists omit the positives of training only, so they may contain items that the user rated lower.
    """
    with TemporaryDirectory() as folder:
        job = Job("rank", folder, "LensKit", algorithm, parameters, repeats=n_repeats)
        result = _run_lenskit(job, task)
        lists = np.load(Path(folder) / "lists.npy")
    ndcg = task.score_lists(lists)
    return FitAndLists(_median_phase(result, "fit"), _median_phase(result, "lists"), ndcg)


def _run_lenskit(job: Job, task: RankingTask) -> JobResult:
    """Write the positives to the folder of a job, and run it on the cores that Marquee uses."""
    positives = task.liked.tocoo()
    np.savez(Path(job.folder) / POSITIVES_FILE, users=positives.row, items=positives.col)
    command = (PEERS_PYTHON, "-m", "benchmarks.ranking.lenskit_job")
    return run_job(command, replace(job, cores=available_cores(thread_count())))


def _median_phase(result: JobResult, phase: str) -> float:
    return float(median(run[phase] for run in result["runs"]))
