"""Comparisons: Marquee's value, that of a peer, their ratio, and the target."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from benchmarks.result_rows import write_rows

SURPRISE = "Surprise"


class Measure(StrEnum):
    """Measured quantities; for all of them, lower is better."""

    RMSE = "RMSE"
    MAE = "MAE"
    RMSE_DIFFERENCE = "difference of RMSE"
    MAX_PREDICTION_DIFFERENCE = "largest difference of a prediction"
    DATA = "data"  # seconds from the table to the input of the algorithm
    FIT = "fit"
    PREDICT = "predict"
    END_TO_END = "end to end"
    WAITING = "waiting for a core"
    PEAK_MEMORY = "peak memory"
    START_MEMORY = "memory before"
    FOLDS_RMSE = "RMSE, 5 folds"
    FOLDS_MAE = "MAE, 5 folds"
    FOLDS_FIT = "fit, one of 5 folds"
    FOLDS_PREDICT = "predict, one of 5 folds"


class TargetStatus(StrEnum):
    """Result of comparing a value with a target."""

    MISSED = "missed"
    REACHED = "reached"
    STRETCH = "stretch"


@dataclass(frozen=True)
class Target:
    """Lower bound on a ratio or upper bound on Marquee's own value, with an optional stretch goal."""

    bound: float
    stretch: float | None
    unit: str  # "x": bound on the ratio; otherwise the unit of Marquee's value

    def __str__(self) -> str:
        values = [self.bound] if self.stretch is None else [self.bound, self.stretch]
        if self.is_ratio:
            return ", ".join(f"{value:g}x" for value in values)
        return "≤ " + ", ".join(f"{value:g} {self.unit}" for value in values)

    @property
    def is_ratio(self) -> bool:
        """True if the target is a lower bound on the ratio."""
        return self.unit == "x"

    def status(self, value: float) -> TargetStatus:
        """Compare a ratio or value with the bound and the stretch goal."""
        sign = 1 if self.is_ratio else -1
        if sign * value < sign * self.bound:
            return TargetStatus.MISSED
        is_stretch = self.stretch is not None and sign * value >= sign * self.stretch
        return TargetStatus.STRETCH if is_stretch else TargetStatus.REACHED


def min_ratio(bound: float, stretch: float | None = None) -> Target:
    """Return a target for the ratio of the peer's value to Marquee's."""
    return Target(bound, stretch, "x")


def max_value(bound: float, unit: str, stretch: float | None = None) -> Target:
    """Return a target for Marquee's own value."""
    return Target(bound, stretch, unit)


@dataclass(frozen=True)
class Comparison:
    """One measure of one subject, such as the fit time of SVD++, summarized over n runs."""

    subject: str
    measure: Measure
    ours: float | None  # None: the measurement failed
    peer: float | None  # None: there is no peer, or its measurement failed
    unit: str
    n: int  # runs of the side with fewer runs
    library: str | None = SURPRISE  # None: there is no peer
    our_spread: float = 0.0  # largest minus smallest value of the runs
    peer_spread: float = 0.0
    target: Target | None = None
    note: str = ""  # reason for a failure

    @property
    def what(self) -> str:
        """Subject, measure, and the library if it is not Surprise."""
        library = "" if self.library in (None, SURPRISE) else f" ({self.library})"
        return f"{self.subject}: {self.measure}{library}"

    @property
    def ratio(self) -> float | None:
        """Peer's value divided by Marquee's; above 1 means that Marquee is better."""
        return None if self.ours is None or self.peer is None or self.ours <= 0 else self.peer / self.ours

    @property
    def target_status(self) -> TargetStatus | None:
        """Status of the target, or None if there is no target or no value."""
        if self.target is None:
            return None
        value = self.ratio if self.target.is_ratio else self.ours
        return None if value is None else self.target.status(value)


def write_comparisons(comparisons: Iterable[Comparison], path: Path) -> None:
    """Write comparisons as JSON: the keys of every benchmark (`what` to `n`), then all other fields."""
    write_rows([_to_json(comparison) for comparison in comparisons], path)


def read_comparisons(path: Path) -> list[Comparison]:
    """Read the comparisons in a file of `write_comparisons`."""
    return [_from_json(fields) for fields in json.loads(path.read_text(encoding="utf-8"))]


def _to_json(comparison: Comparison) -> dict[str, Any]:
    common = {key: getattr(comparison, key) for key in ("what", "ours", "peer", "ratio", "unit", "n")}
    return common | asdict(comparison) | {"target_status": comparison.target_status}


def _from_json(fields: dict[str, Any]) -> Comparison:
    arguments = {name: fields[name] for name in Comparison.__dataclass_fields__}
    arguments["measure"] = Measure(fields["measure"])
    arguments["target"] = None if fields["target"] is None else Target(**fields["target"])
    return Comparison(**arguments)
