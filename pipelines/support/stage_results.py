"""Results of the last search, of the measurement of its best trials, and of the evaluation on the test set.

Costs (times and memory) differ from run to run, so they are not in any versioned file. The stage that
measured them saves them in this clone. The MLflow run of the search has a copy, which takes seconds to read.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from experiments.config import Params
from experiments.evaluation.candidate_record import CandidateMetrics, MeasuredCost
from experiments.search.trials import Trial, TrialCost, trial_from_record
from experiments.selection.search_results import SearchResults
from marquee.files.atomic_write import write_json
from marquee.files.digest import sha256_of
from pipelines.support.json_reader import read_json
from pipelines.support.paths import (
    CANDIDATE_METRICS,
    CHAMPION_SCORE,
    EVALUATION,
    LOCAL_STATE,
    MEASURED_COSTS,
    SEARCH,
    TRIAL_COSTS,
)
from pipelines.support.provenance import digest_search_results

Costs = Mapping[str, Any]  # fields of the cost of a trial, by trial number


def read_trials(params: Params) -> list[Trial]:
    """Return the trials of the last search, with their costs if known."""
    costs = load_or_download_costs(params, TRIAL_COSTS)
    trials = []
    for record in read_json(SEARCH)["trials"]:
        cost = costs.get(str(record["number"]))
        trials.append(trial_from_record(record, TrialCost(**cost) if cost else None))
    return trials


def read_trials_and_metrics(params: Params) -> SearchResults:
    """Return the trials of the last search and the metrics of each candidate's best trial."""
    costs, metrics = load_or_download_costs(params, MEASURED_COSTS), read_json(CANDIDATE_METRICS)
    measured = {}
    for record in metrics["candidates"]:
        cost = costs.get(str(record["trial"]))
        measured[record["trial"]] = CandidateMetrics.from_record(
            record, MeasuredCost(**cost) if cost else None
        )
    return SearchResults(
        read_trials(params),
        measured,
        params.search.error_metric,
        params.search.metric_weights,
        metrics["n"],
        metrics["relevance_threshold"],
        metrics["leakage"],
    )


def save_costs(name: str, costs: Mapping[int, TrialCost | MeasuredCost | None]) -> None:
    """Save costs of trials of the last search in this clone, in the file `name`."""
    records = {str(number): asdict(cost) for number, cost in costs.items() if cost}
    write_json(LOCAL_STATE / name, {"search_results_digest": digest_search_results(), "costs": records})


def load_or_download_costs(params: Params, name: str) -> Costs:
    """Return costs of trials of the last search: those saved in this clone, or those in its MLflow run."""
    path = LOCAL_STATE / name
    saved = read_json(path) if path.exists() else {}
    if saved.get("search_results_digest") == digest_search_results():
        costs: Costs = saved["costs"]
        return costs
    # Imports MLflow, which takes seconds and which most callers do not need.
    from pipelines.support.last_search_run import download_costs

    return download_costs(params, name)


def read_champion_score() -> dict[str, Any]:
    """Return the champion's score in the last evaluation; empty if there was no champion."""
    score = read_json(CHAMPION_SCORE) if CHAMPION_SCORE.exists() else {}
    if score.pop("evaluation", None) != sha256_of(EVALUATION):  # of an earlier evaluation
        return {}
    return score
