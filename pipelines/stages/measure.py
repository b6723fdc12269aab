"""Measure each candidate's best trial: ranking metrics, segments, costs, and leakage of a random split."""

from dataclasses import asdict
from datetime import UTC, datetime

import pandas as pd
from rich.markup import escape
from rich.progress import track

from experiments.config import Params
from experiments.evaluation.candidate_evaluation import EvaluationContext, evaluate_candidate
from experiments.evaluation.candidate_record import CandidateMetrics, best_trial_per_candidate
from experiments.evaluation.cross_validation import FoldSource
from experiments.evaluation.leakage import SplitPair, compare_rankings
from experiments.evaluation.protocol import EvaluationProtocol
from experiments.search.trials import Trial
from experiments.selection.rule import choose, selection_needs_evaluation
from experiments.selection.search_results import SearchResults
from marquee.errors import DataError
from marquee.files.atomic_write import write_json
from marquee.seeds import seed_for
from pipelines.support.console import create_console
from pipelines.support.fetched_source import read_rating_scale
from pipelines.support.paths import CANDIDATE_METRICS, FOLDS, MEASURED_COSTS, TRAIN
from pipelines.support.stage_results import read_trials, save_costs
from pipelines.support.stage_runner import run_stage


def evaluate_best_trials(params: Params) -> None:
    """Write results/candidate_metrics.json and save the costs."""
    context = _build_context(params)
    context.require_relevant_items()
    trials = _select_trials(read_trials(params), params)
    console = create_console()
    candidates = [
        evaluate_candidate(trial, context)
        for trial in track(trials, "measuring", console=console, transient=True)
    ]
    for candidate in candidates:
        if candidate.failure:
            console.print(f"[red]not measured[/] {candidate.algorithm}: {escape(candidate.failure)}")
    save_costs(MEASURED_COSTS, {candidate.trial: candidate.cost for candidate in candidates})
    write_json(CANDIDATE_METRICS, _build_record(context, candidates))


def _select_trials(trials: list[Trial], params: Params) -> list[Trial]:
    """Return the best trial of each candidate, and the winner if it is known already.

    Candidates that predict ratings are compared by their errors, the others by the metric of the search. A
    selection rule that needs the metrics measured here can only choose among the best trials.
    """
    best = best_trial_per_candidate(trials, params.search.error_metric)
    predictors = {trial.algorithm for trial in best}
    by_lists = best_trial_per_candidate(trials, params.search.metric_weights)
    best += [trial for trial in by_lists if trial.algorithm not in predictors]
    if not selection_needs_evaluation(params.select):
        winner = choose(SearchResults(trials, metric=params.search.error_metric), params.select).winner
        if winner not in best:
            best.append(winner)
    return best


def _build_context(params: Params) -> EvaluationContext:
    source = FoldSource(TRAIN, FOLDS, params.split.folds, read_rating_scale())
    protocol = EvaluationProtocol.from_params(
        params.measure.top_n, params.measure.relevance_threshold, source.scale
    )
    return EvaluationContext(
        source.load_folds(),
        _build_split_pair(params, source, protocol),
        protocol,
        params.search.error_metric,
        params.seed,
    )


def _build_split_pair(params: Params, source: FoldSource, protocol: EvaluationProtocol) -> SplitPair | None:
    """Return the training set split at random and by time, or None to skip measuring leakage."""
    if not params.measure.leakage:
        return None
    seed = seed_for(params.seed, "leakage")
    try:
        splits = SplitPair.from_ratings(pd.read_parquet(TRAIN), params.split.test_share, seed, source.scale)
        splits.require_relevant_items(protocol)
    except DataError as error:
        create_console().print(f"[yellow]Leakage is not measured[/]: {escape(str(error))}")
        return None
    return splits


def _build_record(context: EvaluationContext, candidates: list[CandidateMetrics]) -> dict[str, object]:
    return {
        "n": context.protocol.n,
        "relevance_threshold": context.protocol.relevance_threshold,
        "metric": context.metric,
        "candidates": [candidate.to_record() for candidate in candidates],
        "leakage": _compare_splits(context, candidates),
    }


def _compare_splits(
    context: EvaluationContext, candidates: list[CandidateMetrics]
) -> dict[str, object] | None:
    """Return how the order of the candidates differs between the splits, by error and by NDCG."""
    if context.splits is None:
        return None
    changes = {metric: compare_rankings(candidates, metric) for metric in (context.metric, "ndcg")}
    return {
        "cutoff": datetime.fromtimestamp(context.splits.cutoff, UTC).isoformat(),
        "order": {metric: asdict(change) for metric, change in changes.items() if change},
    }


if __name__ == "__main__":
    run_stage(evaluate_best_trials, "measure")
