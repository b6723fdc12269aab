"""Measurements on the test part: scores of the selection and of references, repeats, and left-out users."""

from typing import Any

from experiments.config import Params
from experiments.evaluation.audience import encode_audience
from experiments.evaluation.cross_validation import FoldData
from experiments.evaluation.protocol import EvaluationProtocol
from experiments.evaluation.repeats import score_repeats
from experiments.evaluation.strong_generalization import LeftOutUsers, leave_out_users
from experiments.evaluation.test_set import TestScore, TestSet
from marquee.algorithms.base import Algorithm
from marquee.algorithms.registry import BASELINE, POPULARITY, find_algorithm
from marquee.errors import MarqueeError
from marquee.interactions.columns import USER
from marquee.interactions.matrix import DEFAULT_SCALE
from marquee.model.recipe import Recipe
from marquee.seeds import seed_for
from pipelines.support.derived_feedback import read_feedback
from pipelines.support.fitted_recipes import load_fitted_recipes
from pipelines.support.interaction_tables import (
    allow_repeats,
    is_cut_by_time,
    read_all_pairs,
    read_repeats,
    read_test_history,
    read_test_set,
    read_trainset,
)
from pipelines.support.paths import ALGORITHM_STATE
from pipelines.support.selected_recipes import find_best_svd


class ScoreBoard:
    """Scores on the test set by role; equal recipes are fitted and scored once."""

    def __init__(self, test_set: TestSet) -> None:
        self._test_set = test_set
        self._recipes: dict[str, Recipe] = {}
        self.scores: dict[str, TestScore] = {}

    def add(self, role: str, recipe: Recipe, algorithm: Algorithm | None = None) -> None:
        """Add the score of an equal recipe, or else of the algorithm fitted by it; None: fit it now."""
        equal = next((other for other in self._recipes if self._recipes[other] == recipe), None)
        if equal is not None:
            score = self.scores[equal]
        elif algorithm is not None:
            score = self._test_set.score(algorithm, recipe.algorithm)
        else:
            score = self._test_set.fit_and_score(recipe)
        self._recipes[role], self.scores[role] = recipe, score

    def score_served_lists(self, algorithm: Algorithm) -> dict[str, float]:
        """Return the NDCG of lists from what the served model stores, if that is less than was learned."""
        served = algorithm.build_served_copy()
        lists = None if served is None else self._test_set.score(served, type(algorithm).__name__).lists
        return {} if lists is None else {"served_ndcg": lists.ndcg.mean}

    def to_record(self) -> dict[str, Any]:
        """Return the content of results/evaluation.json."""
        records = {role: score.to_record() for role, score in self.scores.items()}
        recommender, popularity = self.scores["recommender"], self.scores.get(POPULARITY)
        for role, score in self.scores.items():
            if popularity is not None and role != POPULARITY:
                records[role] |= score.compare_with_popularity(popularity)
            if role != "recommender":
                records[role] |= score.compare_with_recommender(recommender)
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
            board.add(role, model.recipe, model.algorithm)
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
        histories, pairs = encode_audience(read_test_history(), repeats, matrix)
        scores = score_repeats(recommender, matrix, pairs, self._protocol, histories)
        return counts if scores is None else counts | scores.to_record()

    def measure_strong_generalization(self) -> dict[str, Any]:
        """Return the scores of lists for left-out users, or why there are none."""
        try:
            users = self._leave_out_users()
            scores = {
                role: users.fit_and_score(recipe) for role, recipe in self._list_fold_in_recipes().items()
            }
        except MarqueeError as error:  # such as too few users; the test itself is complete
            return {"error": str(error)}
        records = {role: score.to_record() for role, score in scores.items()}
        if "recommender" in scores:
            records["recommender"] |= scores["recommender"].compare_with_popularity(scores[POPULARITY])
        return {"users": users.n_users, "evaluated_users": users.n_evaluated, "scores": records}

    def _leave_out_users(self) -> LeftOutUsers:
        seed = seed_for(self._seed, "strong generalization")
        cut = leave_out_users(read_all_pairs(self._feedback), seed, by_time=is_cut_by_time())
        scale = self._feedback.scale or DEFAULT_SCALE
        return LeftOutUsers(cut, self._protocol, scale, allow_repeats=allow_repeats())

    def _list_fold_in_recipes(self) -> dict[str, Recipe]:
        """Return popularity and, if it can recommend to users without training, the recommender."""
        recipes, recipe = {POPULARITY: self._create_reference(POPULARITY)}, self.fitted["recommender"].recipe
        uses_histories = find_algorithm(recipe.algorithm).algorithm_class.uses_histories
        return (
            recipes | {"recommender": recipe} if uses_histories or recipe.algorithm == POPULARITY else recipes
        )

    def _build_test_set(self) -> TestSet:
        test, history, matrix = read_test_set(), read_test_history(), self._trainset.matrix
        histories, pairs = encode_audience(history, test, matrix)
        return TestSet(
            self._trainset,
            FoldData(matrix, pairs),
            self._protocol,
            n_users=len({*test[USER], *read_repeats()[USER], *history[USER]}),
            has_ratings=self._feedback.feedback == "explicit",
            histories=histories,
            allow_repeats=allow_repeats(),
        )

    def _create_reference(self, name: str) -> Recipe:
        return Recipe(name, {}, seed_for(self._seed, "fit", name))
