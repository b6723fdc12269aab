"""Two sides in turn, each run in a process of its own, and what came of it as rows."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import mean, median
from typing import Any

import numpy as np

from benchmarks.measure import Job, MeasuringFailedError, Result, run_apart
from benchmarks.table.rows import (
    BEFORE,
    DATA,
    DIFFERENCE,
    END_TO_END,
    FIT,
    PEAK,
    PREDICT,
    RMSE_DIFFERENCE,
    WAITED,
    Row,
    Target,
)

OURS = (sys.executable, "-m", "benchmarks.table.ours")
SURPRISE = (sys.executable, "-m", "benchmarks.table.theirs")
LONG = 60.0  # seconds; a peer that takes longer is run once
SHORT = 0.5  # seconds; of a run that takes less it cannot be told how long it waited
REPEATS = 3
LAPS = {DATA: "data", FIT: "fit", PREDICT: "predict", END_TO_END: "end_to_end"}
ENVIRONMENTS = {"implicit": {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}}  # what implicit asks for


@dataclass(frozen=True)
class Settings:
    """How everything is measured."""

    folder: str
    folds: int = 1
    quick: bool = False
    peers_python: str = sys.executable
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True)


class Side:
    """All runs of one side of a duel."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.failure = ""

    def run(self, job: Job, command: tuple[str, ...] = OURS, **environment: str) -> None:
        """Run once more; a failure is kept, to be told in the table."""
        try:
            self.results.append(run_apart(command, job, ENVIRONMENTS.get(job.library, {}) | environment))
        except MeasuringFailedError as error:
            self.failure = str(error)

    def seconds(self, measure: str) -> list[float]:
        """Seconds of every run."""
        lap = LAPS[measure]
        return [run[lap] for result in self.results for run in result["runs"] if lap in run]

    def figures(self, key: str) -> list[Any]:
        """One figure of every process."""
        return [result[key] for result in self.results if key in result]

    @property
    def is_enough(self) -> bool:
        """Whether to leave it at what there is."""
        return bool(self.failure) or any(seconds > LONG for seconds in self.seconds(END_TO_END))


@dataclass(frozen=True)
class Duel:
    """What two sides did about the same subject."""

    subject: str
    ours: Side
    peer: Side
    library: str = "Surprise"

    def accuracy(self) -> Iterator[Row]:
        """RMSE and MAE: the mean of the folds, and their range."""
        for key in ("rmse", "mae"):
            yield self._row(key.upper(), "stars", [side.figures(key) for side in self._sides], mean)

    def timed(self, measure: str, target: Target | None = None) -> Row:
        """Seconds: the median of the runs, and their range."""
        return self._row(measure, "s", [side.seconds(measure) for side in self._sides], median, target)

    def memory(self, target: Target | None = None) -> Iterator[Row]:
        """Peak of the process, and what it held before the work began: the largest of the runs."""
        for measure, key, aim in ((PEAK, "peak_mb", target), (BEFORE, "before_mb", None)):
            yield self._row(measure, "MB", [side.figures(key) for side in self._sides], max, aim)

    def waiting(self) -> Row:
        """Percent of its time that a run had no core to work on: the largest, short runs left out."""
        figures = [
            [
                100 * run["waited"]
                for result in side.results
                for run in result["runs"]
                if run["end_to_end"] > SHORT
            ]
            for side in self._sides
        ]
        return self._row(WAITED, "%", figures, max)

    def differences(self, target: Target) -> Iterator[Row]:
        """How far the two are apart: the largest of the folds that both have done."""
        mine, theirs = ({result["fold"]: result for result in side.results} for side in self._sides)
        both = sorted(mine.keys() & theirs.keys())
        if not both:
            return
        apart = [abs(mine[fold]["rmse"] - theirs[fold]["rmse"]) for fold in both]
        estimates = [[np.array(side[fold]["estimated"]) for side in (mine, theirs)] for fold in both]
        farthest = [np.abs(first - other).max() for first, other in estimates]
        yield Row(self.subject, RMSE_DIFFERENCE, max(apart), None, "stars", len(both), target=target)
        yield Row(self.subject, DIFFERENCE, float(max(farthest)), None, "stars", len(both))

    @property
    def _sides(self) -> tuple[Side, Side]:
        return self.ours, self.peer

    def _row(
        self,
        measure: str,
        unit: str,
        figures: list[list[float]],
        of: Callable[[list[float]], float],
        target: Target | None = None,
    ) -> Row:
        (ours, our_spread), (peer, peer_spread) = (
            (of(each), max(each) - min(each)) if each else (None, 0.0) for each in figures
        )
        n = min((len(each) for each in figures if each), default=0)
        spreads = {"our_spread": our_spread, "peer_spread": peer_spread}
        return Row(
            self.subject,
            measure,
            ours,
            peer,
            unit,
            n,
            self.library,
            **spreads,
            target=target,
            note=self._note,
        )

    @property
    def _note(self) -> str:
        """Why a side has nothing to show."""
        sides = zip(("ours", self.library), self._sides, strict=True)
        return "; ".join(f"{name}: {side.failure}" for name, side in sides if side.failure)


def fight(settings: Settings, ours: Job, peer: Job, command: tuple[str, ...] = SURPRISE) -> tuple[Side, Side]:
    """Run ours and the peer in turn: once on every fold, or three times on one."""
    mine, theirs = Side(), Side()
    if settings.quick:
        theirs.run(peer, command)
        return quickly(ours), theirs
    for fold in range(settings.folds):
        for repeat in range(REPEATS if settings.folds == 1 else 1):
            mine.run(replace(ours, fold=fold))
            if repeat == 0 or not theirs.is_enough:
                theirs.run(replace(peer, fold=fold), command)
            if mine.failure:
                return mine, theirs
    return mine, theirs


def quickly(job: Job) -> Side:
    """Ours three times in one process."""
    side = Side()
    side.run(replace(job, repeats=REPEATS))
    return side
