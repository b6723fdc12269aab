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
from experiments.evaluation.cross_validation import FoldData
from experiments.evaluation.protocol import EvaluationProtocol
from experiments.evaluation.repeats import score_repeats
from experiments.evaluation.strong_generalization import LeftOutUsers, leave_out_users
from experiments.evaluation.test_set import TestScore, TestSet
from experiments.evaluation.test_summary import BASELINE, POPULARITY, TestSummary
from experiments.tracking.model_registry import ModelVersion, find_champion
from marquee.algorithms.registry import find_algorithm
from marquee.algorithms.scoring import encode_pairs
from marquee.errors import MarqueeError
from marquee.files.atomic_write import write_json
from marquee.files.digest import sha256_of
from marquee.interactions.columns import USER
from marquee.interactions.matrix import DEFAULT_SCALE
from marquee.model.recipe import Recipe
from marquee.seeds import seed_for
from pipelines.support.console import create_console
from pipelines.support.fitted_recipes import load_fitted_recipes
from pipelines.support.interaction_tables import (
    allow_repeats,
    is_cut_by_time,
    read_all_pairs,
    read_feedback,
    read_newcomers,
    read_repeats,
    read_test_set,
    read_trainset,
)
from pipelines.support.paths import ALGORITHM_STATE, CHAMPION_SCORE, EVALUATION, TEST_HEADLINE
from pipelines.support.selected_recipes import find_best_svd
from pipelines.support.stage_runner import run_stage
from pipelines.support.test_looks import record_test_look

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


class TestPart:
    """Test part as the stage `split` wrote it, and the recipes that were fitted on its training set.

    Args:
        params: content of params.yaml.
    """

    __test__ = False  # not a pytest class, despite its name

    def __init__(self, params: Params) -> None:
        self._seed, self._feedback = params.seed, read_feedback()
        self._trainset = read_trainset(self._feedback)
        self._protocol = EvaluationProtocol(
            params.measure.top_n,
            self._feedback.positive_from,
            is_graded=self._feedback.feedback == "implicit",
        )
        self.fitted = load_fitted_recipes(ALGORITHM_STATE, self._trainset)

    def score_selection(self) -> ScoreBoard:
        """Score the fitted recipes, the best SVD and the baselines."""
        test_set = self._build_test_set()
        board = ScoreBoard(test_set)
        for role, model in self.fitted.items():
            board.add(role, model.recipe, test_set.score(model.algorithm, model.recipe.algorithm))
        if (svd := find_best_svd(self._seed)) is not None:
            board.add("svd", svd)
        for name in (POPULARITY, BASELINE) if test_set.has_ratings else (POPULARITY,):
            board.add(name, self._create_reference(name))
        return board

    def score_repeats(self) -> dict[str, float] | None:
        """Return number and scores of the repeats, which are not in the test set; None if it allows them."""
        if allow_repeats():
            return None
        repeats, n_pairs = read_repeats(), len(read_test_set())
        counts = {"pairs": len(repeats), "share": len(repeats) / (len(repeats) + n_pairs)}
        matrix, recommender = self._trainset.matrix, self.fitted["recommender"].algorithm
        scores = score_repeats(recommender, matrix, encode_pairs(repeats, matrix), self._protocol)
        return counts if scores is None else counts | scores.to_record()

    def measure_strong_generalization(self) -> dict[str, Any]:
        """Return the scores of lists for left-out users, or why there are none."""
        cut_seed = seed_for(self._seed, "strong generalization")
        try:
            cut = leave_out_users(read_all_pairs(self._feedback), cut_seed, by_time=is_cut_by_time())
            scale = self._feedback.scale or DEFAULT_SCALE
            users = LeftOutUsers(cut, self._protocol, scale, allow_repeats=allow_repeats())
            popularity = users.fit_and_score(self._create_reference(POPULARITY))
            records = {POPULARITY: popularity.to_record()}
            recipe = self.fitted["recommender"].recipe
            if (
                recipe.algorithm == POPULARITY
                or find_algorithm(recipe.algorithm).algorithm_class.uses_histories
            ):
                score = users.fit_and_score(recipe)
                records["recommender"] = score.to_record() | score.compare_with_popularity(popularity)
        except MarqueeError as error:  # such as too few users; the test itself is complete
            return {"error": str(error)}
        return {"users": users.n_users, "evaluated_users": users.n_evaluated, "scores": records}

    def _build_test_set(self) -> TestSet:
        test = read_test_set()
        return TestSet(
            self._trainset,
            FoldData(self._trainset.matrix, encode_pairs(test, self._trainset.matrix)),
            self._protocol,
            n_users=test[USER].nunique(),
            has_ratings=self._feedback.feedback == "explicit",
            newcomers=read_newcomers(),
            allow_repeats=allow_repeats(),
        )

    def _create_reference(self, name: str) -> Recipe:
        return Recipe(name, {}, seed_for(self._seed, "fit", name))


def evaluate_on_test_set(params: Params) -> None:
    """Write results/evaluation.json and, in files that are not stage outputs, champion's score and look."""
    part = TestPart(params)
    board = part.score_selection()
    n_looks = record_test_look({role: model.recipe for role, model in part.fitted.items()})
    record = _build_record(part, board)
    write_json(EVALUATION, record)
    write_json(TEST_HEADLINE, _build_headline(record["scores"]))
    summary, notes = TestSummary(record), [_describe_looks(n_looks)] if n_looks > 1 else []
    CHAMPION_SCORE.unlink(missing_ok=True)
    if (champion := find_champion(params.registration.model)) is not None:
        notes += _score_champion(champion, params.seed, board)
    table = _build_table(board.scores, champion, params.measure.top_n)
    _print(summary.warnings(), table, summary.sentences() + notes)


def _build_record(part: TestPart, board: ScoreBoard) -> dict[str, Any]:
    """Return the content of results/evaluation.json."""
    repeats = part.score_repeats()
    return {
        **board.to_record(),
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
    if "champion recommender" in board.scores and (lists := board.scores["champion recommender"].lists):
        metrics |= lists.to_record()
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
    has_ratings = any(score.rated_ndcg is not None for score in scores.values())
    second = "rated" if has_ratings else "graded"
    for column in ("model", f"NDCG@{n}", "95% CI", second, f"recall@{n}", "coverage", "RMSE", "MAE"):
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


def _describe_looks(n: int) -> str:
    return (
        f"{n} different choices have been scored on this test part in this clone. Scores that guide choices "
        "become too good; for an honest score, hold out a new test part (newer data, or another seed)."
    )


if __name__ == "__main__":
    run_stage(evaluate_on_test_set, "evaluate")
