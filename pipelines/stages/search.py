"""Search the hyperparameters of all candidates by the lists or errors that they give on held-out data."""

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from experiments.config import Params
from experiments.search.run import SearchOutcome, TaskReport, delete_search_state, run_search
from experiments.search.specification import SearchSpec
from experiments.search.storage import check_storage_setting
from experiments.search.training_result import FOLDS
from experiments.search.trials import Trial, rank_trials, trial_to_record
from experiments.search.user_scores import UserScores
from experiments.search.worker_pool import preload_worker_imports
from marquee.files.atomic_write import write_json
from pipelines.support.console import create_console
from pipelines.support.fetched_source import read_data_version
from pipelines.support.paths import SEARCH, TRIAL_COSTS, USER_SCORES
from pipelines.support.provenance import digest_search_results, get_code_tags
from pipelines.support.search_spec import build_search_spec
from pipelines.support.stage_results import save_costs
from pipelines.support.stage_runner import run_stage

if TYPE_CHECKING:  # every worker process imports this module, and must not import MLflow
    from experiments.tracking.runs import ExperimentTracker


def search(params: Params) -> None:
    """Write results/search.json and results/user_scores.npz, and log a run with child runs to MLflow."""
    check_storage_setting(params.search.storage)
    spec = build_search_spec(params)
    _print_left_out(params, spec)
    preload_worker_imports(spec.search.candidates)  # in the background, while this process imports MLflow
    tracker = _open_tracker(params)
    run_id = _start_run(tracker, params, spec)
    try:
        outcome = _run_with_progress(spec)
        tracker.log_trials(
            run_id, outcome.trials, get_code_tags(), max_runs=spec.search.logged_trials, metric=spec.metric
        )
    except BaseException as error:
        tracker.fail_run(run_id, f"{type(error).__name__}: {error}")
        raise
    write_json(SEARCH, build_trials_record(params, outcome.trials))
    UserScores.from_trials(outcome.trials, outcome.columns, spec.metric.user_metric).save(USER_SCORES)
    save_costs(TRIAL_COSTS, {trial.number: trial.cost for trial in outcome.trials})
    _finish_run(tracker, run_id, spec, outcome.trials)
    delete_search_state(spec)


def _print_left_out(params: Params, spec: SearchSpec) -> None:
    """Name the candidates that are not searched because there are no ratings."""
    left_out = [name for name in params.search.candidates if name not in spec.search.candidates]
    if left_out:
        create_console().print(
            f"There are no ratings to predict, so these are left out: {', '.join(left_out)}"
        )


def _open_tracker(params: Params) -> "ExperimentTracker":
    from experiments.tracking.runs import ExperimentTracker

    return ExperimentTracker(params.search.experiment)


def _start_run(tracker: "ExperimentTracker", params: Params, spec: SearchSpec) -> str:
    data = read_data_version()
    name = f"{data.source} {spec.search.sampler} search"
    settings = {
        "seed": params.seed,
        "folds": params.split.folds,
        "test_share": params.split.test_share,
        "split": params.split.strategy,
        "sampler": spec.search.sampler,
        "metric": spec.metric.title(spec.protocol.n),
        "candidates": ", ".join(spec.search.candidates),
    }
    return tracker.start_search_run(name, data, settings, get_code_tags())


def _run_with_progress(spec: SearchSpec) -> SearchOutcome:
    """Run the search with a progress bar of tasks, and print a line for each trial."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=create_console(), transient=True) as progress:
        display = _ProgressDisplay(spec, progress)
        outcome = run_search(spec, display.update)
    _print_outcome(outcome.trials, spec)
    return outcome


def _describe_trial_lines(spec: SearchSpec) -> str:
    where = "the first validation part" if spec.metric.uses_lists else "the folds"
    return f"Scores on {where}, and time of a fit:"


class _ProgressDisplay:
    """Progress bar of a search, and a line for each trial when it is first scored."""

    def __init__(self, spec: SearchSpec, progress: Progress) -> None:
        self._spec, self._progress = spec, progress
        self._bar = progress.add_task("search")
        self._first_part = 0 if spec.metric.uses_lists else FOLDS
        self._has_lines = False
        self._best: tuple[float, str] | None = None

    def update(self, report: TaskReport) -> None:
        """Show the progress after a task."""
        if report.task.part == self._first_part:
            if not self._has_lines:
                self._progress.print(_describe_trial_lines(self._spec), markup=False)
                self._has_lines = True
            for trial in report.trials:
                self._progress.print(format_trial(trial, self._spec))
                self._update_best(trial)
        description = f"search, best {self._best[1]}" if self._best else "search"
        self._progress.update(
            self._bar, description=description, completed=report.n_finished, total=report.max_tasks
        )

    def _update_best(self, trial: Trial) -> None:
        values = trial.mean_values()
        loss = self._spec.metric.loss(values)
        if trial.pruned is None and (self._best is None or loss < self._best[0]):
            self._best = loss, self._spec.metric.format_values(values, self._spec.protocol.n)


def format_trial(trial: Trial, spec: SearchSpec) -> str:
    """Return a line on a trial, with rich markup: its scores, or the reason for having none."""
    if trial.failure is not None:
        return f"  [red]failed[/] {escape(f'{trial.label}: {trial.failure}')}"
    name = f"{trial.algorithm_title} [dim]{escape(trial.parameters_text)}[/]"
    if not (trial.parts or trial.folds):
        return f"  [dim]pruned  {escape(f'{trial.label}: {trial.pruned}')}[/]"
    values = spec.metric.format_values(trial.mean_values(), spec.protocol.n)
    seconds = f"{trial.cost.fit_seconds:7.2f} s" if trial.cost else ""
    return f"  {values} {seconds}  {name}"


def _print_outcome(trials: list[Trial], spec: SearchSpec) -> None:
    """Print the best trial, and how many others are complete, stopped and failed."""
    best, *_ = rank_trials(trials, spec.metric)
    counts = count_trials(trials)
    values = spec.metric.format_values(best.mean_values(), spec.protocol.n)
    create_console().print(
        f"Best of {len(trials)} trials: {best.label} with {values}{_describe_mean(best)}; "
        f"{counts['n_pruned']:.0f} were stopped early, {counts['n_failed']:.0f} failed",
        markup=False,
    )


def _describe_mean(trial: Trial) -> str:
    return f" on average over {len(trial.parts)} validation parts" if trial.parts else ""


def count_trials(trials: list[Trial]) -> dict[str, float]:
    """Return the number of trials, and of those that failed and that were stopped early."""
    failed = sum(trial.failure is not None for trial in trials)
    pruned = sum(trial.pruned is not None for trial in trials)
    return {"n_trials": float(len(trials)), "n_failed": float(failed), "n_pruned": float(pruned)}


def build_trials_record(params: Params, trials: list[Trial]) -> dict[str, object]:
    """Return the content of results/search.json."""
    return {
        "data_digest": read_data_version().digest,
        "folds": params.split.folds,
        "seed": params.seed,
        "metric": params.search.metric_weights,
        "trials": [trial_to_record(trial) for trial in trials],
    }


def _finish_run(tracker: "ExperimentTracker", run_id: str, spec: SearchSpec, trials: list[Trial]) -> None:
    """Log the metrics of the best trial to the search run, so that MLflow can compare searches."""
    best, *_ = rank_trials(trials, spec.metric)
    metrics = {**best.metrics(), **count_trials(trials)}
    tracker.log_metrics_and_tags(run_id, metrics=metrics, tags={"best": best.label})
    tracker.log_file(run_id, SEARCH)
    tracker.finish_search_run(run_id, digest_search_results())


if __name__ == "__main__":
    run_stage(search, "search")
