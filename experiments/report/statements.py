"""Sentences of the report about measured values; a property test compares them with these values.

Each sentence names the split that its numbers come from. A difference that is not beyond chance is called so.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from scipy.stats import kendalltau

from experiments.evaluation.common_lists import MAX_COMMON_SHARE
from experiments.evaluation.user_intervals import MIN_USERS, UserInterval
from experiments.selection.list_comparison import ListComparison
from experiments.selection.recommender_rule import POPULARITY
from marquee.algorithms.registry import find_algorithm

MOST_POPULAR = "the most popular items for everybody"
MAY_BE_CHANCE = "which may be chance"
BASELINE = "baseline_only"


class Ordered(NamedTuple):
    """Titles of the rows of a table, best first, and the name of what they are ordered by."""

    name: str  # such as "NDCG@10 on the validation parts"
    titles: Sequence[str]


def state_warnings(lists: ListComparison, evaluation: Mapping[str, Any]) -> list[str]:
    """Return what must be read first: lists or ratings that do not beat the simplest ones.

    Args:
        lists: lists on the validation parts.
        evaluation: content of results/evaluation.json.
    """
    return [
        sentence
        for sentence in (
            _defeat_on_test_part(evaluation),
            _defeat_on_validation_parts(lists),
            _not_personal(lists),
            _defeat_by_baseline(evaluation),
        )
        if sentence
    ]


def state_evaluated_users(evaluation: Mapping[str, Any]) -> list[str]:
    """Return sentences on who was evaluated on the test part, and on what is not in its scores."""
    test, n = evaluation["test_set"], evaluation["test_set"]["n"]
    recommender = evaluation["scores"]["recommender"]
    sentences = [
        f"{test['evaluated_users']} of {test['users']} users of the test part "
        f"({test['evaluated_share']:.0%}) have a relevant held-out item and are evaluated."
    ]
    if test["evaluated_users"] < MIN_USERS:
        sentences.append(f"With fewer than {MIN_USERS}, any difference of their lists may be chance.")
    if "newcomer_ndcg" in recommender:
        sentences.append(
            f"{test['evaluated_newcomers']} of them are newcomers; for these alone, the recommender reaches "
            f"NDCG@{n} {recommender['newcomer_ndcg']:.4f}."
        )
    return [*sentences, *_repeats(evaluation), *_left_out_users(evaluation)]


def state_looks(n_looks: int) -> str:
    """Return a sentence on how often the test part was used in this clone."""
    if n_looks <= 1:
        return "No other choice was scored on this test part in this clone."
    return (
        f"{n_looks} different choices were scored on this test part in this clone. Scores that guide choices "
        "become too good; for an honest score, hold out a new test part (newer data, or another seed)."
    )


def explain_orders(first: Ordered, second: Ordered, reason: str) -> str:
    """Return a sentence on why two tables order the same rows differently; empty if they do not.

    Args:
        first: rows of one table; a title that occurs twice counts where it occurs first.
        second: rows of another table.
        reason: clause that follows "because".

    >>> explain_orders(Ordered("A", ["x", "y"]), Ordered("B", ["y", "x"]), "B is another metric")
    'By A, x is above y; by B, it is the other way around (Kendall's τ = -1.00 over 2 rows), because B is another metric.'
    """
    orders = [list(dict.fromkeys(order.titles)) for order in (first, second)]
    common = [title for title in orders[0] if title in orders[1]]
    places = {title: orders[1].index(title) for title in common}
    swapped = [pair for pair in combinations(common, 2) if places[pair[0]] > places[pair[1]]]
    if not swapped:
        return ""
    tau = kendalltau(range(len(common)), [places[title] for title in common]).statistic
    above, below = swapped[0]
    return (
        f"By {first.name}, {above} is above {below}; by {second.name}, it is the other way around "
        f"(Kendall's τ = {tau:.2f} over {len(common)} rows), because {reason}."
    )


def overlap(score: Mapping[str, Any], other: Mapping[str, Any]) -> bool | None:
    """Return True if the intervals of two NDCGs overlap; None if one of them is unknown."""
    if not all({"ndcg_low", "ndcg_high"} <= each.keys() for each in (score, other)):
        return None
    return bool(score["ndcg_low"] <= other["ndcg_high"] and other["ndcg_low"] <= score["ndcg_high"])


def _defeat_on_test_part(evaluation: Mapping[str, Any]) -> str:
    """State that the recommender is not shown to be better than popularity on the test part."""
    scores, test = evaluation["scores"], evaluation["test_set"]
    recommender, popularity = scores["recommender"], scores.get(POPULARITY, {})
    if recommender["algorithm"] == POPULARITY or not {"popularity_gain_low"} <= recommender.keys():
        return ""
    low, high = recommender["popularity_gain_low"], recommender["popularity_gain_high"]
    has_enough_users = test["evaluated_users"] >= MIN_USERS
    if has_enough_users and low > 0:
        return ""
    is_worse = has_enough_users and high < 0
    return (
        f"On the test part, the lists of {_title(recommender)} are "
        f"{'worse than' if is_worse else 'not shown to beat'} {MOST_POPULAR}: NDCG@{test['n']} "
        f"{recommender['ndcg']:.4f} compared with {popularity['ndcg']:.4f}, a difference of "
        f"{recommender['popularity_gain']:+.4f} (95% CI {low:+.4f} to {high:+.4f})"
        f"{'' if is_worse else f', {MAY_BE_CHANCE}'}."
    )


def _defeat_on_validation_parts(lists: ListComparison) -> str:
    """State the same of the validation parts."""
    gain, recommender = lists.popularity_gain(), lists.selection.recommender
    if gain is None or recommender.algorithm == POPULARITY or (gain.excludes_zero and gain.mean > 0):
        return ""
    verdict = "worse than" if gain.excludes_zero else "not shown to beat"
    chance = "" if gain.excludes_zero else f", {MAY_BE_CHANCE}"
    metric = lists.results.metric_display_name(lists.metric)
    return (
        f"On the validation parts, the lists of {recommender.algorithm_title} are {verdict} {MOST_POPULAR}: a "
        f"difference in {metric} of {format_difference(gain)}{chance}."
    )


def _not_personal(lists: ListComparison) -> str:
    """State that (nearly) everybody gets the same list."""
    recommender = lists.selection.recommender
    if recommender.algorithm == POPULARITY:
        return "The recommender is not personal: it shows everybody the most popular items."
    measured = lists.results.candidates.get(recommender.number)
    share = measured.mean("common_list_share") if measured else 0.0
    if not share >= MAX_COMMON_SHARE:
        return ""
    return (
        f"{recommender.algorithm_title} is not personal: on the validation parts, {share:.0%} of the users get "
        "nearly the same list."
    )


def _defeat_by_baseline(evaluation: Mapping[str, Any]) -> str:
    """State that the predictor has no lower error than user and item biases on the test part."""
    scores = evaluation["scores"]
    predictor, baseline = scores.get("predictor", {}), scores.get(BASELINE, {})
    if not {"rmse"} <= predictor.keys() & baseline.keys() or predictor["algorithm"] == BASELINE:
        return ""
    if predictor["rmse"] < baseline["rmse"]:
        return ""
    return (
        f"On the test part, {_title(predictor)} does not predict ratings better than {_title(baseline)}: RMSE "
        f"{predictor['rmse']:.4f} compared with {baseline['rmse']:.4f}."
    )


def _repeats(evaluation: Mapping[str, Any]) -> list[str]:
    """State how many held-out pairs are repeats, and whether a list would contain them."""
    repeats = evaluation.get("repeats")
    if not repeats or not repeats.get("pairs"):
        return []
    n_pairs = repeats["pairs"] + evaluation["test_set"]["pairs"]
    sentences = [
        f"{repeats['pairs']} of {n_pairs} held-out pairs ({repeats['share']:.0%}) are repeats: the user had "
        "the item before. They are not in the scores."
    ]
    if "hit_rate" in repeats:
        sentences.append(
            f"Of {repeats['users']} users with relevant repeats, {repeats['hit_rate']:.0%} would find one in "
            f"lists that may show known items, and {repeats['own_items_hit_rate']:.0%} in lists of their own "
            "top items."
        )
    return sentences


def _left_out_users(evaluation: Mapping[str, Any]) -> list[str]:
    """State how good lists are for users who were left out of the training."""
    result, n = evaluation.get("strong_generalization"), evaluation["test_set"]["n"]
    if not result:
        return []
    if "error" in result:
        return [f"Lists for users who were left out of the training were not measured: {result['error']}."]
    scores, title = result["scores"], _title(evaluation["scores"]["recommender"])
    users = f"{result['evaluated_users']} users who were left out of the training"
    popular = f"NDCG@{n} {format_ndcg(scores[POPULARITY])}"
    if "recommender" not in scores:
        return [f"{title} cannot recommend to {users}; the most popular items reach {popular} for them."]
    own = format_ndcg(scores["recommender"])
    return [f"For {users}, {title} reaches NDCG@{n} {own} from their history alone; popularity, {popular}."]


def format_difference(difference: UserInterval) -> str:
    """Return a difference with its sign and bounds."""
    return f"{difference.mean:+.4f} (95% CI {difference.low:+.4f} to {difference.high:+.4f})"


def format_ndcg(score: Mapping[str, Any]) -> str:
    """Return an NDCG of results/evaluation.json with its bounds, if they are known."""
    if "ndcg_low" not in score:
        return f"{score['ndcg']:.4f}"
    return f"{score['ndcg']:.4f} (95% CI {score['ndcg_low']:.4f} to {score['ndcg_high']:.4f})"


def _title(score: Mapping[str, Any]) -> str:
    return find_algorithm(score["algorithm"]).title
