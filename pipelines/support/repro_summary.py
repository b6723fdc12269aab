"""Summary at the end of `marquee repro`: leaderboard, choice, version, Bento, times and next commands."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from experiments.config import Params
from experiments.tracking.model_registry import ModelVersion, find_version
from pipelines.support.console import create_console
from pipelines.support.dvc import read_stage_names
from pipelines.support.json_reader import read_json
from pipelines.support.paths import EVALUATION, LAST_BENTO, REGISTERED_MODEL, SELECTION, TIMINGS
from pipelines.support.trial_leaderboard import build_trial_leaderboard

LABEL_WIDTH = 7  # characters


def print_summary(params: Params, started: float) -> None:
    """Print the results of the pipeline run that started at the given Unix time."""
    console = create_console()
    bento, registered = read_json(LAST_BENTO), read_json(REGISTERED_MODEL)
    facts: dict[str, RenderableType] = {
        "Chosen": Text(_format_reasons(read_json(SELECTION))),
        "Test": _format_test_scores(read_json(EVALUATION)),
        "Version": _format_version(find_version(registered["model"], registered["digest"])),
        "Bento": bento["tag"],
        "Time": _format_times(read_stage_names(), read_json(TIMINGS), started, time.time()),
        "Next": _format_commands(bento["user"]),
    }
    console.print()
    console.print(build_trial_leaderboard(params, width=console.width, best_only=True))
    for label, value in facts.items():
        console.print(_build_row(label, value))


def _build_row(label: str, value: RenderableType) -> Table:
    """Return a row with a label, and the value wrapping in a column of its own."""
    row = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    row.add_column(style="bold", no_wrap=True, width=LABEL_WIDTH)
    row.add_column(overflow="fold")
    row.add_row(label, value)
    return row


def _format_reasons(selection: Mapping[str, Any]) -> str:
    roles = ("recommender", "predictor")
    return "\n".join(dict.fromkeys(selection[role]["reason"] for role in roles if selection[role]))


def _format_test_scores(evaluation: Mapping[str, Any]) -> str:
    """Format the test-set scores of the lists and of the predicted ratings, as far as they are defined."""
    scores, parts = evaluation["scores"], []
    recommender = scores["recommender"]
    if "ndcg" in recommender:
        parts.append(f"NDCG@{evaluation['test_set']['n']} {recommender['ndcg']:.4f}")
    if "ndcg_low" in recommender:
        parts[-1] += f" (95% CI {recommender['ndcg_low']:.4f} to {recommender['ndcg_high']:.4f})"
    if "popularity_ratio" in recommender:
        parts.append(f"{recommender['popularity_ratio']:.2f} times that of popularity")
    if "predictor" in scores:
        parts.append(f"RMSE {scores['predictor']['rmse']:.4f}")
    return f"{', '.join(parts)} on the test set, which the search did not use"


def _format_version(version: ModelVersion | None) -> str:
    if version is None:
        return "none"
    aliases = f" ({', '.join(sorted(version.aliases))})" if version.aliases else ""
    return f"{version.name} version {version.version}{aliases}"


def _format_times(stages: Sequence[str], timings: Mapping[str, Any], started: float, now: float) -> str:
    """Format the total wall time, the time of each stage that ran, and the stages that were up to date."""
    ran = {stage for stage in stages if stage in timings and timings[stage]["ended"] >= started}
    parts = [f"[bold]{now - started:.0f} s[/]"]
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
