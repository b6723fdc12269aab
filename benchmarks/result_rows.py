"""Rows of benchmark results: Marquee's value, that of the peer, and their ratio."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from marquee.files.atomic_write import write_atomically


@dataclass(frozen=True)
class ResultRow:
    """Measured value of Marquee, and that of a peer if there is one."""

    what: str
    ours: float
    peer: float | None = field(default=None, kw_only=True)
    ratio: float | None = field(default=None, kw_only=True)  # above 1: Marquee is better
    unit: str
    n: int  # runs, requests or ratings that were measured
    note: str = ""


def format_row(row: ResultRow) -> str:
    """Return a row as one line of text."""
    peer = "" if row.peer is None else f" against {row.peer:.4g} {row.unit}"
    ratio = "" if row.ratio is None else f": {row.ratio:.1f}x"
    note = f" ({row.note})" if row.note else ""
    return f"{row.what}: {row.ours:.4g} {row.unit}{peer}{ratio}{note}"


def format_check_mark(is_reached: bool) -> str:
    """Return the mark that shows whether a target is reached."""
    return "✓" if is_reached else "✗"


def write_rows(rows: Iterable[Mapping[str, object]], path: Path) -> None:
    """Write rows as a JSON list; create the folder if necessary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(list(rows), indent=2, ensure_ascii=False) + "\n")
