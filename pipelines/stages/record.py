"""Record the results of the pipeline in MLflow: what was chosen and why, test scores, version, Bento.

Recording is a separate stage at the end, because DVC skips earlier stages whose inputs have not changed, but
their results must be recorded with the new run too.
"""

import hashlib
from collections.abc import Iterator
from math import isfinite

from experiments.config import Params
from experiments.evaluation.candidate_record import FOLD_METRICS
from experiments.evaluation.metric_names import BEYOND_ACCURACY, RANKING_METRIC_NAMES
from experiments.search.trials import Trial
from experiments.selection.list_comparison import Selection
from experiments.selection.predictor_rule import choose_predictor
from experiments.selection.search_results import SearchResults
from experiments.tracking.model_registry import find_version
from experiments.tracking.runs import ExperimentTracker
from marquee.files.atomic_write import write_json
from pipelines.support.fetched_source import read_data_version
from pipelines.support.html_report import write_html_report
from pipelines.support.json_reader import read_json
from pipelines.support.last_search_run import find_or_restore_search_run
from pipelines.support.paths import (
    BENTO,
    EVALUATION,
    LAST_BENTO,
    MEASURED_COSTS,
    RECORDED_RUN,
    REGISTERED_MODEL,
    REPORT,
    SELECTION,
)
from pipelines.support.provenance import digest_search_results, get_code_tags
from pipelines.support.selected_trials import read_selection
from pipelines.support.stage_results import (
    load_or_download_costs,
    read_champion_score,
    read_trials_and_metrics,
)
from pipelines.support.stage_runner import run_stage
from pipelines.support.test_looks import count_test_looks

OUTCOME_FILES = (SELECTION, EVALUATION, REGISTERED_MODEL, BENTO)


def record_pipeline_run(params: Params) -> None:
    """Log metrics, tags, costs, report and figures to the pipeline's run; write results/recorded.json."""
    tracker = ExperimentTracker(params.search.experiment)
    outcome = _digest_outcome()
    run_id = tracker.find_or_create_pipeline_run(
        find_or_restore_search_run(tracker), outcome, read_data_version(), get_code_tags()
    )
    results = read_trials_and_metrics(params)
    selection = read_selection(params, results)
    tracker.log_metrics_and_tags(
        run_id, metrics=_collect_metrics(selection, results), tags=_collect_tags(params, results, selection)
    )
    tracker.log_json(run_id, load_or_download_costs(params, MEASURED_COSTS), MEASURED_COSTS)
    curves = {
        f"epoch_{results.error}/{predictor.algorithm}": predictor.learning_curve
        for predictor in results.ranked_predictors
        if predictor.learning_curve
    }
    tracker.log_curves(run_id, curves)
    for path in write_html_report(params, results, selection):
        tracker.log_file(run_id, path, "report" if path == REPORT else "figures")
    write_json(
        RECORDED_RUN,
        {
            "search_results_digest": digest_search_results(),
            "outcome": outcome,
            "model_digest": read_json(REGISTERED_MODEL)["digest"],
        },
    )


def _digest_outcome() -> str:
    """Return a digest of the pipeline's results; runs with equal results have equal digests."""
    content = b"".join(path.read_bytes() for path in OUTCOME_FILES)
    return hashlib.sha256(content).hexdigest()[:16]


def _collect_metrics(selection: Selection, results: SearchResults) -> dict[str, float]:
    """Return the metrics of what was selected: on validation parts and folds, and on the test part.

    Metrics without a prefix are those of what is served: errors of the predictor, the rest of the
    recommender. Those with the prefix `recommender_` or `predictor_` are of that model alone.
    """
    recommender = _collect_role_metrics(selection.recommender, results)
    metrics = recommender | {f"recommender_{name}": value for name, value in recommender.items()}
    if selection.predictor is not None:
        predictor = _collect_role_metrics(selection.predictor, results)
        metrics |= {name: value for name, value in predictor.items() if name.startswith(FOLD_METRICS)}
        metrics |= {f"predictor_{name}": value for name, value in predictor.items()}
    metrics |= {"n_trials": float(len(results.trials)), **_collect_test_metrics()}
    champion = read_champion_score()
    metrics |= {f"test_champion_{name}": value for name, value in champion.items() if name != "version"}
    for metric in ("rmse", "ndcg"):
        if metric in champion and f"test_{metric}" in metrics:
            metrics[f"test_{metric}_minus_champion"] = metrics[f"test_{metric}"] - champion[metric]
    return metrics


def _collect_role_metrics(trial: Trial, results: SearchResults) -> dict[str, float]:
    """Return the metrics of a trial in the search and, if it was measured, those of its lists."""
    metrics, measured = trial.metrics(), results.candidates.get(trial.number)
    if measured is not None and measured.parts:
        metrics |= {f"{name}_at_{results.n}": measured.mean(name) for name in RANKING_METRIC_NAMES}
        metrics |= {name: measured.mean(name) for name in BEYOND_ACCURACY}
    return {name: value for name, value in metrics.items() if isfinite(value)}


def _collect_test_metrics() -> dict[str, float]:
    """Return the scores on the test part.

    Metrics named only `test_` are those of what is served: errors of the predictor, the rest of the
    recommender.
    """
    evaluation = read_json(EVALUATION)
    scores = evaluation["scores"]
    served = dict(scores["recommender"])
    served |= {name: scores["predictor"][name] for name in FOLD_METRICS if "predictor" in scores}
    metrics = {f"test_{metric}": value for metric, value in served.items()}
    for role, score in scores.items():
        metrics |= {f"test_{role}_{metric}": value for metric, value in score.items()}
    metrics |= {f"test_set_{name}": value for name, value in evaluation["test_set"].items()}
    metrics |= {f"test_repeats_{name}": value for name, value in evaluation.get("repeats", {}).items()}
    left_out = evaluation.get("strong_generalization", {}).get("scores", {})
    for role, score in left_out.items():
        metrics |= {f"left_out_users_{role}_{metric}": value for metric, value in score.items()}
    return {name: value for name, value in metrics.items() if not isinstance(value, str)}


def _collect_tags(params: Params, results: SearchResults, selection: Selection) -> dict[str, str]:
    registered = read_json(REGISTERED_MODEL)
    version = find_version(registered["model"], registered["digest"])
    tags = {
        **_collect_choice_tags(results),
        "test_set_looks": str(count_test_looks()),
        "model_digest": registered["digest"],
        "model_version": f"{registered['model']} {version.version if version else '?'}",
        "bento": read_json(LAST_BENTO)["tag"],
        "over_budget": "; ".join(_describe_over_budget(params, results, selection)),
    }
    if champion := read_champion_score():
        tags["champion_version"] = str(champion["version"])
    return {name: value for name, value in tags.items() if value}


def _describe_over_budget(params: Params, results: SearchResults, selection: Selection) -> Iterator[str]:
    """Yield the trials that would have been selected but exceed a budget."""
    if selection.choice is not None:
        for trial in selection.choice.over_budget:
            yield f"{selection.labels[trial.trial]}: {trial.violation}"
    if selection.predictor is not None and selection.predictor.cost is not None:
        yield from map(str, choose_predictor(results, params.select).over_budget)


def _collect_choice_tags(results: SearchResults) -> dict[str, str]:
    """Return label and reason of the recommender and, if there is one, of the predictor."""
    tags: dict[str, str] = {}
    for role, choice in read_json(SELECTION).items():
        if choice is not None:
            tags[role] = results.trials_by_number[choice["trial"]].label
            tags[f"{role}_reason"] = choice["reason"]
    return tags


if __name__ == "__main__":
    run_stage(record_pipeline_run, "record")
