"""`marquee canary status`, `watch` and `history`, and the operator's commands to a rollout.

Commands are entries of the journal, on which the controller acts within a second. Nothing here needs MLflow.
"""

import time
from collections.abc import Container, Iterator
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from marquee.errors import MarqueeError
from marquee.rollout.state import OperatorCommand, Rollout, RolloutOutcome
from pipelines.rollout.journal import Journal, find_active_journal, list_journals
from pipelines.rollout.policy_config import parse_canary_params
from pipelines.rollout.status import IntervalStatus, RolloutStatus, read_status
from pipelines.support.console import get_console
from pipelines.support.paths import STACK_FOLDER
from service.stack.stack_config import CANARY, read_arms

REFRESH_INTERVAL_S = 0.5
MAX_STATUS_AGE_S = 5.0  # an older status is marked: the controller writes it twice a second
LABELS = {  # of metrics, in the order of display
    "errors": "errors",
    "slow": "slow responses",
    "below_personal": "not personalized",
    "empty": "empty lists",
    "popularity": "popularity of items",
    "overlap": "overlap of lists",
}
OUTCOME_STYLES = {RolloutOutcome.PROMOTED: "green", RolloutOutcome.ROLLED_BACK: "red"}


def send_command(command: OperatorCommand) -> None:
    """Send a command to the controller by writing it to the journal.

    Raises:
        MarqueeError: no rollout is running, or its outcome is decided already.
    """
    journal = find_active_journal(STACK_FOLDER.resolve())
    if journal is None:
        raise MarqueeError("no rollout is running; see earlier ones with `marquee canary history`")
    rollout = journal.read_rollout()
    if rollout.outcome is not None:
        raise MarqueeError(f"{rollout.name} is already being {rollout.outcome}")
    journal.append("operator_command", command=command)
    get_console().print(f"Command sent to {rollout.name}: {command}")


def print_status(*, watch: bool) -> None:
    """Print the status of the last rollout, once or until it ends.

    Raises:
        MarqueeError: there was no rollout, or its journal cannot be read.
    """
    journals = list_journals(STACK_FOLDER.resolve())
    if not journals:
        raise MarqueeError("there was no rollout yet; start one with `marquee canary start`")
    journal, console = journals[-1], get_console()
    if not watch:
        console.print(_status_page(journal))
        return
    with Live(_status_page(journal), console=console, refresh_per_second=4) as live:
        while journal.read_rollout().is_running:
            time.sleep(REFRESH_INTERVAL_S)
            live.update(_status_page(journal))


def print_history() -> None:
    """Print all rollouts, newest first, and the errors of journals that cannot be read."""
    table = Table(box=None, pad_edge=False)
    for column in ("started (UTC)", "versions", "outcome", "duration"):
        table.add_column(column, no_wrap=True)
    table.add_column("reason")
    errors = []
    for journal in reversed(list_journals(STACK_FOLDER.resolve())):
        try:
            table.add_row(*_history_cells(journal.read_rollout()))
        except MarqueeError as error:
            errors.append(str(error))
    console = get_console()
    console.print(table)
    for message in errors:
        console.print(Text(f"\n{message}", "red"))


def _history_cells(rollout: Rollout) -> Iterator[RenderableType]:
    yield f"{datetime.fromtimestamp(rollout.started_at, UTC):%Y-%m-%d %H:%M}"
    yield f"{rollout.champion} → {rollout.challenger}"
    yield Text("running", "yellow") if rollout.outcome is None else _outcome_text(rollout.outcome)
    ended_at = rollout.finished_at or rollout.concluded_at
    yield "" if ended_at is None else _format_duration(ended_at - rollout.started_at)
    yield Text(rollout.message)


def _status_page(journal: Journal) -> RenderableType:
    rollout = journal.read_rollout()
    status = read_status(STACK_FOLDER.resolve(), rollout.name)
    parts: list[RenderableType] = [_summary(rollout, status)]
    if status is not None:
        stable, canary = status.quality_users
        quality_users = Text(f"Quality is that of {canary:,} canary and {stable:,} stable users.", "dim")
        parts += ["", _user_table(status), "", _difference_table(status, rollout), quality_users]
    return Group(*parts)


def _summary(rollout: Rollout, status: RolloutStatus | None) -> Table:
    """Return name, versions, allocation and decision of a rollout."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column()
    grid.add_row("rollout", Text(rollout.name, "bold"))
    grid.add_row("versions", f"champion {rollout.champion}, challenger {rollout.challenger}")
    grid.add_row("allocation", _allocation_text(rollout))
    if rollout.outcome is not None:
        grid.add_row("outcome", _conclusion_text(rollout, rollout.outcome))
    elif status is not None:
        grid.add_row("step", _step_text(status, n_steps=len(_allocations(rollout))))
        grid.add_row("decision", _decision_text(status))
    else:
        has_canary = CANARY in read_arms(STACK_FOLDER.resolve())
        grid.add_row("state", "waiting for the canary's replicas" if has_canary else "starting")
    return grid


def _allocations(rollout: Rollout) -> tuple[float, ...]:
    return parse_canary_params(rollout.params).steps


def _allocation_text(rollout: Rollout) -> Text:
    """Return the allocations of all steps: earlier ones green, the present one inverted, later ones dim."""
    text = Text()
    for step, allocation in enumerate(_allocations(rollout)):
        style = "green" if step < rollout.step else "bold reverse" if step == rollout.step else "dim"
        text.append(f" {100 * allocation:g}% ", style)
    text.append("  of users", "dim")
    if rollout.is_paused:
        text.append("  paused", "bold yellow")
    return text


def _step_text(status: RolloutStatus, n_steps: int) -> str:
    return (
        f"{status.step + 1} of {n_steps}, running for {_format_duration(status.step_seconds)} "
        f"({_format_duration(status.rollout_seconds)} in all), {status.step_users:,} canary users"
    )


def _decision_text(status: RolloutStatus) -> Text:
    text = Text.assemble((status.action, "bold"), f": {status.message}")
    age = time.time() - status.time
    if age > MAX_STATUS_AGE_S:
        text.append(f"\nThe controller has not reported for {_format_duration(age)}.", "red")
    return text


def _conclusion_text(rollout: Rollout, outcome: RolloutOutcome) -> Text:
    state = "" if rollout.finished_at else " (in progress)"
    return Text.assemble(_outcome_text(outcome), f"{state}: {rollout.message}")


def _user_table(status: RolloutStatus) -> Table:
    """Return the users affected by each guardrail metric and, for the sample-ratio mismatch, all users."""
    table = Table(box=None, pad_edge=False)
    table.add_column("affected users", no_wrap=True)
    for column in ("canary", "both arms", "p-value", "alarm"):
        table.add_column(column, justify="right", no_wrap=True)
    rows = {LABELS[name]: status.guardrail_metrics[name] for name in _in_order(status.guardrail_metrics)}
    rows["all users (sample-ratio mismatch)"] = status.sample_ratio_mismatch
    for label, metric in rows.items():
        p_value = "unknown" if metric.p is None else f"{metric.p:.3g}"
        alarm = _alarm_text(is_alarm=metric.is_alarm)
        table.add_row(label, f"{metric.canary:,}", f"{metric.total:,}", p_value, alarm)
    return table


def _difference_table(status: RolloutStatus, rollout: Rollout) -> Table:
    """Return list metrics and quality with their intervals."""
    table = Table(box=None, pad_edge=False)
    table.add_column("canary minus stable", no_wrap=True)
    for column in ("difference", "confidence interval", "alarm"):
        table.add_column(column, justify="right", no_wrap=True)
    for name in _in_order(status.list_metrics):
        metric = status.list_metrics[name]
        alarm = _alarm_text(is_alarm=metric.is_alarm)
        table.add_row(LABELS[name], *_interval_cells(metric.difference), alarm)
    objective = parse_canary_params(rollout.params).objective
    table.add_row(f"quality ({objective})", *_interval_cells(status.quality), "")
    return table


def _in_order(names: Container[str]) -> Iterator[str]:
    return (name for name in LABELS if name in names)


def _interval_cells(interval: IntervalStatus) -> tuple[str, str]:
    """Format the estimate and the bounds."""
    estimate = "unknown" if interval.estimate is None else f"{interval.estimate:+.4f}"
    if interval.low is None or interval.high is None:
        return estimate, "unknown"
    return estimate, f"{interval.low:+.4f} to {interval.high:+.4f}"


def _alarm_text(*, is_alarm: bool) -> Text:
    return Text("ALARM", "bold red") if is_alarm else Text("no", "green")


def _outcome_text(outcome: RolloutOutcome) -> Text:
    return Text(outcome, OUTCOME_STYLES[outcome])


def _format_duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
