"""Row of the tables: one statistic over several seeds, and its value on real data."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

StatisticsByName: TypeAlias = dict[str, float]


@dataclass(frozen=True)
class StatisticRow:
    """One statistic of the synthetic ratings, over several seeds, and of ML-100K."""

    what: str
    ours: float  # mean over the seeds
    spread: float  # standard deviation over the seeds
    peer: float | None = field(default=None, kw_only=True)
    ratio: float | None = field(default=None, kw_only=True)  # ours / peer
    unit: str
    n: int  # ratings in each synthetic data set


def summarize(
    what: str, values: Sequence[float], n: int, peer: float | None = None, unit: str = "1"
) -> StatisticRow:
    """Return the row of a statistic with one value for each seed."""
    mean = float(np.mean(values))
    ratio = mean / peer if peer else None
    return StatisticRow(what, mean, float(np.std(values)), unit, n, peer=peer, ratio=ratio)


def format_row(row: StatisticRow) -> str:
    """Return a row as one line of text."""
    peer = "-" if row.peer is None else f"{row.peer:.4f}"
    return f"{row.n:>11,}  {row.what:<75} {row.ours:12.4f} ± {row.spread:.4f}  {peer:>8} {row.unit}"
