"""Measure the best trial of each candidate beyond its error: lists, groups, cost, and what a split leaks."""

from dataclasses import asdict
from datetime import UTC, datetime

import pandas as pd
from rich.progress import track

from experiments.config.offline import Params
from experiments.evaluation.candidate_evaluation import Setting
from experiments.evaluation.candidate_evaluation import measure as measure_trial
from experiments.evaluation.candidate_metrics import Measures, leaders
from experiments.evaluation.cross_validation import FoldSource
from experiments.evaluation.leakage import Crossing, order_change
from experiments.evaluation.model_evaluation import Rule
from experiments.search.trials import Trial
from experiments.selection.rule import choose, needs_measures
from experiments.selection.search_results import Findings
from marquee.errors import DataError
from marquee.files.atomic_write import write_json
from marquee.seeds import seed_for
from pipelines.support.console import screen
from pipelines.support.paths import FOLDS, MEASURED_COSTS, MEASURES, TRAIN
from pipelines.support.provenance import rating_scale
from pipelines.support.stage_results import last_trials, note_costs
from pipelines.support.stage_runner import run


def measure(params: Params) -> None:
    """Write results/measures.json, and note the costs."""
    setting = _setting(params)
    setting.check()
    best = _worth_measuring(last_trials(params), params)
    measured = [
        measure_trial(trial, setting) for trial in track(best, "measuring", console=screen(), transient=True)
    ]
    for one in measured:
        if one.failure:
            screen().print(f"[red]not measured[/] {one.algorithm}: {one.failure}")
    note_costs(MEASURED_COSTS, {one.trial: one.cost for one in measured})
    write_json(MEASURES, _record(setting, measured))


def _worth_measuring(trials: list[Trial], params: Params) -> list[Trial]:
    """The best of each candidate; and whom the rule will choose, where it can tell by errors alone."""
    best = leaders(trials, params.search.metric)
    if not needs_measures(params.select):
        winner = choose(Findings(trials, metric=params.search.metric), params.select).winner
        best += [] if winner in best else [winner]
    return best


def _setting(params: Params) -> Setting:
    source = FoldSource(TRAIN, FOLDS, params.split.folds, rating_scale())
    rule = Rule.of(params.measure.top_n, params.measure.relevant_from, source.scale)
    return Setting(source.parts(), _crossing(params, source, rule), rule, params.search.metric, params.seed)


def _crossing(params: Params, source: FoldSource, rule: Rule) -> Crossing | None:
    """The training part held out at random and in time; None, and a line, where that cannot be."""
    if not params.measure.leakage:
        return None
    seed = seed_for(params.seed, "leakage")
    try:
        crossing = Crossing.of(pd.read_parquet(TRAIN), params.split.test_share, seed, source.scale)
        crossing.check(rule)
    except DataError as error:
        screen().print(f"[yellow]No leakage meter[/]: {error}.")
        return None
    return crossing


def _record(setting: Setting, measured: list[Measures]) -> dict[str, object]:
    return {
        "n": setting.rule.n,
        "relevant_from": setting.rule.relevant_from,
        "metric": setting.metric,
        "candidates": [one.record() for one in measured],
        "leakage": _leakage(setting, measured),
    }


def _leakage(setting: Setting, measured: list[Measures]) -> dict[str, object] | None:
    """The order of the candidates under both splits, by error and by lists."""
    if setting.crossing is None:
        return None
    changes = {metric: order_change(measured, metric) for metric in (setting.metric, "ndcg")}
    return {
        "moment": datetime.fromtimestamp(setting.crossing.moment, UTC).isoformat(),
        "order": {metric: asdict(change) for metric, change in changes.items() if change},
    }


if __name__ == "__main__":
    run(measure, "measure")
