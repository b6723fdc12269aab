"""What a person wants to see at the end: who won, what it is called, how long it took, what to do next."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table

from experiments.config import Params
from experiments.registry import find_version
from experiments.tracking import Tracker
from experiments.trials import MEGABYTE, Trial, from_record, ranked
from pipelines.paths import CHOICE, EVALUATION, PACKAGED, REGISTERED, SEARCH, TIMINGS
from pipelines.provenance import data_version, search_run
from pipelines.stage import read_json

STAGES = tuple(
    "fetch ingest validate split search select fit evaluate export register package".split()  # noqa: SIM905
)


def print_summary(params: Params, started: float) -> None:
    """Print the leaderboard, the registered version, the Bento, the stages' times and what comes next."""
    console = Console(highlight=False)
    choice = read_json(CHOICE)
    console.print()
    console.print(_leaderboard(_trials(params), read_json(SEARCH)["metric"], choice))
    console.print(f"[bold]Chosen[/]  {choice['reason']}.")
    console.print(_outcome())
    console.print(_times(read_json(TIMINGS), started))
    console.print(_next_steps())


def _trials(params: Params) -> list[Trial]:
    tracker = Tracker(params.search.experiment)
    costs = tracker.costs(search_run(tracker))
    return [from_record(record, costs.get(record["number"])) for record in read_json(SEARCH)["trials"]]


def _leaderboard(trials: list[Trial], metric: str, choice: Mapping[str, Any]) -> Table:
    """Finished trials best first, failed ones last with their reason."""
    table = Table(title=f"Leaderboard: cross-validation on {data_version().source}", title_justify="left")
    for column in ("", "candidate", "RMSE", "±", "MAE", "fit s", "predict s", "MB"):
        table.add_column(column, justify="left" if column in {"", "candidate"} else "right")
    for place, trial in enumerate(ranked(trials, metric), start=1):
        chosen = trial.number == choice["trial"]
        table.add_row(
            f"{place}{' ◀' if chosen else ''}", *_figures(trial), style="bold green" if chosen else None
        )
    for trial in trials:
        if trial.failure is not None:
            table.add_row("-", f"{trial.label}: {trial.failure}", *[""] * 6, style="red")
    return table


def _figures(trial: Trial) -> tuple[str, ...]:
    cost = (
        (f"{trial.cost.fit_seconds:.2f}", f"{trial.cost.predict_seconds:.2f}") if trial.cost else ("?", "?")
    )
    errors = (f"{trial.mean('rmse'):.4f}", f"{trial.spread('rmse'):.4f}", f"{trial.mean('mae'):.4f}")
    return (trial.label, *errors, *cost, f"{trial.model_bytes / MEGABYTE:.1f}")


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
    total = sum(t["seconds"] for t in timings.values() if t["ended"] >= started)
    return f"[bold]Seconds[/] {' · '.join(parts)} · [bold]total {total:.1f}[/]"


def _next_steps() -> RenderableType:
    table = Table.grid(padding=(0, 3))
    table.add_row("[bold]make ui[/]", "compare the runs in the MLflow UI")
    table.add_row("[bold]make serve[/]", "serve the Bento; then: curl localhost:3000/recommend/1")
    table.add_row(
        "[bold]source .venv/bin/activate; dvc exp run -S data.source=ml-100k[/]",
        "try another data set, or your own: data.source=file",
    )
    return Panel(Group(table), title="Next", title_align="left", expand=False)
