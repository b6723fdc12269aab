"""Search the hyperparameters of all candidates by cross-validation on the training set."""

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from experiments.config import Params
from experiments.search.run import delete_search_state, run_search
from experiments.search.specification import SearchSpec
from experiments.search.storage import check_storage_setting
from experiments.search.training_space import check_candidates
from experiments.search.trials import Trial, rank_trials, trial_to_record
from experiments.search.worker_pool import preload_worker_imports
from marquee.files.atomic_write import write_json
from pipelines.support.console import create_console
from pipelines.support.fetched_source import read_data_version
from pipelines.support.paths import SEARCH, TRIAL_COSTS
from pipelines.support.provenance import digest_search_results, get_code_tags
from pipelines.support.search_spec import build_search_spec
from pipelines.support.stage_results import save_costs
from pipelines.support.stage_runner import run_stage

if TYPE_CHECKING:  # every worker process imports this module, and must not import MLflow
    from experiments.tracking.runs import ExperimentTracker


def search(params: Params) -> None:
    """Write results/search.json, and log a run with child runs for the trials to MLflow."""
    check_storage_setting(params.search.storage)
    preload_worker_imports(params.search.candidates)  # in the background, while this process imports MLflow
    check_candidates(params.search)
    tracker = _open_tracker(params)
    run_id = _start_run(tracker, params)
    try:
        spec = build_search_spec(params)
        trials = _run_with_progress(spec)
        tracker.log_trials(
            run_id, trials, get_code_tags(), max_runs=params.search.logged_trials, metric=params.search.metric
        )
    except BaseException as error:
        tracker.fail_run(run_id, f"{type(error).__name__}: {error}")
        raise
    write_json(SEARCH, build_trials_record(params, trials))
    save_costs(TRIAL_COSTS, {trial.number: trial.cost for trial in trials})
    _finish_run(tracker, run_id, params, trials)
    delete_search_state(spec)


def _open_tracker(params: Params) -> "ExperimentTracker":
    from experiments.tracking.runs import ExperimentTracker

    return ExperimentTracker(params.search.experiment)


def _start_run(tracker: "ExperimentTracker", params: Params) -> str:
    data = read_data_version()
    name = f"{data.source} {params.search.sampler} search"
    settings = {
        "seed": params.seed,
        "folds": params.split.folds,
        "test_share": params.split.test_share,
        "split": params.split.strategy,
        "sampler": params.search.sampler,
        "candidates": ", ".join(params.search.candidates),
    }
    return tracker.start_search_run(name, data, settings, get_code_tags())


def _run_with_progress(spec: SearchSpec) -> list[Trial]:
    """Run the search with a progress bar of trainings, and print one line per finished trial."""
    metric, best = spec.metric, float("inf")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=create_console(), transient=True) as progress:
        bar = progress.add_task("search")

        def on_training(trials: list[Trial], n_finished: int, max_trainings: int) -> None:
            nonlocal best
            best = min([best, *(trial.mean(metric) for trial in trials if trial.folds)])
            description = f"search, best {metric.upper()} {best:.4f}"
            progress.update(bar, description=description, completed=n_finished, total=max_trainings)
            for trial in trials:
                progress.print(_format_trial(trial, metric))

        return run_search(spec, on_training)


def _format_trial(trial: Trial, metric: str) -> str:
    """Return a line with rich markup."""
    if trial.failure is not None:
        return f"  [red]failed[/] {escape(f'{trial.label}: {trial.failure}')}"
    if trial.pruned is not None:
        return f"  [dim]pruned  {escape(f'{trial.label}: {trial.pruned}')}[/]"
    seconds = f"{trial.cost.fit_seconds:7.2f} s" if trial.cost else ""
    error = f"{trial.mean(metric):.4f} ± {trial.std(metric):.4f}"
    return f"  {error} {seconds}  {trial.algorithm_title} [dim]{escape(trial.parameters_text)}[/]"


def build_trials_record(params: Params, trials: list[Trial]) -> dict[str, object]:
    """Return the content of results/search.json."""
    return {
        "data_digest": read_data_version().digest,
        "folds": params.split.folds,
        "seed": params.seed,
        "trials": [trial_to_record(trial) for trial in trials],
    }


def _finish_run(tracker: "ExperimentTracker", run_id: str, params: Params, trials: list[Trial]) -> None:
    """Log the metrics of the best trial to the search run, so that MLflow can compare searches."""
    best, *_ = rank_trials(trials, params.search.metric)
    failed = sum(trial.failure is not None for trial in trials)
    pruned = sum(trial.pruned is not None for trial in trials)
    counts = {"n_trials": float(len(trials)), "n_failed": float(failed), "n_pruned": float(pruned)}
    tracker.log_metrics_and_tags(run_id, metrics={**best.metrics(), **counts}, tags={"best": best.label})
    tracker.log_file(run_id, SEARCH)
    tracker.finish_search_run(run_id, digest_search_results())


if __name__ == "__main__":
    run_stage(search, "search")
