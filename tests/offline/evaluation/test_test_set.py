"""Scores on the test set: lists of evaluated users, errors of predictors, comparison with popularity."""

import numpy as np
import pandas as pd
import pytest

from experiments.evaluation.audience import encode_audience
from experiments.evaluation.cross_validation import FoldData
from experiments.evaluation.protocol import EvaluationProtocol
from experiments.evaluation.test_set import TestListScores, TestScore, TestSet
from marquee.algorithms.scoring import encode_pairs
from marquee.algorithms.trainset import build_trainset
from marquee.array_types import Float64Array
from marquee.model.recipe import Recipe

# Item x is the most popular, then y. Popularity recommends y to Ann and Bob, and x to Cem and Dee.
TRAIN = pd.DataFrame(
    [("ann", "x", 5.0), ("bob", "x", 4.0), ("eva", "x", 3.0), ("cem", "y", 5.0), ("dee", "y", 2.0),
     ("fay", "z", 1.0)],
    columns=["user", "item", "rating"],
)  # fmt: skip
# Ann and Cem have relevant items. Bob's item is not relevant, and nobody knows Gus.
HELD_OUT = pd.DataFrame(
    [("ann", "y", 5.0), ("cem", "z", 4.0), ("bob", "y", 1.0), ("gus", "x", 5.0)],
    columns=["user", "item", "rating"],
)
GUS = pd.DataFrame([("gus", "z", 4.0), ("gus", "new", 5.0)], columns=["user", "item", "rating"])  # newcomer
POPULARITY = Recipe("popularity", {}, 0)
BASELINE = Recipe("baseline_only", {}, 0)


def make_test_set(
    *, has_ratings: bool = True, history: pd.DataFrame = HELD_OUT[:0], allow_repeats: bool = False
) -> TestSet:
    trainset = build_trainset(TRAIN)
    histories, pairs = encode_audience(history, HELD_OUT, trainset.matrix)
    return TestSet(
        trainset,
        FoldData(trainset.matrix, pairs),
        EvaluationProtocol(n=1, relevance_threshold=4.0),
        n_users=4,
        has_ratings=has_ratings,
        histories=histories,
        allow_repeats=allow_repeats,
    )


def test_lists_are_scored_for_users_with_a_relevant_held_out_item() -> None:
    score = make_test_set().fit_and_score(POPULARITY)
    assert score.lists is not None
    assert score.lists.user_ndcg.tolist() == [1.0, 0.0]  # Ann, Cem
    record = score.to_record()
    assert (record["ndcg"], record["recall"]) == (0.5, 0.5)
    assert record["coverage"] == 2 / 3  # x and y are in lists
    assert (record["ndcg_low"], record["ndcg_high"]) == (0.0, 1.0)  # limited to possible values


def test_ranking_model_has_no_errors() -> None:
    assert make_test_set().fit_and_score(POPULARITY).errors == {}


def test_predictor_has_errors_on_all_held_out_ratings() -> None:
    errors = make_test_set().fit_and_score(BASELINE).errors
    assert errors["impossible"] == 0.0
    assert errors["mae"] > 0


def test_implicit_feedback_has_no_errors() -> None:
    assert make_test_set(has_ratings=False).fit_and_score(BASELINE).errors == {}


def test_description_counts_evaluated_users() -> None:
    description = {"n": 1, "pairs": 4, "users": 4}
    assert make_test_set().describe() == {
        **description,
        "evaluated_users": 2,
        "evaluated_share": 0.5,
        "evaluated_newcomers": 0,
    }
    assert make_test_set(history=GUS).describe() == {
        **description,
        "evaluated_users": 3,
        "evaluated_share": 0.75,
        "evaluated_newcomers": 1,
    }


def test_newcomers_have_a_score_of_their_own() -> None:
    record = make_test_set(history=GUS).fit_and_score(POPULARITY).to_record()
    assert record["newcomer_ndcg"] == 1.0  # Gus gets x
    assert record["ndcg"] == pytest.approx((1 + 0 + 1) / 3)
    assert "newcomer_ndcg" not in make_test_set().fit_and_score(POPULARITY).to_record()


def test_history_of_a_newcomer_is_not_recommended_unless_repeats_are_allowed() -> None:
    liked_x = GUS.assign(item="x")
    for allow_repeats, ndcg in ((False, 0.0), (True, 1.0)):
        test_set = make_test_set(history=liked_x, allow_repeats=allow_repeats)
        assert test_set.fit_and_score(POPULARITY).to_record()["newcomer_ndcg"] == ndcg


def test_newcomers_change_neither_errors_nor_the_order_of_rated_items() -> None:
    scores = [make_test_set(history=history).fit_and_score(BASELINE) for history in (GUS, GUS[:0])]
    assert scores[0].errors == scores[1].errors  # Gus is predicted as an unknown user
    assert scores[0].rated_ndcg == scores[1].rated_ndcg


def test_seen_items_are_recommended_if_repeats_are_allowed() -> None:
    score = make_test_set(allow_repeats=True).fit_and_score(POPULARITY)
    assert score.to_record()["ndcg"] == 0.0  # everybody gets x


def fit_popularity(train: pd.DataFrame, held_out: pd.DataFrame, protocol: EvaluationProtocol) -> TestScore:
    trainset = build_trainset(train)
    data = FoldData(trainset.matrix, encode_pairs(held_out, trainset.matrix))
    is_explicit = "rating" in train
    test_set = TestSet(trainset, data, protocol, n_users=1, has_ratings=is_explicit)
    return test_set.fit_and_score(POPULARITY)


def test_rated_ndcg_looks_at_held_out_items_only() -> None:
    # Of Fay's held-out items, popularity puts x before y. She likes y: a hit in the second place.
    held_out = pd.DataFrame(
        [("fay", "x", 1.0), ("fay", "y", 5.0), ("gus", "x", 5.0)], columns=["user", "item", "rating"]
    )
    score = fit_popularity(TRAIN, held_out, EvaluationProtocol(2, 4.0))
    assert score.to_record()["rated_ndcg"] == pytest.approx(1 / np.log2(3))


def test_graded_ndcg_of_implicit_feedback_depends_on_weights() -> None:
    # The list of Fay is x, y. The weights 1 and 3 gain log2(2) = 1 and log2(4) = 2; the best list is y, x.
    train = TRAIN.rename(columns={"rating": "weight"})
    held_out = pd.DataFrame([("fay", "x", 1.0), ("fay", "y", 3.0)], columns=["user", "item", "weight"])
    record = fit_popularity(train, held_out, EvaluationProtocol(2, 0.0, is_graded=True)).to_record()
    second = 1 / np.log2(3)
    assert record["graded_ndcg"] == pytest.approx((1 + 2 * second) / (2 + second))
    assert record["ndcg"] == 1.0
    assert "rated_ndcg" not in record


def make_score(*user_ndcg: float) -> TestScore:
    values: Float64Array = np.array(user_ndcg)
    return TestScore("ease", {}, TestListScores(values, np.zeros(len(values), dtype=bool), 0.0, 0.0))


def test_comparison_with_popularity_is_paired_by_user() -> None:
    comparison = make_score(0.5, 0.7, 0.9).compare_with_popularity(make_score(0.4, 0.6, 0.77))
    assert comparison["popularity_ratio"] == pytest.approx(0.7 / 0.59)
    assert comparison["popularity_gain"] == pytest.approx(0.11)
    # 0.11 - 4.303 * 1.1 * 0.01732 / sqrt(3): users gain alike, although their values differ by 0.4
    assert comparison["popularity_gain_low"] == pytest.approx(0.0627, abs=1e-4)
    assert comparison["popularity_gain_high"] == pytest.approx(0.1573, abs=1e-4)


def test_ratio_to_lists_without_a_hit_is_undefined() -> None:
    comparison = make_score(0.5, 0.7).compare_with_popularity(make_score(0.0, 0.0))
    assert "popularity_ratio" not in comparison
    assert comparison["popularity_gain"] == pytest.approx(0.6)


def test_lists_are_not_scored_without_relevant_items() -> None:
    score = TestScore("ease")
    assert score.to_record() == {"algorithm": "ease"}
    assert score.compare_with_popularity(make_score(0.5)) == {}
