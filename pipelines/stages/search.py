"""Score every candidate by cross-validation on the training part, and remember each trial."""

from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from experiments.config.offline import Params
from experiments.search.run import Asking, forget_search, run_search
from experiments.search.space import check_candidates
from experiments.search.storage import check_storage
from experiments.search.trials import Trial, ranked, to_record
from experiments.search.worker_pool import prepare
from marquee.files.atomic_write import write_json
from pipelines.support.console import screen
from pipelines.support.paths import COSTS, SEARCH
from pipelines.support.provenance import code_tags, data_version, search_key
from pipelines.support.search_spec import asking
from pipelines.support.stage_results import note_costs
from pipelines.support.stage_runner import run

if TYPE_CHECKING:  # every worker imports this module, and needs none
    from experiments.tracking.runs import Tracker


def search(params: Params) -> None:
    """Write results/search.json, and a parent run with one child a trial."""
    check_storage(params.search.storage)
    prepare(params.search.candidates)  # their imports and ours, MLflow's, go on side by side
    check_candidates(params.search)
    tracker = _tracker(params)
    parent = _start(tracker, params)
    try:
        asked = asking(params)
        trials = _run(asked)
        tracker.log_trials(
            parent, trials, code_tags(), runs=params.search.logged_trials, metric=params.search.metric
        )
    except BaseException as error:
        tracker.fail(parent, f"{type(error).__name__}: {error}")
        raise
    write_json(SEARCH, _record(params, trials))
    note_costs(COSTS, {trial.number: trial.cost for trial in trials})
    _summarise(tracker, parent, params, trials)
    forget_search(asked)


def _tracker(params: Params) -> "Tracker":
    from experiments.tracking.runs import Tracker

    return Tracker(params.search.experiment)


def _start(tracker: "Tracker", params: Params) -> str:
    data = data_version()
    name = f"{data.source} {params.search.sampler} search"
    settings = {
        "seed": params.seed,
        "folds": params.split.folds,
        "test_share": params.split.test_share,
        "split": params.split.strategy,
        "sampler": params.search.sampler,
        "candidates": ", ".join(params.search.candidates),
    }
    return tracker.start_search(name, data, settings, code_tags())


def _run(asking: Asking) -> list[Trial]:
    """The search itself, with a bar that moves by the training and a line for each finished trial."""
    metric, best = asking.metric, float("inf")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen(), transient=True) as progress:
        bar = progress.add_task("search")

        def on_training(trials: list[Trial], done: int, known: int) -> None:
            nonlocal best
            best = min([best, *(trial.mean(metric) for trial in trials if trial.folds)])
            progress.update(
                bar, description=f"search, best {metric.upper()} {best:.4f}", completed=done, total=known
            )
            for trial in trials:
                progress.print(_line(trial, metric))

        return run_search(asking, on_training)


def _line(trial: Trial, metric: str) -> str:
    if trial.failure is not None:
        return f"  [red]failed[/] {trial.label}: {trial.failure}"
    if trial.pruned is not None:
        return f"  [dim]pruned  {trial.label}: {trial.pruned}[/]"
    seconds = f"{trial.cost.fit_seconds:7.2f} s" if trial.cost else ""
    error = f"{trial.mean(metric):.4f} ± {trial.spread(metric):.4f}"
    return f"  {error} {seconds}  {trial.title} [dim]{trial.settings}[/]"


def _record(params: Params, trials: list[Trial]) -> dict[str, object]:
    return {
        "data_digest": data_version().digest,
        "folds": params.split.folds,
        "seed": params.seed,
        "trials": [to_record(trial) for trial in trials],
    }


def _summarise(tracker: "Tracker", parent: str, params: Params, trials: list[Trial]) -> None:
    """Give the parent the figures of its best trial: the UI's compare page shows parents."""
    best, *_ = ranked(trials, params.search.metric)
    failed = sum(trial.failure is not None for trial in trials)
    pruned = sum(trial.pruned is not None for trial in trials)
    counts = {"n_trials": float(len(trials)), "n_failed": float(failed), "n_pruned": float(pruned)}
    tracker.log(parent, metrics={**best.metrics(), **counts}, tags={"best": best.label})
    tracker.log_file(parent, SEARCH)
    tracker.end_search(parent, search_key())


if __name__ == "__main__":
    run(search, "search")
