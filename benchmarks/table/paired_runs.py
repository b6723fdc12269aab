"""Alternating runs of Marquee and a peer, each in a fresh process, and their comparison."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import mean, median
from typing import Any

import numpy as np

from benchmarks.process_jobs import Job, JobFailedError, JobResult, run_job
from benchmarks.table.comparisons import SURPRISE, Comparison, Measure, Target

MARQUEE_COMMAND = (sys.executable, "-m", "benchmarks.table.marquee_job")
SURPRISE_COMMAND = (sys.executable, "-m", "benchmarks.table.surprise_job")
REPEATS = 3
MAX_REPEATED_SECONDS = 60.0  # a peer whose run takes longer is not repeated
MIN_WAITING_SECONDS = 0.5  # in shorter runs, the time spent waiting for a core cannot be measured
PHASES = {
    Measure.DATA: "data",
    Measure.FIT: "fit",
    Measure.PREDICT: "predict",
    Measure.END_TO_END: "end_to_end",
}
# implicit recommends one BLAS thread.
LIBRARY_ENVIRONMENTS = {"implicit": {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}}


def _print_progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class RunSettings:
    """Settings shared by all measurements."""

    folder: str  # folder of the ratings and folds
    n_folds: int = 1
    quick: bool = False
    peers_python: str = sys.executable
    report_progress: Callable[[str], None] = _print_progress


class RunSeries:
    """Results of all runs of a library on a subject."""

    def __init__(self) -> None:
        self.results: list[JobResult] = []
        self.failure = ""

    def run(self, job: Job, command: Sequence[str] = MARQUEE_COMMAND, **environment: str) -> None:
        """Run a job, and keep its result or its error message."""
        try:
            self.results.append(
                run_job(command, job, LIBRARY_ENVIRONMENTS.get(job.library, {}) | environment)
            )
        except JobFailedError as error:
            self.failure = str(error)

    def seconds(self, measure: Measure) -> list[float]:
        """Return the seconds of a phase in all runs that have it."""
        phase = PHASES[measure]
        return [run[phase] for run in self._runs() if phase in run]

    def waiting_percent(self) -> list[float]:
        """Return the percentage of time that each run waited for a core, except for short runs."""
        return [100 * run["waited"] for run in self._runs() if run["end_to_end"] > MIN_WAITING_SECONDS]

    def values(self, key: str) -> list[Any]:
        """Return the value of a key in the results of all processes that have it."""
        return [result[key] for result in self.results if key in result]

    @property
    def can_repeat(self) -> bool:
        """True if no run failed and no run took too long to be repeated."""
        longest = max(self.seconds(Measure.END_TO_END), default=0.0)
        return not self.failure and longest <= MAX_REPEATED_SECONDS

    def _runs(self) -> Iterator[dict[str, float]]:
        return (run for result in self.results for run in result["runs"])


@dataclass(frozen=True)
class PairedRuns:
    """Runs of Marquee and of a peer on the same subject."""

    subject: str
    ours: RunSeries
    peer: RunSeries
    library: str | None = SURPRISE  # None: there is no peer

    def compare_accuracy(self) -> Iterator[Comparison]:
        """Yield RMSE and MAE: mean and range over the folds."""
        for measure, key in ((Measure.RMSE, "rmse"), (Measure.MAE, "mae")):
            yield self._compare(measure, "stars", [series.values(key) for series in self._series], mean)

    def compare_seconds(self, measure: Measure, target: Target | None = None) -> Comparison:
        """Return the seconds of a phase: median and range over the runs."""
        values = [series.seconds(measure) for series in self._series]
        return self._compare(measure, "s", values, median, target)

    def compare_memory(self, target: Target | None = None) -> Iterator[Comparison]:
        """Yield the peak memory of the process and its memory before the work: the maximum over the runs."""
        for measure, key, bound in (
            (Measure.PEAK_MEMORY, "peak_mb", target),
            (Measure.START_MEMORY, "before_mb", None),
        ):
            yield self._compare(measure, "MB", [series.values(key) for series in self._series], max, bound)

    def compare_waiting(self) -> Comparison:
        """Return the percentage of time that a run waited for a core: the maximum over the runs."""
        return self._compare(Measure.WAITING, "%", [series.waiting_percent() for series in self._series], max)

    def compare_predictions(self, target: Target) -> Iterator[Comparison]:
        """Yield the largest differences of RMSE and of a single prediction over the common folds."""
        ours, peer = ({result["fold"]: result for result in series.results} for series in self._series)
        folds = sorted(ours.keys() & peer.keys())
        if not folds:
            return
        rmse_differences = [abs(ours[fold]["rmse"] - peer[fold]["rmse"]) for fold in folds]
        differences = [_max_difference(ours[fold]["estimated"], peer[fold]["estimated"]) for fold in folds]
        for measure, values, bound in (
            (Measure.RMSE_DIFFERENCE, rmse_differences, target),
            (Measure.MAX_PREDICTION_DIFFERENCE, differences, None),
        ):
            yield Comparison(self.subject, measure, max(values), None, "stars", len(folds), target=bound)

    @property
    def _series(self) -> tuple[RunSeries, RunSeries]:
        return self.ours, self.peer

    @property
    def _failures(self) -> str:
        sides = zip(("Marquee", self.library), self._series, strict=True)
        return "; ".join(f"{name}: {series.failure}" for name, series in sides if series.failure)

    def _compare(
        self,
        measure: Measure,
        unit: str,
        values: Sequence[list[float]],  # of Marquee and of the peer
        summarize: Callable[[list[float]], float],
        target: Target | None = None,
    ) -> Comparison:
        ours, peer = (summarize(runs) if runs else None for runs in values)
        our_spread, peer_spread = (max(runs) - min(runs) if runs else 0.0 for runs in values)
        n = min((len(runs) for runs in values if runs), default=0)
        return Comparison(
            self.subject, measure, ours, peer, unit, n, self.library, our_spread, peer_spread, target,
            note=self._failures,
        )  # fmt: skip


def run_in_turn(
    settings: RunSettings, our_job: Job, peer_job: Job, command: Sequence[str] = SURPRISE_COMMAND
) -> tuple[RunSeries, RunSeries]:
    """Run Marquee and the peer in turn: once on each fold or, if there is only one fold, three times."""
    ours, peer = RunSeries(), RunSeries()
    if settings.quick:
        peer.run(peer_job, command)
        return run_in_one_process(our_job), peer
    for fold in range(settings.n_folds):
        for repeat in range(REPEATS if settings.n_folds == 1 else 1):
            ours.run(replace(our_job, fold=fold))
            if repeat == 0 or peer.can_repeat:
                peer.run(replace(peer_job, fold=fold), command)
            if ours.failure:
                return ours, peer
    return ours, peer


def run_in_one_process(job: Job) -> RunSeries:
    """Run Marquee's job three times in one process."""
    series = RunSeries()
    series.run(replace(job, repeats=REPEATS))
    return series


def _max_difference(first: Sequence[float], second: Sequence[float]) -> float:
    return float(np.abs(np.array(first) - np.array(second)).max())
