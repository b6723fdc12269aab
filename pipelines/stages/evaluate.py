"""Score recommender and predictor on the test set, together with baselines and the current champion.

The champion is refitted on the training set of this clone, because the registered model may have been trained
on interactions of this test set.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from experiments.config import Params
from experiments.evaluation.cross_validation import FoldData
from experiments.evaluation.protocol import EvaluationProtocol
from experiments.evaluation.test_set import TestScore, TestSet
from experiments.tracking.model_registry import ModelVersion, find_champion
from marquee.algorithms.scoring import encode_pairs
from marquee.errors import MarqueeError
from marquee.files.atomic_write import write_json
from marquee.files.digest import sha256_of
from marquee.interactions.columns import USER
from marquee.model.recipe import Recipe
from marquee.seeds import seed_for
from pipelines.support.console import create_console
from pipelines.support.fitted_recipes import load_fitted_recipes
from pipelines.support.interaction_tables import (
    allow_repeats,
    read_feedback,
    read_newcomers,
    read_test_set,
    read_trainset,
)
from pipelines.support.paths import ALGORITHM_STATE, CHAMPION_SCORE, EVALUATION, TEST_HEADLINE
from pipelines.support.selected_recipes import find_best_svd
from pipelines.support.stage_runner import run_stage
from pipelines.support.test_looks import record_test_look

POPULARITY, BASELINE = "popularity", "baseline_only"
HEADLINE_METRICS = {"recommender": ("ndcg", "popularity_ratio", "coverage"), "predictor": ("rmse",)}


class ScoreBoard:
    """Scores on the test set by role; equal recipes are fitted and scored once."""

    def __init__(self, test_set: TestSet) -> None:
        self._test_set = test_set
        self._recipes: dict[str, Recipe] = {}
        self.scores: dict[str, TestScore] = {}

    def add(self, role: str, recipe: Recipe, score: TestScore | None = None) -> None:
        """Add a score; if it is None, that of an equal recipe, or else of the recipe fitted now."""
        known = (other for other in self._recipes if self._recipes[other] == recipe)
        equal = next(known, None)
        if score is None:
            score = self._test_set.fit_and_score(recipe) if equal is None else self.scores[equal]
        self._recipes[role], self.scores[role] = recipe, score

    def to_record(self) -> dict[str, Any]:
        """Return the content of results/evaluation.json."""
        records = {role: score.to_record() for role, score in self.scores.items()}
        if POPULARITY in self.scores:
            records["recommender"] |= self.scores["recommender"].compare_with_popularity(
                self.scores[POPULARITY]
            )
        return {"test_set": self._test_set.describe(), "scores": records}


def evaluate_on_test_set(params: Params) -> None:
    """Write results/evaluation.json and, in files that are not stage outputs, champion's score and look."""
    board = _score_selection(params)
    record = board.to_record()
    write_json(EVALUATION, record)
    write_json(TEST_HEADLINE, _build_headline(record["scores"]))
    champion = find_champion(params.registration.model)
    CHAMPION_SCORE.unlink(missing_ok=True)
    if champion is not None:
        _score_champion(champion, params.seed, board)
    console = create_console()
    console.print(_build_table(board.scores, champion, params.measure.top_n))
    for sentence in _describe_recommender(record, params.measure.top_n):
        console.print(sentence, markup=False)


def _score_selection(params: Params) -> ScoreBoard:
    """Score the fitted recipes, the best SVD and the baselines, and record the look at the test set."""
    feedback = read_feedback()
    trainset, test = read_trainset(feedback), read_test_set()
    test_set = TestSet(
        trainset,
        FoldData(trainset.matrix, encode_pairs(test, trainset.matrix)),
        EvaluationProtocol(params.measure.top_n, feedback.positive_from),
        n_users=test[USER].nunique(),
        has_ratings=feedback.feedback == "explicit",
        newcomers=read_newcomers(),
        allow_repeats=allow_repeats(),
    )
    fitted, board = load_fitted_recipes(ALGORITHM_STATE, trainset), ScoreBoard(test_set)
    for role, model in fitted.items():
        board.add(role, model.recipe, test_set.score(model.algorithm, model.recipe.algorithm))
    if (svd := find_best_svd(params.seed)) is not None:
        board.add("svd", svd)
    for name in (POPULARITY, BASELINE) if test_set.has_ratings else (POPULARITY,):
        board.add(name, Recipe(name, {}, seed_for(params.seed, "fit", name)))
    n_looks = record_test_look({role: model.recipe for role, model in fitted.items()})
    if n_looks > 1:
        create_console().print(_describe_looks(n_looks), markup=False)
    return board


def _score_champion(champion: ModelVersion, root_seed: int, board: ScoreBoard) -> None:
    """Add the champion's scores and save them; print a message if the champion cannot be refitted."""
    try:
        for role, recipe in champion.recipes.items():
            fit_seed = seed_for(root_seed, "fit", recipe.algorithm)
            board.add(f"champion {role}", Recipe(recipe.algorithm, recipe.parameters, fit_seed))
    except (MarqueeError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        message = f"Champion version {champion.version} cannot be refitted: {type(error).__name__}: {error}"
        create_console().print(message, markup=False)
        return
    metrics: dict[str, Any] = {}
    if "champion recommender" in board.scores and (lists := board.scores["champion recommender"].lists):
        metrics |= lists.to_record()
    if "champion predictor" in board.scores:
        metrics |= board.scores["champion predictor"].errors
    write_json(CHAMPION_SCORE, {"version": champion.version, "evaluation": sha256_of(EVALUATION), **metrics})


def _build_headline(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return the figures on the test set that `dvc metrics` shows."""
    return {
        f"test_{name}": scores[role][name]
        for role, names in HEADLINE_METRICS.items()
        for name in names
        if name in scores.get(role, {})
    }


def _build_table(scores: Mapping[str, TestScore], champion: ModelVersion | None, n: int) -> Table:
    table = Table(title="Scores on the test set", title_justify="left", box=SIMPLE_HEAD)
    for column in ("model", f"NDCG@{n}", "95% CI", f"recall@{n}", "coverage", "RMSE", "MAE"):
        table.add_column(column, justify="left" if column == "model" else "right")
    rows: dict[int, tuple[TestScore, list[str]]] = {}  # by identity: equal recipes share a row
    for role, score in scores.items():
        label = role.replace("champion", f"champion v{champion.version}, refitted,") if champion else role
        rows.setdefault(id(score), (score, []))[1].append(label)
    for score, labels in rows.values():
        roles = [label for label in labels if label not in (POPULARITY, BASELINE, "svd")]
        title = f"{score.algorithm_title} ({'; '.join(roles)})" if roles else score.algorithm_title
        table.add_row(title, *_format_lists(score), *_format_errors(score))
    return table


def _format_lists(score: TestScore) -> tuple[str, ...]:
    if score.lists is None:
        return ("", "", "", "")
    ndcg = score.lists.ndcg
    bounds = f"{ndcg.low:.4f} to {ndcg.high:.4f}" if isfinite(ndcg.low) else ""
    return f"{ndcg.mean:.4f}", bounds, f"{score.lists.recall:.4f}", f"{score.lists.coverage:.1%}"


def _format_errors(score: TestScore) -> tuple[str, str]:
    return (f"{score.errors['rmse']:.4f}", f"{score.errors['mae']:.4f}") if score.errors else ("", "")


def _describe_recommender(record: Mapping[str, Any], n: int) -> list[str]:
    """Return sentences on who was evaluated, and on a recommender that does not beat popularity."""
    test_set, recommender = record["test_set"], record["scores"]["recommender"]
    sentences = [
        f"{test_set['evaluated_users']} of {test_set['users']} users of the test set "
        f"({test_set['evaluated_share']:.0%}) have a relevant held-out item and are evaluated."
    ]
    if test_set["evaluated_newcomers"]:
        sentences.append(
            f"{test_set['evaluated_newcomers']} of them are newcomers, with NDCG@{n} "
            f"{recommender['newcomer_ndcg']:.4f}."
        )
    if recommender["algorithm"] != POPULARITY and recommender.get("popularity_gain_low", 1.0) <= 0:
        sentences.append(
            f"The recommender is not shown to be better than the popularity list: its NDCG@{n} differs by "
            f"{recommender['popularity_gain']:+.4f} (95% CI {recommender['popularity_gain_low']:+.4f} to "
            f"{recommender['popularity_gain_high']:+.4f})."
        )
    return sentences


def _describe_looks(n: int) -> str:
    return (
        f"{n} different choices have been scored on this test set in this clone. Scores that guide choices "
        "become too good; for an honest score, hold out a new test set (newer data, or another seed)."
    )


if __name__ == "__main__":
    run_stage(evaluate_on_test_set, "evaluate")
