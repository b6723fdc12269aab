"""Seal the events of all replicas: once, or again and again beside them."""

import math
import time
from pathlib import Path

from marquee.errors import SealingError
from pipelines.rollout.journal import active
from pipelines.support.console import screen
from pipelines.support.paths import RUN
from service.telemetry.archive import Sink, seal


def seal_events(folder: Path, url: str, *, every: float | None, keep_days: int | None) -> None:
    """Seal what is closed. With `every`, go on until interrupted, also where the sink fails for a time."""
    sink = Sink(url)
    while True:
        try:
            done = seal(folder, sink, keep_days=keep_days, before=_needed_from())
        except SealingError as error:
            if every is None:
                raise
            screen().print(f"[red]{error}[/red]; again in {every:g} s")
        else:
            expired = f", {done.expired} files expired" if done.expired else ""
            aside = f", {done.set_aside} lines set aside" if done.set_aside else ""
            screen().print(
                f"{done.events} events of {done.segments} segments sealed in {url}{aside}{expired}"
            )
        if every is None:
            return
        time.sleep(every)


def _needed_from() -> float:
    """When the rollout that runs began: its controller, once restarted, reads events again from there on."""
    journal = active(RUN.resolve())
    return math.inf if journal is None else journal.rollout().began
