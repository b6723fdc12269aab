"""Explanation of the recommender: its sentences, and that none contradicts the measured values."""

import re
from collections.abc import Sequence
from dataclasses import replace
from math import isfinite, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student_t

from experiments.evaluation.user_intervals import MIN_USERS, STANDARD_ERROR_FACTOR, UserValues
from experiments.selection.recommender_explanation import TrialDescriptions, explain_recommender
from experiments.selection.recommender_rule import (
    Budget,
    RecommenderChoice,
    RecommenderTrials,
    choose_recommender,
)
from marquee.interactions.columns import FeedbackType
from tests.support.recommender_trials import make_trials, to_user_values

MARGIN = 0.01
ALGORITHMS = ["ease", "implicit_als", "svd", "popularity", "normal_predictor"]


def describe(n_trials: int, **changes: object) -> TrialDescriptions:
    descriptions = TrialDescriptions(
        "NDCG@10",
        "three random validation parts",
        [f"T{number}" for number in range(n_trials)],
        [f"{number + 1}.00 MB" for number in range(n_trials)],
    )
    return replace(descriptions, **changes)  # type: ignore[arg-type]


def explain(trials: RecommenderTrials, *, feedback: FeedbackType = "explicit", **changes: object) -> str:
    choice = choose_recommender(trials, feedback, MARGIN)
    return explain_recommender(trials, choice, describe(len(trials.keys), **changes))


def typical_trials(**changes: object) -> RecommenderTrials:
    """Return EASE at 0.38, ALS at 0.34, SVD at 0.09, popularity at 0.19 and Random at 0.01."""
    trials = make_trials([0.38, 0.34, 0.09, 0.19, 0.01], algorithms=ALGORITHMS, spread=0.0)
    return replace(trials, **changes)  # type: ignore[arg-type]


def test_paragraph_of_a_typical_search() -> None:
    text = explain(
        typical_trials(),
        predictor=2,
        properties={"coverage": [0.2, 0.3, 0.1, 0.02, 1.0], "novelty": [9, 8, 7, 1, 9.9]},
    )
    assert text == (
        "T0 is the recommender: NDCG@10 0.3800 (95% CI 0.3800 to 0.3800), measured with 300 users on "
        "three random "
        "validation parts, 0.0400 (95% CI 0.0400 to 0.0400) higher than that of the best of another "
        "algorithm, T1 (0.3400); 5 trials were compared. "
        "That is 2.00 times the NDCG@10 of the most popular items for everybody (0.1900). "
        "The lists of the trial with the lowest RMSE, T2, reach NDCG@10 0.0900, 76.3% less. "
        "Another algorithm that ranks above popularity and Random is better in coverage (0.3000 "
        "compared with "
        "0.2000: T1)."
    )


@pytest.mark.parametrize(("n_dropped", "words"), [(1, "1 was"), (2, "2 were")])
def test_dropped_trials_are_counted(n_dropped: int, words: str) -> None:
    trials = make_trials([0.4, 0.3, 0.2])
    values = trials.values.values.copy()
    values[3 - n_dropped :, :10] = np.nan  # evaluated on a sample only
    incomplete = replace(trials, values=UserValues(values, trials.values.parts, trials.values.users))
    assert f"3 trials were compared, of which {words} dropped early." in explain(incomplete)


def test_defeat_by_popularity_is_the_first_sentence() -> None:
    trials = make_trials(
        [0.18, 0.19], algorithms=["ease", "popularity"], budgets=[Budget("it takes", "s", 1, [0, 2])]
    )
    assert explain(trials).startswith(
        "The lists of T0 are worse than the most popular items for everybody: NDCG@10 0.1800 "
        "compared with 0.1900. T0"
    )


def test_lead_over_popularity_by_chance_is_called_so() -> None:
    trials = make_trials([0.1905, 0.19], algorithms=["ease", "popularity"], spread=0.1)
    assert re.match(
        r"The lists of T0 are not shown to beat the most popular items for everybody: NDCG@10 0\.1905 "
        r"compared with 0\.1900, a difference of 0\.0005 \(95% CI -0\.0\d+ to 0\.0\d+\), which may be "
        r"chance\. T0 ",
        explain(trials),
    )


def test_popularity_as_winner_says_that_nothing_beats_it() -> None:
    trials = make_trials([0.18, 0.19], algorithms=["ease", "popularity"])
    assert explain(trials, list_agreement=0.998) == (
        "No recommender is shown to beat the most popular items for everybody. "
        "T1 is the recommender: NDCG@10 0.1900 (95% CI 0.1900 to 0.1900), measured with 300 users on "
        "three random "
        "validation parts, 0.0100 (95% CI 0.0100 to 0.0100) higher than that of the best of another "
        "algorithm, T0 (0.1800); 2 trials were compared. "
        "It is not personal: the lists of two users have 100% of their items in common."
    )


def test_cheaper_popularity_is_not_called_unbeaten() -> None:
    trials = make_trials([0.1905, 0.19], algorithms=["ease", "popularity"], costs=[5.0, 1.0])
    text = explain(trials, feedback="implicit")
    assert "No recommender" not in text
    assert (
        "It is preferred to T0, which leads with 0.1905: its loss is at most 0.27% with 95% "
        "confidence, within the "
        "margin of 1%, and it takes 2.00 MB instead of 1.00 MB." in text
    )


def test_cost_that_differs_between_runs_has_no_number() -> None:
    trials = make_trials([0.1905, 0.19], costs=[5.0, 1.0])
    assert "and it is faster to fit." in explain(trials, feedback="implicit", costs=["", ""])


def test_preference_by_the_order_of_rated_items() -> None:
    trials = make_trials([0.310, 0.309], rated=[0.80, 0.85])
    assert "and it orders the items that users rated better (0.8500 compared with 0.8000)." in explain(trials)


def test_too_few_users_are_said() -> None:
    trials = make_trials([0.3, 0.2], algorithms=["ease", "svd"], n_users=98)
    text = explain(trials)
    assert "With 98 evaluated users, any difference may be chance; at least 200 are needed." in text
    assert "higher than that of the best of another algorithm, T1 (0.2000), which may be chance; 2" in text


def test_winner_with_the_lowest_rmse_is_both() -> None:
    assert "It also has the lowest RMSE." in explain(typical_trials(), predictor=0)
    assert "It also has the lowest MAE." in explain(typical_trials(), predictor=0, error="MAE")
    assert "the lowest MAE, T2, reach" in explain(typical_trials(), predictor=2, error="MAE")


def test_trials_over_budget_are_named() -> None:
    budgets = [Budget("a fit takes", "s", 10, [20, 1, 1, 1, 1])]
    assert "T0 has better lists but exceeds a budget." in explain(typical_trials(budgets=budgets))
    budgets = [Budget("a fit takes", "s", 10, [20, 20, 20, 20, 20, 1])]
    trials = make_trials([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], budgets=budgets)
    assert "T0, T1, T2 and 2 more have better lists but exceed a budget." in explain(trials)


def test_trials_below_popularity_are_no_trade_off() -> None:
    text = explain(typical_trials(), properties={"coverage": [0.2, 0.1, 0.9, 0.02, 1.0]})
    assert text.endswith("No other algorithm that ranks above popularity and Random is better in coverage.")


def test_single_trial_has_nothing_to_compare_with() -> None:
    text = explain(make_trials([0.3]), properties={"coverage": [0.2]}, predictor=None)
    assert text == (
        "T0 is the recommender: NDCG@10 0.3000 (95% CI 0.3000 to 0.3000), measured with 300 users on "
        "three random "
        "validation parts; no other trial was compared."
    )


# No sentence contradicts the measured values: the claims of random paragraphs are parsed and checked

NUMBER = r"-?\d+\.\d+"
INTERVAL = rf"\(95% CI ({NUMBER}) to ({NUMBER})\)"
MAY_BE_CHANCE = "which may be chance"


class Claims:
    """Claims of a paragraph, checked against values by user of shape (n_trials, n_parts, n_users)."""

    def __init__(self, text: str, values: np.ndarray, choice: RecommenderChoice) -> None:
        self.text, self.choice, self.n_users = text, choice, values.shape[2]
        self.means = values.mean(axis=(1, 2))
        self.averages = values.mean(axis=1)

    def mean_of(self, label: str) -> float:
        return float(self.means[int(label[1:])])

    def is_beyond_chance(self, first: str, second: str) -> bool:
        """Return True if the difference of two trials is beyond chance, by an interval computed in "
        "another way."""
        difference = self.averages[int(first[1:])] - self.averages[int(second[1:])]
        error = STANDARD_ERROR_FACTOR * difference.std(ddof=1) / np.sqrt(self.n_users)
        quantile = float(student_t.ppf(0.975, self.n_users - 1))
        return bool(self.n_users >= MIN_USERS and abs(difference.mean()) > quantile * error)

    def check(self, predictor: int, properties: Sequence[float]) -> None:
        self.check_value_and_lead()
        self.check_popularity()
        self.check_predictor(f"T{predictor}")
        self.check_trade_offs(properties)

    def check_value_and_lead(self) -> None:
        value = re.search(
            rf"(T\d) is the recommender: NDCG@10 ({NUMBER}) {INTERVAL}, measured with (\d+)", self.text
        )
        assert value
        label, mean, low, high, n_users = value.groups()
        assert float(mean) == pytest.approx(self.mean_of(label), abs=6e-5)
        assert 0 <= float(low) <= float(mean) <= float(high) <= 1
        assert int(n_users) == self.n_users
        lead = re.search(
            rf"({NUMBER}) {INTERVAL} (higher|lower) than that of (T\d) \(({NUMBER})\)(, {MAY_BE_CHANCE})?",
            self.text,
        )
        if lead:
            size, low, high, direction, other, other_mean, chance = lead.groups()
            difference = self.mean_of(label) - self.mean_of(other)
            assert (difference > 0) == (direction == "higher")
            assert float(size) == pytest.approx(abs(difference), abs=6e-5)
            assert float(low) <= float(size) <= float(high)
            assert float(other_mean) == pytest.approx(self.mean_of(other), abs=6e-5)
            assert self.is_beyond_chance(label, other) == (chance is None)
        assert ("any difference may be chance" in self.text) == (self.n_users < MIN_USERS)

    def check_popularity(self) -> None:
        label, popularity = f"T{self.choice.winner.trial}", "T3"
        is_better = self.mean_of(label) > self.mean_of(popularity)
        is_clear = label != popularity and self.is_beyond_chance(label, popularity)
        assert ("times the NDCG@10 of the most popular" in self.text) == (is_clear and is_better)
        assert ("are worse than the most popular" in self.text) == (is_clear and not is_better)
        assert ("are not shown to beat the most popular" in self.text) == (
            label != popularity and not is_clear
        )
        if ratio := re.search(rf"That is ({NUMBER}) times .* everybody \(({NUMBER})\)", self.text):
            assert float(ratio[1]) == pytest.approx(self.mean_of(label) / self.mean_of(popularity), abs=6e-3)
        if "No recommender is shown to beat" in self.text:
            assert not any(
                self.is_beyond_chance(f"T{other.trial}", popularity)
                and self.mean_of(f"T{other.trial}") > self.mean_of(popularity)
                for other in self.choice.contenders
            )

    def check_predictor(self, predictor: str) -> None:
        label = f"T{self.choice.winner.trial}"
        claim = re.search(
            rf"lowest RMSE, (T\d), reach NDCG@10 ({NUMBER}), (?:({NUMBER})% (less|more)(, "
            rf"{MAY_BE_CHANCE})?|about)",
            self.text,
        )
        assert (claim is None) == (label == predictor) == ("It also has the lowest RMSE" in self.text)
        if claim and claim[3]:
            change = self.mean_of(predictor) / self.mean_of(label) - 1
            assert claim[1] == predictor
            assert (change < 0) == (claim[4] == "less")
            assert float(claim[3]) == pytest.approx(100 * abs(change), abs=0.06)
            assert self.is_beyond_chance(predictor, label) == (claim[5] is None)

    def check_trade_offs(self, coverage: Sequence[float]) -> None:
        winner = self.choice.winner.trial
        floor = max(self.means[3], self.means[4])
        above = [other.trial for other in self.choice.contenders if self.means[other.trial] > floor]
        best_of_algorithm = {ALGORITHMS[k % 5]: k for k in reversed(above)}
        others = [
            k
            for name, k in best_of_algorithm.items()
            if name != ALGORITHMS[winner % 5] and isfinite(coverage[k])
        ]
        is_better = [k for k in others if coverage[k] > coverage[winner]]
        claim = re.search(rf"is better in coverage \(({NUMBER}) compared with ({NUMBER}): (T\d)\)", self.text)
        assert (claim is not None) == bool(is_better)
        if claim:
            assert float(claim[1]) > float(claim[2])
            assert int(claim[3][1:]) in is_better
        assert ("is better in coverage." in self.text) == bool(
            others and not is_better and isfinite(coverage[winner])
        )


@settings(max_examples=150, deadline=None)
@given(
    means=st.lists(st.sampled_from([0.05, 0.1, 0.2, 0.2003, 0.21, 0.4]), min_size=5, max_size=7),
    spread=st.sampled_from([0.0, 0.01, 0.2]),
    n_users=st.sampled_from([150, 200, 260]),
    feedback=st.sampled_from(["explicit", "implicit"]),
    predictor=st.integers(0, 4),
    coverage=st.lists(st.sampled_from([nan, 0.1, 0.2, 0.20001]), min_size=7, max_size=7),
    seed=st.integers(0, 1000),
)
def test_no_sentence_contradicts_the_measured_values(
    *,
    means: list[float],
    spread: float,
    n_users: int,
    feedback: FeedbackType,
    predictor: int,
    coverage: list[float],
    seed: int,
) -> None:
    rng, n = np.random.default_rng(seed), len(means)
    noise = rng.normal(0, spread, (n, 3, n_users)) + rng.normal(0, spread, (1, 1, n_users))
    values = np.clip(np.array(means)[:, None, None] + noise, 0, 1).astype(np.float32).astype(np.float64)
    trials = RecommenderTrials(
        [f"trial {k}" for k in range(n)],
        [ALGORITHMS[k % 5] for k in range(n)],
        to_user_values(values),
        rng.choice([0.7, 0.8], n).tolist(),
        rng.choice([1.0, 2.0], n).tolist(),
    )
    choice = choose_recommender(trials, feedback, MARGIN)
    descriptions = describe(n, predictor=predictor, properties={"coverage": coverage[:n]})
    text = explain_recommender(trials, choice, descriptions)
    if choice.popularity is None or choice.popularity.value.mean == 0:
        return
    Claims(text, values, choice).check(predictor, coverage)
