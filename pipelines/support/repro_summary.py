"""What a person wants to see at the end: who won, what it is called, how long it took, what to do next."""

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from experiments.config.offline import Params
from experiments.tracking.registry import find_version
from pipelines.commands.leaderboard import leaderboard_table
from pipelines.support.console import screen
from pipelines.support.paths import CHOICE, EVALUATION, PACKAGED, REGISTERED, TIMINGS
from pipelines.support.stage_runner import read_json

STAGES = tuple(
    "fetch ingest validate split search measure select fit evaluate export register package record".split()  # noqa: SIM905
)


def print_summary(params: Params, started: float) -> None:
    """Print the leaderboard, the registered version, the Bento, the stages' times and what comes next."""
    console = screen()
    choice = read_json(CHOICE)
    console.print()
    console.print(leaderboard_table(params, best_of_each=True))
    console.print(f"[bold]Chosen[/]  {choice['reason']}")
    console.print(_outcome())
    console.print(_times(read_json(TIMINGS), started))
    console.print(_next_steps(read_json(PACKAGED)["user"]))


def _outcome() -> str:
    """Test error, registered version and Bento, a line each."""
    winner = read_json(EVALUATION)["winner"]
    registered = read_json(REGISTERED)
    version = find_version(registered["model"], registered["digest"])
    where = (
        f"{version.name} version {version.version} ({', '.join(sorted(version.aliases))})"
        if version
        else "none"
    )
    return (
        f"[bold]Test[/]    RMSE {winner['rmse']:.4f}, MAE {winner['mae']:.4f} on ratings that no search saw\n"
        f"[bold]Version[/] {where}\n"
        f"[bold]Bento[/]   {read_json(PACKAGED)['tag']}"
    )


def _times(timings: Mapping[str, Any], started: float) -> str:
    """Wall time of each stage; one that was up to date says so."""
    parts = []
    for stage in STAGES:
        timing = timings.get(stage)
        ran = timing is not None and timing["ended"] >= started
        parts.append(f"{stage} {timing['seconds']:.1f}" if timing and ran else f"[dim]{stage} up to date[/]")
    total = time.time() - started
    return f"[bold]Seconds[/] {' · '.join(parts)} · [bold]in all {total:.0f}[/]"


def _next_steps(user: str) -> str:
    """The three commands that come next."""
    return "\n".join(
        (
            "[bold]Next[/]    [cyan]make ui[/]      compare the runs in the MLflow UI",
            f"        [cyan]make serve[/]   then: curl localhost:3000/recommend/{quote(user, safe='')}",
            "        [cyan]. .venv/bin/activate && dvc exp run -S data.source=ml-100k[/]   another data set",
        )
    )
