"""`marquee canary shadow`: what a challenger would have answered to requests that were recorded."""

from collections import deque
from pathlib import Path

from rich.table import Table

from experiments.config.offline import Params
from marquee.errors import MarqueeError
from marquee.events import Exposure
from pipelines.support.arms import arm_of, champion_and_candidate
from pipelines.support.console import screen
from service.recommendation.loaded_model import load
from service.recommendation.recommender import RUNGS
from service.recommendation.shadow_replay import Comparison, compare
from service.telemetry.reader import read_events


def shadow(params: Params, to: int | None, events: Path, requests: int) -> None:
    """Compare them on the last requests, and print how.

    Raises:
        MarqueeError: there is no such version, or nothing was recorded.
    """
    now, target = champion_and_candidate(params.register_.model, to)
    recorded = deque((e for e in read_events(events) if isinstance(e, Exposure) and e.user), maxlen=requests)
    if not recorded:
        raise MarqueeError(
            f"{events} holds no recorded request of a user: serve some first, or name --events"
        )
    models = (load(Path(arm_of(params, version).bento) / "src" / "model") for version in (now, target))
    found = compare(recorded, *models)
    screen().print(_table(found, now.version, target.version))
    console = screen()
    console.print(
        f"The lists agree by {found.overlap:.3f} (rank-biased overlap, mean of {found.requests:,} requests); "
        f"{found.disjoint:.1%} have nothing in common."
    )


def _table(found: Comparison, champion_version: int, challenger_version: int) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column(f"champion, version {champion_version}", justify="right")
    table.add_column(f"challenger, version {challenger_version}", justify="right")
    both = (found.champion, found.challenger)
    table.add_row("catalogue in any list", *(f"{each.coverage:.1%}" for each in both))
    table.add_row("p50, p99 of an answer, µs", *(f"{each.p50_us:.1f}, {each.p99_us:.1f}" for each in both))
    table.add_row("answers shorter than they were", *(f"{each.short:,}" for each in both))
    for rung in RUNGS:
        if any(each.rungs.get(rung) for each in both):
            shares = (each.rungs.get(rung, 0) / max(found.requests, 1) for each in both)
            table.add_row(f"on rung {rung}", *(f"{share:.1%}" for share in shares))
    return table
