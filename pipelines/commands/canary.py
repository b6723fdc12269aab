"""`marquee canary status`, `watch` and `history`, and the commands with which an operator controls a rollout.

Operator commands are journal entries; the controller acts on them within a second. No command here needs
MLflow.
"""

import time
from collections.abc import Container, Iterator
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from marquee.errors import MarqueeError
from marquee.rollout.arms import CANARY
from marquee.rollout.state import OperatorCommand, Rollout, RolloutOutcome
from pipelines.rollout.journal import Journal, find_active_journal, list_journals
from pipelines.rollout.params_conversion import parse_canary_params
from pipelines.rollout.status_file import IntervalStatus, RolloutStatus, read_status
from pipelines.support.console import create_console
from pipelines.support.paths import STACK_FOLDER
from service.stack.stack_config import read_arms

SECONDS_PER_MINUTE, SECONDS_PER_HOUR = 60, 3600
REFRESH_INTERVAL_S = 0.5
MAX_STATUS_AGE_S = 5.0  # the controller writes the status twice a second; an older one is marked
LABELS = {  # of metrics, in display order
    "errors": "errors",
    "slow": "slow responses",
    "below_personal": "not personalized",
    "empty": "empty lists",
    "popularity": "popularity of items",
    "overlap": "overlap of lists",
}
OUTCOME_STYLES = {RolloutOutcome.PROMOTED: "green", RolloutOutcome.ROLLED_BACK: "red"}


def send_operator_command(command: OperatorCommand) -> None:
    """Send a command to the controller by writing it to the journal.

    Raises:
        MarqueeError: no rollout is running, or its outcome has already been decided.
    """
    journal = find_active_journal(STACK_FOLDER.resolve())
    if journal is None:
        raise MarqueeError("no rollout is running; see earlier ones with `marquee canary history`")
    rollout = journal.read_rollout()
    if rollout.outcome is not None:
        raise MarqueeError(f"{rollout.name} is already being {rollout.outcome}")
    journal.append("operator_command", command=command)
    create_console().print(f"Command sent to {rollout.name}: {command}")


def print_rollout_status(*, watch: bool) -> None:
    """Print the status of the last rollout, once or until it ends.

    Raises:
        MarqueeError: there has been no rollout, or its journal cannot be read.
    """
    journals = list_journals(STACK_FOLDER.resolve())
    if not journals:
        raise MarqueeError("there has been no rollout yet; start one with `marquee canary start`")
    journal, console = journals[-1], create_console()
    if not watch:
        console.print(_build_status_page(journal))
        return
    with Live(_build_status_page(journal), console=console, refresh_per_second=4) as live:
        while journal.read_rollout().is_running:
            time.sleep(REFRESH_INTERVAL_S)
            live.update(_build_status_page(journal))


def print_rollout_history() -> None:
    """Print all rollouts, newest first, and an error for each journal that cannot be read."""
    table = Table(box=None, pad_edge=False)
    for column in ("started (UTC)", "versions", "outcome", "duration"):
        table.add_column(column, no_wrap=True)
    table.add_column("reason")
    errors = []
    for journal in reversed(list_journals(STACK_FOLDER.resolve())):
        try:
            table.add_row(*_format_history_row(journal.read_rollout()))
        except MarqueeError as error:
            errors.append(str(error))
    console = create_console()
    console.print(table)
    for message in errors:
        console.print(Text(f"\n{message}", "red"))


def _format_history_row(rollout: Rollout) -> Iterator[RenderableType]:
    yield f"{datetime.fromtimestamp(rollout.started_at, UTC):%Y-%m-%d %H:%M}"
    yield f"{rollout.champion} → {rollout.challenger}"
    yield Text("running", "yellow") if rollout.outcome is None else _format_outcome(rollout.outcome)
    ended_at = rollout.finished_at or rollout.concluded_at
    yield "" if ended_at is None else _format_duration(ended_at - rollout.started_at)
    yield Text(rollout.message)


def _build_status_page(journal: Journal) -> RenderableType:
    rollout = journal.read_rollout()
    status = read_status(STACK_FOLDER.resolve(), rollout.name)
    parts: list[RenderableType] = [_build_summary(rollout, status)]
    if status is not None:
        stable, canary = status.quality_users
        quality_users = Text(f"Quality is based on {canary:,} canary and {stable:,} stable users.", "dim")
        parts += ["", _build_user_table(status), "", _build_difference_table(status, rollout), quality_users]
    return Group(*parts)


def _build_summary(rollout: Rollout, status: RolloutStatus | None) -> Table:
    """Return name, versions, allocation and decision of a rollout."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column()
    grid.add_row("rollout", Text(rollout.name, "bold"))
    grid.add_row("versions", f"champion {rollout.champion}, challenger {rollout.challenger}")
    grid.add_row("allocation", _format_allocations(rollout))
    if rollout.outcome is not None:
        grid.add_row("outcome", _format_conclusion(rollout, rollout.outcome))
    elif status is not None:
        grid.add_row("step", _format_step(status, n_steps=len(_parse_step_allocations(rollout))))
        grid.add_row("decision", _format_decision(status))
    else:
        has_canary = CANARY in read_arms(STACK_FOLDER.resolve())
        grid.add_row("state", "waiting for the canary's replicas" if has_canary else "starting")
    return grid


def _parse_step_allocations(rollout: Rollout) -> tuple[float, ...]:
    return parse_canary_params(rollout.params).steps


def _format_allocations(rollout: Rollout) -> Text:
    """Format the allocations of all steps: earlier ones green, the current one inverted, later ones dim."""
    text = Text()
    for step, allocation in enumerate(_parse_step_allocations(rollout)):
        if step < rollout.step:
            style = "green"
        elif step == rollout.step:
            style = "bold reverse"
        else:
            style = "dim"
        text.append(f" {100 * allocation:g}% ", style)
    text.append("  of users", "dim")
    if rollout.is_paused:
        text.append("  paused", "bold yellow")
    return text


def _format_step(status: RolloutStatus, n_steps: int) -> str:
    return (
        f"{status.step + 1} of {n_steps}, running for {_format_duration(status.step_seconds)} "
        f"({_format_duration(status.rollout_seconds)} in all), {status.step_users:,} canary users"
    )


def _format_decision(status: RolloutStatus) -> Text:
    text = Text.assemble((status.action, "bold"), f": {status.message}")
    age = time.time() - status.time
    if age > MAX_STATUS_AGE_S:
        text.append(f"\nThe controller has not reported for {_format_duration(age)}.", "red")
    return text


def _format_conclusion(rollout: Rollout, outcome: RolloutOutcome) -> Text:
    state = "" if rollout.finished_at else " (in progress)"
    return Text.assemble(_format_outcome(outcome), f"{state}: {rollout.message}")


def _build_user_table(status: RolloutStatus) -> Table:
    """Return the affected users of each guardrail metric and, for the sample-ratio mismatch, all users."""
    table = Table(box=None, pad_edge=False)
    table.add_column("affected users", no_wrap=True)
    for column in ("canary", "both arms", "p-value", "alarm"):
        table.add_column(column, justify="right", no_wrap=True)
    rows = {
        LABELS[name]: status.guardrail_metrics[name] for name in _sort_for_display(status.guardrail_metrics)
    }
    rows["all users (sample-ratio mismatch)"] = status.sample_ratio_mismatch
    for label, metric in rows.items():
        p_value = "unknown" if metric.p is None else f"{metric.p:.3g}"
        alarm = _format_alarm(is_alarm=metric.is_alarm)
        table.add_row(label, f"{metric.canary:,}", f"{metric.total:,}", p_value, alarm)
    return table


def _build_difference_table(status: RolloutStatus, rollout: Rollout) -> Table:
    """Return the differences in list metrics and quality, with their intervals."""
    table = Table(box=None, pad_edge=False)
    table.add_column("canary minus stable", no_wrap=True)
    for column in ("difference", "confidence interval", "alarm"):
        table.add_column(column, justify="right", no_wrap=True)
    for name in _sort_for_display(status.list_metrics):
        metric = status.list_metrics[name]
        alarm = _format_alarm(is_alarm=metric.is_alarm)
        table.add_row(LABELS[name], *_format_interval(metric.difference), alarm)
    objective = parse_canary_params(rollout.params).objective
    table.add_row(f"quality ({objective})", *_format_interval(status.quality), "")
    return table


def _sort_for_display(names: Container[str]) -> Iterator[str]:
    return (name for name in LABELS if name in names)


def _format_interval(interval: IntervalStatus) -> tuple[str, str]:
    """Format the estimate and the bounds."""
    estimate = "unknown" if interval.estimate is None else f"{interval.estimate:+.4f}"
    if interval.low is None or interval.high is None:
        return estimate, "unknown"
    return estimate, f"{interval.low:+.4f} to {interval.high:+.4f}"


def _format_alarm(*, is_alarm: bool) -> Text:
    return Text("ALARM", "bold red") if is_alarm else Text("no", "green")


def _format_outcome(outcome: RolloutOutcome) -> Text:
    return Text(outcome, OUTCOME_STYLES[outcome])


def _format_duration(seconds: float) -> str:
    if seconds < 2 * SECONDS_PER_MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * SECONDS_PER_HOUR:
        return f"{seconds / SECONDS_PER_MINUTE:.0f} min"
    return f"{seconds / SECONDS_PER_HOUR:.1f} h"
