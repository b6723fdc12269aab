"""Sentences on the content of results/evaluation.json: what the test part says about the recommender."""

from collections.abc import Mapping
from typing import Any

from experiments.evaluation.phrases import (
    MAY_BE_CHANCE,
    MOST_POPULAR,
    describe_too_few_users,
    format_difference,
)
from experiments.evaluation.user_intervals import MIN_USERS
from marquee.algorithms.registry import BASELINE, POPULARITY, find_algorithm


class TestSummary:
    """Sentences on an evaluation.

    Args:
        record: content of results/evaluation.json.
    """

    __test__ = False  # not a pytest class, despite its name

    def __init__(self, record: Mapping[str, Any]) -> None:
        self._record, self._test_set, self._scores = record, record["test_set"], record["scores"]
        self._recommender = self._scores["recommender"]
        self._title = find_algorithm(self._recommender["algorithm"]).title
        self._n = self._test_set["n"]

    def warnings(self) -> list[str]:
        """Return what has to be read first: lists without a score, and models as good as the simplest."""
        return _drop_empty(self._missing_scores(), self._defeat_by_popularity(), self._defeat_by_baseline())

    def sentences(self) -> list[str]:
        """Return what was measured, and on whom."""
        return _drop_empty(
            self._ratio_to_popularity(),
            self._evaluated_users(),
            self._served_lists(),
            self._newcomers(),
            *self._repeats(),
            self._strong_generalization(),
        )

    def _served_lists(self) -> str:
        """State what it costs that the served model stores only the largest weights of the recommender."""
        if "served_ndcg" not in self._recommender:
            return ""
        served, ndcg = self._recommender["served_ndcg"], self._recommender["ndcg"]
        share = f" ({served / ndcg:.1%} of {ndcg:.4f})" if ndcg > 0 else ""
        return (
            f"The served model stores only the largest weights of {self._title}; lists computed from these "
            f"have NDCG@{self._n} {served:.4f}{share}."
        )

    def _missing_scores(self) -> str:
        """State that no user of the test part is evaluated."""
        if self._test_set["evaluated_users"]:
            return ""
        return (
            "No list has a score on the test part, because no user of it has training rows and a relevant "
            "held-out item; add data, or choose another split.strategy."
        )

    def _defeat_by_popularity(self) -> str:
        """State that the recommender is not shown to be better than popularity."""
        if "popularity_gain" not in self._recommender or self._beats_popularity():
            return ""
        if self._recommender["algorithm"] == POPULARITY:
            return "The recommender shows everybody the most popular items: its lists are not personal."
        return f"The lists of {self._title} are {self._compare_with_popularity()}"

    def _compare_with_popularity(self) -> str:
        """Return the end of the sentence on lists that do not beat popularity."""
        metric = f"NDCG@{self._n} {self._recommender['ndcg']:.4f}"
        low, high = (self._recommender[f"popularity_gain_{bound}"] for bound in ("low", "high"))
        if low == high == 0:
            return f"as good as {MOST_POPULAR}: {metric}."
        values = f"{metric} compared with {self._popularity_ndcg():.4f}, {self._gain()}"
        if self._has_enough_users() and high < 0:
            return f"worse than {MOST_POPULAR}: {values}."
        text = f"not shown to beat {MOST_POPULAR}: {values}, {MAY_BE_CHANCE}."
        if self._has_enough_users():
            return text
        return f"{text} {describe_too_few_users(self._test_set['evaluated_users'])}"

    def _defeat_by_baseline(self) -> str:
        """State that the predictor has no lower error than user and item biases."""
        predictor, baseline = self._scores.get("predictor", {}), self._scores.get(BASELINE, {})
        if not {"rmse"} <= predictor.keys() & baseline.keys() or predictor["algorithm"] == BASELINE:
            return ""
        if predictor["rmse"] < baseline["rmse"]:
            return ""
        titles = [find_algorithm(score["algorithm"]).title for score in (predictor, baseline)]
        values = f"RMSE {predictor['rmse']:.4f} compared with {baseline['rmse']:.4f}"
        return f"{titles[0]} does not predict ratings better than {titles[1]}: {values}."

    def _ratio_to_popularity(self) -> str:
        if not self._beats_popularity():
            return ""
        start = f"The lists of {self._title} reach NDCG@{self._n} {_format_ndcg(self._recommender)}"
        if "popularity_ratio" not in self._recommender:
            return f"{start}; those of {MOST_POPULAR} contain no hit."
        return (
            f"{start}, {self._recommender['popularity_ratio']:.2f} times that of {MOST_POPULAR} "
            f"({self._popularity_ndcg():.4f}): {self._gain()}."
        )

    def _evaluated_users(self) -> str:
        test_set = self._test_set
        return (
            f"{test_set['evaluated_users']} of {test_set['users']} users of the test part "
            f"({test_set['evaluated_share']:.0%}) have a relevant held-out item and are evaluated."
        )

    def _newcomers(self) -> str:
        if "newcomer_ndcg" not in self._recommender:
            return ""
        return (
            f"For the newcomers among them ({self._test_set['evaluated_newcomers']}), NDCG@{self._n} is "
            f"{self._recommender['newcomer_ndcg']:.4f}."
        )

    def _repeats(self) -> list[str]:
        """State how many held-out pairs are repeats, and how many of them a list would contain."""
        repeats = self._record.get("repeats")
        if not repeats or not repeats["pairs"]:
            return []
        n_pairs = repeats["pairs"] + self._test_set["pairs"]
        sentences = [
            f"Repeats, items that the user had before, are {repeats['pairs']} of {n_pairs} held-out pairs "
            f"({repeats['share']:.0%}); they are not in the scores above."
        ]
        if "hit_rate" in repeats:
            sentences.append(
                f"Of the users with relevant repeats ({repeats['users']}), {repeats['hit_rate']:.0%} would "
                f"find one in a list of {self._n} that may show known items, and "
                f"{repeats['own_items_hit_rate']:.0%} in a list of their own top items. To recommend known "
                "items, set split.repeat to allow."
            )
        return sentences

    def _strong_generalization(self) -> str:
        """State how good lists are for users who were left out of the training."""
        result = self._record["strong_generalization"]
        if "error" in result:
            return f"Lists for users without training were not measured: {result['error']}."
        popularity = result["scores"][POPULARITY]
        if "recommender" not in result["scores"]:
            return (
                f"{self._title} cannot recommend to users that it was not fitted with; they get the most "
                f"popular items, with NDCG@{self._n} {_format_ndcg(popularity)}."
            )
        start = f"Users who were left out of the training ({result['evaluated_users']} evaluated)"
        shared = f"{MOST_POPULAR} reach NDCG@{self._n} {_format_ndcg(popularity)}"
        if self._recommender["algorithm"] == POPULARITY:
            return f"{start}: {shared}."
        return (
            f"{start}: {self._title} reaches NDCG@{self._n} {_format_ndcg(result['scores']['recommender'])} "
            f"from their history alone; {shared}."
        )

    def _beats_popularity(self) -> bool:
        return self._has_enough_users() and self._recommender.get("popularity_gain_low", 0.0) > 0

    def _has_enough_users(self) -> bool:
        return bool(self._test_set["evaluated_users"] >= MIN_USERS)

    def _popularity_ndcg(self) -> float:
        ndcg: float = self._scores[POPULARITY]["ndcg"]
        return ndcg

    def _gain(self) -> str:
        bounds = (self._recommender[f"popularity_gain{bound}"] for bound in ("", "_low", "_high"))
        return f"a difference of {format_difference(*bounds)}"


def _format_ndcg(score: Mapping[str, Any]) -> str:
    return f"{score['ndcg']:.4f} (95% CI {score['ndcg_low']:.4f} to {score['ndcg_high']:.4f})"


def _drop_empty(*sentences: str) -> list[str]:
    return [sentence for sentence in sentences if sentence]


def state_looks(n_looks: int) -> str:
    """Return a sentence on how often the test part was used in this clone."""
    if n_looks <= 1:
        return "No other choice was scored on this test part in this clone."
    return (
        f"{n_looks} different choices were scored on this test part in this clone. Scores that guide choices "
        "become too good; for an honest score, hold out a new test part (newer data, or another seed)."
    )
