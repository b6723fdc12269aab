"""Statements and marks of the report: none contradicts the measured values.

The claims of random reports are parsed, and compared with values that are computed in another way.
"""

import re
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student_t

from experiments.evaluation.test_summary import state_looks
from experiments.evaluation.user_intervals import MIN_USERS, STANDARD_ERROR_FACTOR
from experiments.report.statements import Ordered, explain_orders, state_warnings
from experiments.report.summary import SummaryBuilder
from experiments.report.tables import TableBuilder, build_test_scores
from experiments.search.trials import Trial
from experiments.search.user_scores import UserColumns
from experiments.selection.list_comparison import ListComparison, Selection
from experiments.selection.search_results import SearchResults
from marquee.array_types import Float64Array
from tests.support import sample_search_results
from tests.support.sample_search_results import (
    N_PARTS,
    drop_early,
    make_candidate_metrics,
    make_evaluation,
    make_part,
    make_score,
    make_search_results,
    make_selection,
)

NUMBER = r"[-+]?\d+\.\d+"
ALGORITHMS = ("ease", "popularity", "normal_predictor", "svd", "svdpp")
POPULARITY, RANDOM = 1, 2


def warn(recommender: dict[str, float], n_users: int = 400) -> list[str]:
    """Return the warnings of an evaluation with changed scores of the recommender."""
    results = make_search_results()
    base = make_evaluation()
    evaluation = make_evaluation(recommender={**base["scores"]["recommender"], **recommender})
    evaluation["test_set"]["evaluated_users"] = n_users
    return state_warnings(ListComparison(results, make_selection(results)), evaluation)


def test_better_lists_and_ratings_have_no_warning() -> None:
    assert warn({}) == []


def test_lists_that_lose_on_the_test_part_are_the_first_warning() -> None:
    bounds = {"popularity_gain": -0.06, "popularity_gain_low": -0.08, "popularity_gain_high": -0.04}
    first, *_ = warn({"ndcg": 0.10, **bounds})
    assert first.startswith(
        "Test part: The lists of EASE are worse than the most popular items for everybody"
    )


def test_too_few_users_of_the_test_part_are_a_warning() -> None:
    assert "not shown to beat" in warn({}, n_users=MIN_USERS - 1)[0]


def test_too_few_users_mark_every_difference_in_the_tables_of_the_test_part() -> None:
    results, evaluation = make_search_results(), make_evaluation()
    selection = make_selection(results)

    def texts() -> str:
        tables = SummaryBuilder(results, selection, evaluation).build(), build_test_scores(evaluation, {})
        return " ".join(
            [cell.note for row in tables[0].rows for cell in row.cells]
            + [remark for row in tables[1].rows for remark in row.remarks]
        )

    assert texts().count("may be chance") == 0
    evaluation["test_set"]["evaluated_users"] = MIN_USERS - 1
    n_ratios, n_other_models = 2, 4
    assert texts().count("may be chance") == n_ratios + n_other_models


def test_predictor_that_loses_to_the_baseline_is_a_warning() -> None:
    results = make_search_results()
    predictor = {**make_score("svdpp", 0.05), "rmse": 0.95, "mae": 0.7}
    lists = ListComparison(results, make_selection(results))
    (warning,) = state_warnings(lists, make_evaluation(predictor=predictor))
    assert warning == (
        "Test part: SVD++ does not predict ratings better than Baseline: RMSE 0.9500 compared with 0.9300."
    )


def test_recommender_with_nearly_the_same_list_for_everybody_is_called_not_personal() -> None:
    results = make_search_results()
    same = make_candidate_metrics(results.trials_by_number[8], 0.3, 0.25, agreement=0.95)
    results = replace(results, candidates={**results.candidates, 8: same})
    warnings = state_warnings(ListComparison(results, make_selection(results)), make_evaluation())
    assert warnings == [
        "Validation parts: EASE is not personal: the lists of two users have 95% of their items in common."
    ]


def test_dropped_popularity_is_compared_with_the_users_that_it_was_evaluated_with() -> None:
    results = make_search_results()
    trials = [
        drop_early(trial, 250) if trial.algorithm == "popularity" else trial for trial in results.trials
    ]
    lists = ListComparison(results, make_selection(replace(results, trials=trials)))
    gain = lists.popularity_gain()
    assert gain is not None
    assert gain.n_users == 250
    assert gain.mean == pytest.approx(0.15, abs=1e-6)


def test_number_of_looks_at_the_test_part_is_stated() -> None:
    assert state_looks(1) == "No other choice was scored on this test part in this clone."
    assert state_looks(2).startswith("2 different choices were scored on this test part in this clone.")


@settings(max_examples=100, deadline=None)
@given(
    first=st.permutations("abcde"),
    second=st.permutations("abcdef"),
    n=st.integers(0, 5),
)
def test_orders_are_explained_if_and_only_if_they_differ(first: list[str], second: list[str], n: int) -> None:
    sentence = explain_orders(Ordered("A", first[:n]), Ordered("B", second), "of chance")
    common = [title for title in second if title in first[:n]]
    n_swapped = sum(first.index(a) > first.index(b) for a, b in combinations(common, 2))
    assert bool(sentence) == bool(n_swapped)
    if sentence:
        claim = re.search(rf"By A, (\w) is above (\w); by B, .* τ = ({NUMBER}) of (\d) rows", sentence)
        assert claim
        assert first.index(claim[1]) < first.index(claim[2])
        assert second.index(claim[1]) > second.index(claim[2])
        n_pairs = len(common) * (len(common) - 1) / 2
        assert float(claim[3]) == pytest.approx(1 - 2 * n_swapped / n_pairs, abs=0.006)
        assert int(claim[4]) == len(common)


def make_results(values: Float64Array, dropped: set[int], agreements: list[float]) -> SearchResults:
    """Return trials with these values, (n_trials, N_PARTS, n_users), one for each algorithm."""
    trials = []
    for number, algorithm in enumerate(ALGORITHMS):
        parts = tuple(make_part(part.astype(np.float32)) for part in values[number])
        trial = Trial(number, algorithm, {}, parts=parts)
        trials.append(drop_early(trial) if number in dropped else trial)
    measured = {
        number: make_candidate_metrics(
            trials[number], float(values[number].mean()), 0.1, agreement=agreements[number]
        )
        for number in range(len(ALGORITHMS))
    }
    return SearchResults(trials, measured)


class Claims:
    """Claims about lists, checked against values of shape (n_trials, N_PARTS, n_users)."""

    def __init__(self, values: Float64Array, results: SearchResults, selection: Selection) -> None:
        self.values, self.results, self.selection = values, results, selection
        self.winner = selection.recommender.number
        self.dropped = {trial.number for trial in results.trials if trial.pruned}

    def is_beyond_chance(self, first: int, second: int, min_users: int = MIN_USERS) -> bool:
        """Return True if the difference on the common parts is beyond chance."""
        n_parts = 1 if {first, second} & self.dropped else N_PARTS
        difference = (self.values[first] - self.values[second])[:n_parts].mean(axis=0)
        n_users = len(difference)
        error = STANDARD_ERROR_FACTOR * difference.std(ddof=1) / np.sqrt(n_users)
        margin = float(student_t.ppf(0.975, n_users - 1)) * error
        return bool(n_users >= min_users and abs(difference.mean()) > margin)

    def gain_over_popularity(self) -> float:
        n_parts = 1 if POPULARITY in self.dropped else N_PARTS
        difference = (self.values[self.winner] - self.values[POPULARITY])[:n_parts]
        return float(difference.mean())

    def check_warnings(self, agreements: list[float]) -> None:
        lists = ListComparison(self.results, self.selection)
        text = " ".join(state_warnings(lists, make_evaluation()))
        is_popularity = self.winner == POPULARITY
        is_clear, gain = self.is_beyond_chance(self.winner, POPULARITY), self.gain_over_popularity()
        lost_race = POPULARITY in self.dropped and self.is_beyond_chance(self.winner, POPULARITY, min_users=0)
        is_beaten = gain > 0 and (is_clear or lost_race)
        assert ("are worse than" in text) == (not is_popularity and is_clear and gain < 0)
        assert ("are not shown to beat" in text) == (not is_popularity and not is_clear and not is_beaten)
        few_users = self.values.shape[2] < MIN_USERS
        assert ("at least 200 are needed" in text) == ("are not shown to beat" in text and few_users)
        assert ("which may be chance" in text) == ("are not shown to beat" in text)
        assert ("is not personal" in text) == (not is_popularity and agreements[self.winner] > 0.9)
        if claim := re.search(rf"NDCG@10 of ({NUMBER}) \(95% CI ({NUMBER}) to ({NUMBER})\)", text):
            assert float(claim[1]) == pytest.approx(gain, abs=6e-5)
            assert -1 <= float(claim[2]) <= float(claim[1]) <= float(claim[3]) <= 1

    def check_table(self, agreements: list[float]) -> None:
        table = TableBuilder(self.results, self.selection).build_lists()
        numbers = {trial.algorithm_title: trial.number for trial in self.results.trials}
        means = self.values.mean(axis=(1, 2))
        order = [numbers[row.title] for row in table.rows]
        assert sorted(order) == list(range(len(ALGORITHMS)))
        assert all(means[above] >= means[below] - 1e-6 for above, below in pairwise(order))
        for row, number in zip(table.rows, order, strict=True):
            value, difference = row.cells[0], row.cells[1]
            assert float(value.text) == pytest.approx(means[number], abs=6e-5)
            if bounds := re.findall(NUMBER, value.note):
                assert 0 <= float(bounds[0]) <= float(value.text) <= float(bounds[1]) <= 1
            assert bool(bounds) == (number not in self.dropped)
            assert ("below popularity" in " ".join(row.remarks)) == (means[number] < means[POPULARITY])
            assert ("Random" in " ".join(row.remarks)) == (means[number] < means[RANDOM])
            assert ("not personal" in row.remarks) == (agreements[number] > 0.9)
            if number != order[0]:
                change = means[number] - means[order[0]]
                assert float(difference.text) == pytest.approx(change, abs=6e-5)
                if not {number, order[0]} & self.dropped:
                    is_marked = "may be chance" in difference.note
                    assert is_marked != self.is_beyond_chance(number, order[0])


@settings(max_examples=80, deadline=None)
@given(
    means=st.lists(st.sampled_from([0.05, 0.1, 0.2, 0.203, 0.21, 0.4]), min_size=5, max_size=5),
    spread=st.sampled_from([0.001, 0.01, 0.2]),
    n_users=st.sampled_from([150, 200, 260]),
    dropped=st.sets(st.integers(1, 4), max_size=3),
    agreements=st.lists(st.sampled_from([0.0, 0.89, 0.9, 0.91, 1.0]), min_size=5, max_size=5),
    seed=st.integers(0, 1000),
)
def test_no_statement_about_lists_contradicts_the_measured_values(
    *, means: list[float], spread: float, n_users: int, dropped: set[int], agreements: list[float], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, spread, (5, N_PARTS, n_users)) + rng.normal(0, spread, (1, 1, n_users))
    values = np.clip(np.array(means)[:, None, None] + noise, 0, 1).astype(np.float32).astype(np.float64)
    results = make_results(values, dropped, agreements)
    columns = UserColumns(tuple(np.arange(n_users, dtype=np.int32) for _ in range(N_PARTS)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample_search_results, "COLUMNS", columns)
        selection = make_selection(results, predictor=None)
    claims = Claims(values, results, selection)
    claims.check_warnings(agreements)
    claims.check_table(agreements)
