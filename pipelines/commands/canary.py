"""`marquee canary ...`: what a person asks of a rollout, and sees of it.

The controller reads in the journal what is asked, and acts. Nothing here needs MLflow: an order to roll back
is given within a second.
"""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from marquee.errors import MarqueeError
from marquee.rollout.state import OperatorRequest, Outcome, Rollout
from pipelines.rollout.journal import STATUS, Journal, active, journals
from pipelines.support.console import screen
from pipelines.support.paths import RUN
from service.stack.stack_config import CANARY, read_arms


def ask(what: OperatorRequest) -> None:
    """Have the controller pause, resume, promote or roll back.

    Raises:
        MarqueeError: no rollout runs.
    """
    journal = _running()
    rollout = journal.rollout()
    if rollout.outcome is not None:
        raise MarqueeError(f"{rollout.name} was {rollout.outcome} already, and ends in a moment")
    journal.append("asked", what=what)
    screen().print(f"Asked to {what}: {rollout.name}")


def show(*, watch: bool) -> None:
    """Print how the rollout goes, or keep it up to date until it ends.

    Raises:
        MarqueeError: there never was one.
    """
    found = journals(RUN.resolve())
    if not found:
        raise MarqueeError("there was no rollout yet: `marquee canary start` begins one")
    console = screen()
    if not watch:
        console.print(page(found[-1]))
        return
    with Live(page(found[-1]), console=console, refresh_per_second=4) as live:
        while found[-1].rollout().running:
            time.sleep(0.5)
            live.update(page(found[-1]))


def history() -> None:
    """Every rollout, newest first."""
    table = Table(box=None, pad_edge=False)
    for name in ("began", "from", "to", "outcome", "took", "why"):
        table.add_column(name)
    for journal in reversed(journals(RUN.resolve())):
        rollout = journal.rollout()
        began = datetime.fromtimestamp(rollout.began, UTC).strftime("%Y-%m-%d %H:%M")
        ended = rollout.ended or rollout.concluded
        took = "" if ended is None else _span(ended - rollout.began)
        outcome = rollout.outcome or "running"
        row = (
            began,
            str(rollout.champion),
            str(rollout.challenger),
            _coloured(outcome),
            took,
            rollout.message,
        )
        table.add_row(*row)
    screen().print(table)


def _running() -> Journal:
    journal = active(RUN.resolve())
    if journal is None:
        raise MarqueeError("no rollout runs: `marquee canary history` shows those that did")
    return journal


def page(journal: Journal) -> Group:
    """How a rollout goes, for a terminal."""
    rollout = journal.rollout()
    head = Text.from_markup(
        f"[bold]{rollout.name}[/]  version {rollout.champion} is champion, {rollout.challenger} is tried"
    )
    try:
        seen = json.loads((RUN.resolve() / STATUS).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        seen = {}
    if seen.get("name") != rollout.name:
        seen = {}
    parts: list[Any] = [head, _steps(rollout)]
    if rollout.outcome is not None:
        state = "" if rollout.ended else " (being brought about)"
        parts.append(Text.from_markup(f"{_coloured(rollout.outcome)}{state}: {rollout.message}"))
    elif seen:
        age = time.time() - seen["time"]
        late = f"  [red](the controller last looked {age:.0f} s ago)[/]" if age > 5 else ""
        message = seen.get("message", seen["reason"])  # a controller before there were codes wrote one alone
        parts.append(Text.from_markup(f"[bold]{seen['action']}[/]: {message}{late}"))
    else:
        parts.append(
            Text("waiting for the canary's replicas" if CANARY in read_arms(RUN.resolve()) else "beginning")
        )
    if seen:
        parts += ["", _evidence(seen), "", _quality(seen)]
    return Group(*parts)


def _steps(rollout: Rollout) -> Text:
    shares: Sequence[float] = rollout.policy["steps"]
    line = Text("users  ")
    for number, share in enumerate(shares):
        style = "bold green" if number < rollout.step else "bold reverse" if number == rollout.step else "dim"
        line.append(f" {100 * share:g}% ", style)
        line.append(" ")
    if rollout.paused:
        line.append(" paused", "bold yellow")
    return line


def _evidence(seen: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("alarms")
    for name in ("canary's users", "of", "p, at any time", ""):
        table.add_column(name, justify="right")
    for name, found in seen["incidents"].items():
        state = "[red]ALARM[/]" if found["alarm"] else "[green]quiet[/]"
        table.add_row(
            name.replace("_", " "), f"{found['canary']:,}", f"{found['total']:,}", f"{found['p']:.3g}", state
        )
    for name, found in seen["drifts"].items():
        state = "[red]ALARM[/]" if found["alarm"] else "[green]quiet[/]"
        estimate = "unknown" if found["estimate"] is None else f"{found['estimate']:+.3f}"
        table.add_row(f"{name} of lists", estimate, "", "", state)
    return table


def _quality(seen: dict[str, Any]) -> Text:
    stable, canary = seen["quality_users"]
    quality = seen["quality"]
    known = quality["low"] is not None and quality["estimate"] is not None
    interval = (
        f"{quality['estimate']:+.4f} ({quality['low']:+.4f} to {quality['high']:+.4f})"
        if known
        else "not known yet"
    )
    return Text(f"quality, canary less stable: {interval}, of {canary:,} and {stable:,} users")


def _coloured(outcome: str) -> str:
    colours: dict[str, str] = {Outcome.PROMOTED: "green", Outcome.ROLLED_BACK: "red"}
    colour = colours.get(outcome, "yellow")
    return f"[{colour}]{outcome}[/]"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
