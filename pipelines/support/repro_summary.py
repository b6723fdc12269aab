"""Summary at the end of `marquee repro`: leaderboard, choice, version, Bento, times and next commands."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from experiments.config import Params
from experiments.tracking.model_registry import find_version
from pipelines.support.console import get_console
from pipelines.support.dvc import read_stage_names
from pipelines.support.json_files import read_json
from pipelines.support.leaderboard import build_leaderboard
from pipelines.support.paths import EVALUATION, LAST_BENTO, REGISTERED_MODEL, SELECTION, TIMINGS

LABEL_WIDTH = 7  # characters


def print_summary(params: Params, started: float) -> None:
    """Print the results of the pipeline run that started at the given Unix time."""
    console = get_console()
    bento = read_json(LAST_BENTO)
    facts: dict[str, RenderableType] = {
        "Chosen": Text(read_json(SELECTION)["reason"]),
        "Test": _format_test_errors(read_json(EVALUATION)["winner"]),
        "Version": _format_version(read_json(REGISTERED_MODEL)),
        "Bento": bento["tag"],
        "Time": _format_times(read_stage_names(), read_json(TIMINGS), started),
        "Next": _format_commands(bento["user"]),
    }
    console.print()
    console.print(build_leaderboard(params, width=console.width, best_only=True))
    for label, value in facts.items():
        console.print(_build_row(label, value))


def _build_row(label: str, value: RenderableType) -> Table:
    """Return a row with a label, and the value wrapping in a column of its own."""
    row = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    row.add_column(style="bold", no_wrap=True, width=LABEL_WIDTH)
    row.add_column(overflow="fold")
    row.add_row(label, value)
    return row


def _format_test_errors(winner: Mapping[str, Any]) -> str:
    return f"RMSE {winner['rmse']:.4f}, MAE {winner['mae']:.4f} on the test set, which the search did not use"


def _format_version(registered: Mapping[str, Any]) -> str:
    version = find_version(registered["model"], registered["digest"])
    if version is None:
        return "none"
    return f"{version.name} version {version.version} ({', '.join(sorted(version.aliases))})"


def _format_times(stages: Sequence[str], timings: Mapping[str, Any], started: float) -> str:
    """Format the total wall time, the time of each stage that ran, and the stages that were up to date."""
    ran = {stage for stage in stages if stage in timings and timings[stage]["ended"] >= started}
    parts = [f"[bold]{time.time() - started:.0f} s[/]"]
    parts += [f"{stage} {timings[stage]['seconds']:.1f}" for stage in stages if stage in ran]
    text = " · ".join(parts)
    skipped = [stage for stage in stages if stage not in ran]
    return f"{text}\n[dim]up to date: {', '.join(skipped)}[/]" if skipped else text


def _format_commands(user: str) -> Table:
    commands = Table.grid(padding=(0, 2, 0, 0))
    commands.add_column(style="cyan", no_wrap=True)
    commands.add_column()
    for command, purpose in _next_commands(quote(user, safe="")):
        commands.add_row(command, purpose)
    return commands


def _next_commands(user: str) -> Iterator[tuple[str, str]]:
    yield "make ui", "compare the runs in the MLflow UI"
    yield "make serve", f"then: curl localhost:3000/recommend/{user}"
    yield "source .venv/bin/activate", "then: dvc exp run -S data.source=ml-100k"
