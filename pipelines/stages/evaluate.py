"""Score recommender and predictor on the test set, together with baselines and the current champion.

Two more questions about the recommender are answered apart: whether it finds repeats, and what it recommends
to users who were left out of the training.

The champion is refitted on the training set of this clone, because the registered model may have been trained
on interactions of this test set.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from experiments.config import Params
from experiments.evaluation.test_set import TestScore
from experiments.evaluation.test_summary import TestSummary, state_looks
from experiments.tracking.model_registry import ModelVersion, find_champion
from marquee.algorithms.registry import BASELINE, POPULARITY
from marquee.errors import MarqueeError
from marquee.files.atomic_write import write_json
from marquee.files.digest import sha256_of
from marquee.model.recipe import Recipe
from marquee.seeds import seed_for
from pipelines.support.console import create_console
from pipelines.support.paths import CHAMPION_SCORE, EVALUATION, HEADLINE
from pipelines.support.stage_runner import run_stage
from pipelines.support.test_looks import record_test_look
from pipelines.support.test_part import ScoreBoard, TestPart

# Figures that `dvc metrics` and `dvc exp` show: role and name of the score. DVC sorts them by name, capitals
# first.
HEADLINE_METRICS = {
    "NDCG": ("recommender", "ndcg"),
    "RMSE": ("predictor", "rmse"),
    "coverage": ("recommender", "coverage"),
    "ndcg_high": ("recommender", "ndcg_high"),
    "ndcg_low": ("recommender", "ndcg_low"),
    "popularity_ratio": ("recommender", "popularity_ratio"),
}


def evaluate_on_test_set(params: Params) -> None:
    """Write results/evaluation.json and, in files that are not stage outputs, champion's score and look."""
    part = TestPart(params)
    board = part.score_selection()
    n_looks = record_test_look({role: model.recipe for role, model in part.fitted.items()})
    record = _build_record(part, board)
    write_json(EVALUATION, record)
    write_json(HEADLINE, _build_headline(record["scores"]))
    summary, notes = TestSummary(record), [state_looks(n_looks)] if n_looks > 1 else []
    CHAMPION_SCORE.unlink(missing_ok=True)
    if (champion := find_champion(params.registration.model)) is not None:
        notes += _score_champion(champion, params.seed, board)
    table = _build_table(board.scores, champion, params.measure.top_n)
    _print(summary.warnings(), table, summary.sentences() + notes)


def _build_record(part: TestPart, board: ScoreBoard) -> dict[str, Any]:
    """Return the content of results/evaluation.json."""
    repeats, record = part.score_repeats(), board.to_record()
    record["scores"]["recommender"] |= board.score_served_lists(part.fitted["recommender"].algorithm)
    return {
        **record,
        **({} if repeats is None else {"repeats": repeats}),
        "strong_generalization": part.measure_strong_generalization(),
    }


def _score_champion(champion: ModelVersion, root_seed: int, board: ScoreBoard) -> list[str]:
    """Add the champion's scores and save them; return a message if the champion cannot be refitted."""
    try:
        for role, recipe in champion.recipes.items():
            fit_seed = seed_for(root_seed, "fit", recipe.algorithm)
            board.add(f"champion {role}", Recipe(recipe.algorithm, recipe.parameters, fit_seed))
    except (MarqueeError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        return [f"Champion version {champion.version} cannot be refitted: {type(error).__name__}: {error}"]
    metrics: dict[str, Any] = {}
    recommender = board.scores.get("champion recommender")
    if recommender is not None and recommender.lists is not None:
        metrics |= recommender.lists.to_record()
        metrics |= recommender.compare_with_recommender(board.scores["recommender"])
    if "champion predictor" in board.scores:
        metrics |= board.scores["champion predictor"].errors
    write_json(CHAMPION_SCORE, {"version": champion.version, "evaluation": sha256_of(EVALUATION), **metrics})
    return []


def _print(warnings: list[str], table: Table, sentences: list[str]) -> None:
    """Print the warnings first, because the table alone does not show what they say."""
    console = create_console()
    for warning in warnings:
        console.print(warning, markup=False)
    console.print(table)
    for sentence in sentences:
        console.print(sentence, markup=False)


def _build_headline(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return the figures on the test set that DVC shows, as far as they are defined."""
    return {
        title: scores[role][name]
        for title, (role, name) in HEADLINE_METRICS.items()
        if name in scores.get(role, {})
    }


def _build_table(scores: Mapping[str, TestScore], champion: ModelVersion | None, n: int) -> Table:
    table = Table(
        title="Scores on the test part",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    has_ratings = any(score.errors for score in scores.values())
    second, errors = ("rated\nNDCG", ("RMSE", "MAE")) if has_ratings else ("graded\nNDCG", ())
    for column in ("model", f"NDCG@{n}", "95% CI", second, f"recall@{n}", "coverage", *errors):
        table.add_column(column, justify="left" if column == "model" else "right")
    rows: dict[int, tuple[TestScore, list[str]]] = {}  # by identity: equal recipes share a row
    for role, score in scores.items():
        label = role.replace("champion", f"champion v{champion.version}, refitted,") if champion else role
        rows.setdefault(id(score), (score, []))[1].append(label)
    for score, labels in rows.values():
        roles = [label for label in labels if label not in (POPULARITY, BASELINE, "svd")]
        title = f"{score.algorithm_title} ({'; '.join(roles)})" if roles else score.algorithm_title
        table.add_row(title, *_format_lists(score), *(_format_errors(score) if has_ratings else ()))
    return table


def _format_lists(score: TestScore) -> tuple[str, ...]:
    if score.lists is None:
        return ("",) * 5
    ndcg = score.lists.ndcg
    bounds = f"{ndcg.low:.4f} to {ndcg.high:.4f}" if isfinite(ndcg.low) else ""
    second = score.rated_ndcg if score.lists.graded_ndcg is None else score.lists.graded_ndcg
    return (
        f"{ndcg.mean:.4f}",
        bounds,
        "" if second is None else f"{second:.4f}",
        f"{score.lists.recall:.4f}",
        f"{score.lists.coverage:.1%}",
    )


def _format_errors(score: TestScore) -> tuple[str, str]:
    return (f"{score.errors['rmse']:.4f}", f"{score.errors['mae']:.4f}") if score.errors else ("", "")


if __name__ == "__main__":
    run_stage(evaluate_on_test_set, "evaluate")
