"""HTML report of a search: recommender and predictor side by side, tables with intervals, figures as SVG."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from experiments.evaluation.metric_names import (
    BEYOND_ACCURACY,
    LOWER_IS_BETTER,
    RANKING_METRIC_NAMES,
    metric_title,
)
from experiments.evaluation.test_summary import TestSummary, state_looks
from experiments.report.statements import Ordered, explain_orders, state_warnings
from experiments.report.summary import SummaryBuilder
from experiments.report.tables import TableBuilder, build_test_scores
from experiments.search.trials import Trial
from experiments.selection.list_comparison import Selection, count_folds
from experiments.selection.search_results import SearchResults
from marquee.algorithms.registry import find_algorithm

TEMPLATE_PATH = Path(__file__).with_name("page.html")
OTHER_PART = (
    "the test part has other held-out items and more training data, a small difference may be chance, and "
    "models that predict ratings have the parameters with the lowest error there"
)
OTHER_ITEMS = (
    "lists are chosen from the whole catalog, while an error counts only items that a user chose to rate"
)
OTHER_SPLIT = "it is a single split with a single fit, so small differences may be chance"
SPLIT_NAMES = {
    "random": "random split",
    "time": "time split",
    "user_last": "each user's last interactions",
}


@dataclass(frozen=True)
class ReportContext:
    """Content of the report besides the search results.

    Attributes:
        source: name of the data source.
        reasons: explanation of the choice by role.
        facts: provenance, at the end of the page: value by name.
        evaluation: content of results/evaluation.json.
        split: content of data/split/split.json.
        champion: scores of the champion on the test part; empty if there was none.
        n_looks: number of different choices that were scored on the test part.
    """

    source: str
    reasons: Mapping[str, str]
    facts: Mapping[str, str]
    evaluation: Mapping[str, Any]
    split: Mapping[str, Any]
    champion: Mapping[str, Any] = field(default_factory=dict)
    n_looks: int = 1


def render_report(
    results: SearchResults, selection: Selection, context: ReportContext, figures: Mapping[str, str | None]
) -> str:
    """Return the report as HTML.

    Args:
        results: results of the search and the evaluation.
        selection: recommender and predictor.
        context: the other content of the report.
        figures: SVG element of each figure by name; None leaves a figure out.
    """
    tables = TableBuilder(results, selection)
    return _template().render(
        context=context,
        results=results,
        n_algorithms=len({trial.algorithm for trial in results.trials}),
        heading=_heading(selection, context.source),
        warnings=state_warnings(tables.lists, context.evaluation),
        summary=SummaryBuilder(results, selection, context.evaluation).build(),
        test=build_test_scores(context.evaluation, context.champion),
        test_sentences=[*TestSummary(context.evaluation).sentences(), state_looks(context.n_looks)],
        lists=tables.build_lists(),
        errors=tables.build_errors() if tables.predictors else None,
        n_folds=count_folds(tables.predictors),
        ranking=tables.build_metrics(RANKING_METRIC_NAMES),
        beyond_accuracy=tables.build_metrics(BEYOND_ACCURACY),
        costs=tables.build_costs(),
        trials=tables.build_trials(),
        failed=[candidate for candidate in results.candidates.values() if candidate.failure],
        figures={name: svg and Markup(svg) for name, svg in figures.items()},
        leakage=_leakage_orders(results),
        order_notes=_explain_orders(results, tables, context.evaluation),
        split_name=SPLIT_NAMES[context.split["strategy"]],
        n_parts=len(context.split["parts"]),
        metric=results.metric_display_name(tables.lists.metric),
        searched_by=results.search_metric.title(results.n),
        ordered_by=tables.lists.order_title,
    )


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(TEMPLATE_PATH.read_text(encoding="utf-8"))


def _heading(selection: Selection, source: str) -> str:
    """Return the title of the page: what was chosen, and on which data."""
    recommender, predictor = selection.recommender, selection.predictor
    if predictor is None:
        return f"{recommender.algorithm_title} was chosen on {source}"
    if predictor.number == recommender.number:
        return f"{recommender.algorithm_title} was chosen on {source}, for lists and ratings"
    return f"{_name(recommender, predictor)} and {_name(predictor, recommender)} were chosen on {source}"


def _name(trial: Trial, other: Trial) -> str:
    """Return the title of an algorithm, with the parameters if the other trial has the same title."""
    return trial.label if trial.algorithm == other.algorithm else trial.algorithm_title


def _explain_orders(
    results: SearchResults, tables: TableBuilder, evaluation: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Return, by name of the section, why its table orders candidates differently than an earlier one."""
    error = results.metric_display_name(results.error)
    lists = Ordered(f"{tables.lists.order_title} on the validation parts", tables.titles(tables.lists.ranked))
    errors = Ordered(f"{error} on the folds", tables.titles(tables.predictors))
    notes = {
        "lists": [explain_orders(_rank_on_test_part(evaluation, "ndcg"), lists, OTHER_PART)],
        "errors": [
            explain_orders(lists, errors, OTHER_ITEMS),
            explain_orders(_rank_on_test_part(evaluation, results.error), errors, OTHER_PART),
        ],
        "leakage": [
            explain_orders(table, order, OTHER_SPLIT)
            for table, order in zip((lists, errors), _rank_under_random_split(results), strict=True)
        ],
    }
    return {name: [sentence for sentence in sentences if sentence] for name, sentences in notes.items()}


def _rank_on_test_part(evaluation: Mapping[str, Any], metric: str) -> Ordered:
    scores = [score for score in evaluation["scores"].values() if metric in score]
    sign = 1 if metric in LOWER_IS_BETTER else -1
    ranked = sorted(scores, key=lambda score: sign * score[metric])
    title = metric_title(metric, evaluation["test_set"]["n"])
    return Ordered(
        f"{title} on the test part", [find_algorithm(score["algorithm"]).title for score in ranked]
    )


def _rank_under_random_split(results: SearchResults) -> tuple[Ordered, Ordered]:
    """Return the orders by lists and by error under the random split of the section on leakage."""
    orders = results.leakage["order"] if results.leakage else {}
    lists, errors = (
        Ordered(
            f"{results.metric_display_name(metric)} under the random split of this section",
            [find_algorithm(name).title for name in orders.get(metric, {}).get("random", ())],
        )
        for metric in ("ndcg", results.error)
    )
    return lists, errors


def _leakage_orders(results: SearchResults) -> dict[str, Any] | None:
    """Return the titles of the candidates in their order under each split, or None if it was not measured."""
    if not results.leakage or not results.leakage["order"]:
        return None
    return {
        "cutoff": datetime.fromisoformat(results.leakage["cutoff"]).date().isoformat(),
        "orders": [
            {
                "name": results.metric_display_name(metric),
                "tau": f"{order['tau']:.2f}",
                "rows": [
                    tuple(find_algorithm(name).title for name in names)
                    for names in zip(order["random"], order["time"], strict=True)
                ],
            }
            for metric, order in results.leakage["order"].items()
        ],
    }
