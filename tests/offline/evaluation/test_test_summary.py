"""Sentences on results/evaluation.json, and which of them are warnings that come first."""

from typing import Any

import pytest

from experiments.evaluation.test_summary import TestSummary

POPULARITY = {"algorithm": "popularity", "ndcg": 0.2, "ndcg_low": 0.15, "ndcg_high": 0.25}
NOT_MEASURED = {"error": "there is only one user"}


def make_record(
    gain: tuple[float, float, float], n_users: int = 1000, algorithm: str = "ease", **extra: Any
) -> dict[str, Any]:
    """Return a record of a recommender that gains this much over popularity: mean, low, high."""
    ndcg = POPULARITY["ndcg"] + gain[0]  # type: ignore[operator]  # a number
    names = ("popularity_gain", "popularity_gain_low", "popularity_gain_high")
    recommender = {
        "algorithm": algorithm,
        "ndcg": ndcg,
        "ndcg_low": ndcg - 0.01,
        "ndcg_high": ndcg + 0.01,
        "popularity_ratio": ndcg / 0.2,
        **dict(zip(names, gain, strict=True)),
    }
    counts = {"n": 10, "pairs": 300, "users": 2000, "evaluated_users": n_users, "evaluated_share": 0.5}
    return {
        "test_set": counts | {"evaluated_newcomers": 0},
        "scores": {"recommender": recommender, "popularity": POPULARITY},
        "strong_generalization": NOT_MEASURED,
    } | extra


def test_better_recommender_has_no_warning() -> None:
    summary = TestSummary(make_record((0.1, 0.05, 0.15)))
    assert summary.warnings() == []
    assert summary.sentences()[0] == (
        "The lists of EASE reach NDCG@10 0.3000 (95% CI 0.2900 to 0.3100), 1.50 times that of the most "
        "popular items for everybody (0.2000): a difference of +0.1000 (95% CI +0.0500 to +0.1500)."
    )


def test_loss_by_weights_that_are_not_served_is_stated() -> None:
    record = make_record((0.1, 0.05, 0.15))
    record["scores"]["recommender"]["served_ndcg"] = 0.297
    assert TestSummary(record).sentences()[2] == (
        "The served model stores only the largest weights of EASE; lists computed from these have "
        "NDCG@10 0.2970 (99.0% of 0.3000)."
    )


def test_worse_recommender_is_called_worse() -> None:
    summary = TestSummary(make_record((-0.1, -0.15, -0.05)))
    assert summary.warnings() == [
        "The lists of EASE are worse than the most popular items for everybody: NDCG@10 0.1000 compared with "
        "0.2000, a difference of -0.1000 (95% CI -0.1500 to -0.0500)."
    ]
    assert "times" not in " ".join(summary.sentences())


@pytest.mark.parametrize("gain", [(0.1, -0.01, 0.2), (-0.1, -0.2, 0.01), (0.01, 0.0, 0.02)])
def test_difference_that_may_be_chance_is_a_warning(gain: tuple[float, float, float]) -> None:
    [warning] = TestSummary(make_record(gain)).warnings()
    assert warning.startswith("The lists of EASE are not shown to beat the most popular items for everybody")
    assert warning.endswith("which may be chance.")


def test_tie_with_popularity_is_a_warning() -> None:
    [warning] = TestSummary(make_record((0.0, 0.0, 0.0))).warnings()
    assert warning == "The lists of EASE are as good as the most popular items for everybody: NDCG@10 0.2000."


@pytest.mark.parametrize("gain", [(0.1, 0.05, 0.15), (-0.1, -0.15, -0.05)])
def test_with_few_users_any_difference_may_be_chance(gain: tuple[float, float, float]) -> None:
    [warning] = TestSummary(make_record(gain, n_users=199)).warnings()
    assert warning.endswith(
        "With 199 evaluated users, any difference may be chance; at least 200 are needed."
    )
    assert TestSummary(make_record(gain, n_users=200)).warnings() != [warning]


def test_popularity_as_recommender_is_called_not_personal() -> None:
    [warning] = TestSummary(make_record((0.0, 0.0, 0.0), algorithm="popularity")).warnings()
    assert warning == "The recommender shows everybody the most popular items: its lists are not personal."


def test_recommender_beats_lists_without_a_hit() -> None:
    record = make_record((0.1, 0.05, 0.15))
    del record["scores"]["recommender"]["popularity_ratio"]
    assert (
        "those of the most popular items for everybody contain no hit" in TestSummary(record).sentences()[0]
    )


def test_without_evaluated_users_the_warning_is_that_lists_have_no_score() -> None:
    record = make_record((0.0, 0.0, 0.0), n_users=0)
    record["scores"] = {"recommender": {"algorithm": "ease"}, "popularity": {"algorithm": "popularity"}}
    [warning] = TestSummary(record).warnings()
    assert warning.startswith("No list has a score on the test part, because no user of it has training rows")


@pytest.mark.parametrize(("rmse", "n_warnings"), [(0.94, 0), (0.95, 1), (0.96, 1)])
def test_predictor_has_to_beat_the_baseline(rmse: float, n_warnings: int) -> None:
    record = make_record((0.1, 0.05, 0.15))
    record["scores"]["predictor"] = {"algorithm": "svd", "rmse": rmse}
    record["scores"]["baseline_only"] = {"algorithm": "baseline_only", "rmse": 0.95}
    warnings = TestSummary(record).warnings()
    assert len(warnings) == n_warnings
    for warning in warnings:
        assert warning == (
            f"SVD does not predict ratings better than Baseline: RMSE {rmse:.4f} compared with 0.9500."
        )


def test_repeats_are_counted_and_scored() -> None:
    repeats = {
        "pairs": 100,
        "share": 0.25,
        "users": 40,
        "recall": 0.3,
        "hit_rate": 0.5,
        "own_items_recall": 0.6,
        "own_items_hit_rate": 0.75,
    }
    sentences = TestSummary(make_record((0.1, 0.05, 0.15), repeats=repeats)).sentences()
    assert sentences[2:4] == [
        "Repeats, items that the user had before, are 100 of 400 held-out pairs (25%); they are not in the "
        "scores above.",
        "Of the users with relevant repeats (40), 50% would find one in a list of 10 that may show known "
        "items, and 75% in a list of their own top items. To recommend known items, set split.repeat to "
        "allow.",
    ]


@pytest.mark.parametrize("extra", [{}, {"repeats": {"pairs": 0, "share": 0.0}}])
def test_without_repeats_there_is_no_sentence_on_them(extra: dict[str, Any]) -> None:
    sentences = TestSummary(make_record((0.1, 0.05, 0.15), **extra)).sentences()
    assert "repeats" not in " ".join(sentences).lower()


LEFT_OUT = {
    "users": 50,
    "evaluated_users": 45,
    "scores": {
        "recommender": {"algorithm": "ease", "ndcg": 0.4, "ndcg_low": 0.3, "ndcg_high": 0.5},
        "popularity": POPULARITY,
    },
}
SHARED = "the most popular items for everybody reach NDCG@10 0.2000 (95% CI 0.1500 to 0.2500)."


def describe_left_out_users(result: dict[str, Any], algorithm: str = "ease") -> str:
    record = make_record((0.1, 0.05, 0.15), algorithm=algorithm, strong_generalization=result)
    return TestSummary(record).sentences()[-1]


def test_recommender_and_popularity_are_compared_on_left_out_users() -> None:
    assert describe_left_out_users(LEFT_OUT) == (
        "Users who were left out of the training (45 evaluated): EASE reaches NDCG@10 0.4000 (95% CI 0.3000 "
        f"to 0.5000) from their history alone; {SHARED}"
    )
    assert describe_left_out_users(LEFT_OUT, "popularity") == (
        f"Users who were left out of the training (45 evaluated): {SHARED}"
    )


def test_recommender_that_needs_training_cannot_serve_left_out_users() -> None:
    assert describe_left_out_users(LEFT_OUT | {"scores": {"popularity": POPULARITY}}, "slope_one") == (
        "Slope One cannot recommend to users that it was not fitted with; they get the most popular items, "
        "with NDCG@10 0.2000 (95% CI 0.1500 to 0.2500)."
    )


def test_newcomers_have_a_sentence() -> None:
    record = make_record((0.1, 0.05, 0.15))
    record["test_set"]["evaluated_newcomers"] = 1
    record["scores"]["recommender"]["newcomer_ndcg"] = 0.125
    assert "For the newcomers among them (1), NDCG@10 is 0.1250." in TestSummary(record).sentences()
