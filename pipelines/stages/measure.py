"""Measure each candidate's best trials: errors, lists, segments, costs, and leakage of a random split."""

from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime

import pandas as pd
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from experiments.config import Params
from experiments.evaluation.candidate_evaluation import EvaluationContext, count_steps, measure_trials
from experiments.evaluation.candidate_record import CandidateMetrics, best_trial_per_candidate
from experiments.evaluation.leakage import SplitPair, compare_rankings
from experiments.evaluation.protocol import EvaluationProtocol
from experiments.search.metric import SearchMetric
from experiments.search.trials import Trial
from experiments.selection.predictor_rule import choose_predictor, needs_measured_costs
from experiments.selection.search_results import SearchResults
from marquee.errors import DataError, MarqueeError
from marquee.files.atomic_write import write_json
from marquee.interactions.feedback import FeedbackSpec
from marquee.interactions.matrix import DEFAULT_SCALE
from marquee.seeds import seed_for
from pipelines.support.console import create_console
from pipelines.support.derived_feedback import read_feedback
from pipelines.support.evaluation_data import build_fold_source, build_part_source, build_protocol
from pipelines.support.paths import CANDIDATE_METRICS, MEASURED_COSTS, TRAIN
from pipelines.support.recommender_choice import choose_from_search
from pipelines.support.stage_results import read_trials, save_costs
from pipelines.support.stage_runner import run_stage


def measure_best_trials(params: Params) -> None:
    """Write results/candidate_metrics.json and save the costs."""
    context = _build_context(params)
    trials = _select_trials(read_trials(params), params)
    candidates = _measure_with_progress(trials, context)
    console = create_console()
    for candidate in candidates:
        if candidate.failure:
            console.print(f"[red]not measured[/] {candidate.algorithm}: {escape(candidate.failure)}")
    save_costs(MEASURED_COSTS, {candidate.trial: candidate.cost for candidate in candidates})
    write_json(CANDIDATE_METRICS, _build_record(context, candidates))


def _select_trials(trials: list[Trial], params: Params) -> list[Trial]:
    """Return the best trials of each algorithm, by lists and by errors, and the winners if known already.

    Budgets on costs that are measured here limit the selection to these trials.
    """
    selected = {trial.number: trial for trial in _best_trials(trials, params)}
    if not needs_measured_costs(params.select):
        for winner in _find_winners(trials, params):
            selected.setdefault(winner.number, winner)
    return list(selected.values())


def _best_trials(trials: list[Trial], params: Params) -> list[Trial]:
    has_lists = SearchMetric.parse(params.search.metric_weights).uses_lists
    by_lists = best_trial_per_candidate(trials, params.search.metric_weights) if has_lists else []
    return [*by_lists, *best_trial_per_candidate(trials, params.search.error_metric)]


def _find_winners(trials: list[Trial], params: Params) -> list[Trial]:
    """Return the recommender and the predictor, as far as a selection rule finds them.

    The stage `select` reports why it finds none.
    """
    results, winners = SearchResults(trials, error=params.search.error_metric), []
    if SearchMetric.parse(params.search.metric_weights).uses_lists:
        with suppress(MarqueeError):
            winners.append(choose_from_search(params, trials, {}).winner)
    if any(trial.folds for trial in trials):
        with suppress(MarqueeError):
            winners.append(choose_predictor(results, params.select).winner)
    return winners


def _measure_with_progress(trials: list[Trial], context: EvaluationContext) -> list[CandidateMetrics]:
    columns = (TextColumn("measuring"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=create_console(), transient=True) as progress:
        task = progress.add_task("measuring", total=count_steps(trials, context))
        return measure_trials(trials, context, lambda: progress.advance(task))


def _build_context(params: Params) -> EvaluationContext:
    feedback = read_feedback()
    protocol, folds = build_protocol(params, feedback), build_fold_source(params, feedback)
    return EvaluationContext(
        folds.load_folds() if folds else (),
        build_part_source(feedback).load(),
        _build_split_pair(params, feedback, protocol),
        protocol,
        params.search.error_metric,
        params.seed,
    )


def _build_split_pair(
    params: Params, feedback: FeedbackSpec, protocol: EvaluationProtocol
) -> SplitPair | None:
    """Return the training set split at random and by time, or None to skip measuring leakage."""
    if not params.measure.leakage:
        return None
    seed, scale = seed_for(params.seed, "leakage"), feedback.scale or DEFAULT_SCALE
    try:
        splits = SplitPair.from_interactions(pd.read_parquet(TRAIN), params.split.test_share, seed, scale)
        splits.require_relevant_items(protocol)
    except DataError as error:
        create_console().print(f"[yellow]Leakage is not measured[/]: {escape(str(error))}")
        return None
    return splits


def _build_record(context: EvaluationContext, candidates: list[CandidateMetrics]) -> dict[str, object]:
    return {
        "n": context.protocol.n,
        "relevance_threshold": context.protocol.relevance_threshold,
        "error": context.metric,
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
    run_stage(measure_best_trials, "measure")
