"""Score every candidate by cross-validation on the training part, and remember each trial."""

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from experiments.config import Params
from experiments.crossval import FoldSource, Task
from experiments.search import check_candidates, plan, run_search
from experiments.tracking import Tracker
from experiments.trials import Trial, ranked, to_record
from pipelines.paths import FOLDS, SEARCH, TRAIN
from pipelines.provenance import code_tags, data_version, rating_scale, search_key
from pipelines.screen import screen
from pipelines.stage import run, write_json


def search(params: Params) -> None:
    """Write results/search.json, and a parent run with one child a trial."""
    check_candidates(params.search)
    tracker = Tracker(params.search.experiment)
    parent = _start(tracker, params)
    try:
        trials = _run(tracker, parent, params)
    except BaseException as error:
        tracker.fail(parent, f"{type(error).__name__}: {error}")
        raise
    write_json(SEARCH, _record(params, trials))
    _summarise(tracker, parent, params, trials)


def _start(tracker: Tracker, params: Params) -> str:
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


def _run(tracker: Tracker, parent: str, params: Params) -> list[Trial]:
    """The search itself, with a bar that moves by the fold and a line for each finished trial."""
    source = FoldSource(TRAIN, FOLDS, params.split.folds, rating_scale())
    n_tasks = len(plan(params.search, params.seed)) * params.split.folds
    metric, best = params.select.metric, float("inf")
    console = screen()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("search", total=n_tasks)

        def on_fold(_: Task) -> None:
            progress.advance(bar)

        def on_trial(trial: Trial) -> None:
            nonlocal best
            tracker.log_trial(parent, trial, code_tags())
            if trial.failure is None:
                best = min(best, trial.mean(metric))
            progress.update(bar, description=f"search, best {metric.upper()} {best:.4f}")
            progress.print(_line(trial, metric))

        return run_search(
            params.search, source, params.seed, metric=metric, on_fold=on_fold, on_trial=on_trial
        )


def _line(trial: Trial, metric: str) -> str:
    if trial.failure is not None:
        return f"  [red]failed[/] {trial.label}: {trial.failure}"
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


def _summarise(tracker: Tracker, parent: str, params: Params, trials: list[Trial]) -> None:
    """Give the parent the figures of its best trial: the UI's compare page shows parents."""
    best, *_ = ranked(trials, params.select.metric)
    failed = sum(trial.failure is not None for trial in trials)
    counts = {"n_trials": float(len(trials)), "n_failed": float(failed)}
    tracker.log(parent, metrics={**best.metrics(), **counts}, tags={"best": best.label})
    tracker.log_file(parent, SEARCH)
    tracker.end_search(parent, search_key())


if __name__ == "__main__":
    run(search, "search")
