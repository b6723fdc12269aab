"""A row of what was measured: ours, the peer's, their ratio, and what was to be reached."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ACCURACY = ("RMSE", "MAE")
END_TO_END, FIT, PREDICT, DATA, PEAK = "end to end", "fit", "predict", "data", "peak memory"
WAITED = "waiting for a core"
FOLDS_RMSE, FOLDS_MAE = "RMSE, 5 folds", "MAE, 5 folds"
FOLDS_FIT, FOLDS_PREDICT = "fit, one of 5 folds", "predict, one of 5 folds"
BEFORE, RMSE_DIFFERENCE, DIFFERENCE = (
    "memory before",
    "difference of RMSE",
    "largest difference of a prediction",
)
REACHED, STRETCH, MISSED = "reached", "stretch", "missed"


@dataclass(frozen=True)
class Target:
    """What is to be reached, and what is hoped for. A bound on the ratio, or on our own figure from above."""

    bound: float
    stretch: float | None
    unit: str  # "x": of the ratio, at least; else of our figure, at most

    def __str__(self) -> str:
        if self.unit == "x":
            return f"{self.bound:g}x" + ("" if self.stretch is None else f", {self.stretch:g}x")
        return f"≤ {self.bound:g} {self.unit}" + (
            "" if self.stretch is None else f", {self.stretch:g} {self.unit}"
        )

    def verdict(self, figure: float) -> str:
        """`REACHED`, `STRETCH` or `MISSED`."""
        sign = 1 if self.unit == "x" else -1
        if sign * figure < sign * self.bound:
            return MISSED
        return STRETCH if self.stretch is not None and sign * figure >= sign * self.stretch else REACHED


def at_least(bound: float, stretch: float | None = None) -> Target:
    """So many times better than the peer."""
    return Target(bound, stretch, "x")


def at_most(bound: float, unit: str, stretch: float | None = None) -> Target:
    """A figure of ours no higher than that."""
    return Target(bound, stretch, unit)


@dataclass(frozen=True)
class Row:
    """One figure of one subject: medians of n runs."""

    subject: str  # "SVD++"
    measure: str  # "fit"
    ours: float | None  # None: it failed
    peer: float | None  # None: there is none, or it failed
    unit: str
    n: int  # runs of the side that was run less often
    library: str = "Surprise"
    our_spread: float = 0.0  # largest minus smallest of the runs
    peer_spread: float = 0.0
    target: Target | None = None
    note: str = ""

    @property
    def what(self) -> str:
        """The row's name."""
        return f"{self.subject}: {self.measure}" + (
            "" if self.library in ("", "Surprise") else f" ({self.library})"
        )

    @property
    def ratio(self) -> float | None:
        """How many times better ours is; all measures are better when lower."""
        return None if self.ours is None or self.peer is None or self.ours <= 0 else self.peer / self.ours

    @property
    def verdict(self) -> str:
        """Whether the target was reached; empty where there is none, or nothing to judge."""
        figure = self.ratio if self.target is not None and self.target.unit == "x" else self.ours
        return "" if self.target is None or figure is None else self.target.verdict(figure)


def write(rows: Iterable[Row], path: Path) -> None:
    """Write rows as JSON: what, ours, peer, ratio, unit, n, and what else a row has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps([_plain(row) for row in rows], indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def read(path: Path) -> list[Row]:
    """Rows as they were written."""
    return [_row(plain) for plain in json.loads(path.read_text(encoding="utf-8"))]


def _plain(row: Row) -> dict[str, Any]:
    first = {key: getattr(row, key) for key in ("what", "ours", "peer", "ratio", "unit", "n")}
    return first | asdict(row) | {"reached": row.verdict}


def _row(plain: dict[str, Any]) -> Row:
    target = plain["target"]
    fields = {key: plain[key] for key in Row.__dataclass_fields__ if key != "target"}
    return Row(**fields, target=None if target is None else Target(**target))
