"""Evaluation of candidates: the trial's model, hand-computed metrics, and data leakage of a random split."""

from dataclasses import replace
from math import isclose

import numpy as np
import pandas as pd
import pytest

from experiments.evaluation import candidate_evaluation
from experiments.evaluation.candidate_evaluation import EvaluationContext, evaluate_candidate
from experiments.evaluation.candidate_record import (
    CandidateMetrics,
    SplitComparison,
    best_trial_per_candidate,
)
from experiments.evaluation.cross_validation import FoldData, Folds, FoldSource
from experiments.evaluation.leakage import SplitPair, compare_rankings
from experiments.evaluation.model_evaluation import evaluate_model, evaluate_predictions_and_lists
from experiments.evaluation.peak_memory import measure_peak_memory
from experiments.evaluation.protocol import EvaluationProtocol
from experiments.search.trials import Trial
from marquee.algorithms.baseline_only import BaselineOnly
from marquee.algorithms.scoring import Predictions, encode_pairs
from marquee.errors import DataError, DivergedError
from marquee.interactions.matrix import InteractionMatrix
from marquee.top_n import PADDING
from tests.support.searches import make_search_params, run_search_to_end

PROTOCOL = EvaluationProtocol(5, 4.0)


@pytest.fixture(scope="module")
def ratings_with_timestamps(ratings: pd.DataFrame) -> pd.DataFrame:
    times = np.random.default_rng(2).permutation(len(ratings)) + 1_000_000
    return ratings.assign(timestamp=times.astype(np.int64))


@pytest.fixture(scope="module")
def context(source: FoldSource, ratings_with_timestamps: pd.DataFrame) -> EvaluationContext:
    splits = SplitPair.from_ratings(ratings_with_timestamps, 0.2, 1, (1.0, 5.0))
    return EvaluationContext(source.load_folds(), splits, PROTOCOL, "rmse", 42)


@pytest.fixture(scope="module")
def trials(source: FoldSource, tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    space = {
        "svd": {"n_factors": [3], "n_epochs": [2, 6]},
        "knn_basic": {"k": [3]},
        "baseline_only": {},
        "normal_predictor": {},
    }
    return run_search_to_end(make_search_params(space), source, tmp_path_factory.mktemp("search"))


@pytest.fixture(scope="module")
def candidates(trials: list[Trial], context: EvaluationContext) -> dict[str, CandidateMetrics]:
    return {
        candidate.algorithm: candidate
        for candidate in (
            evaluate_candidate(trial, context) for trial in best_trial_per_candidate(trials, "rmse")
        )
    }


def test_best_trials_has_one_trial_per_candidate_in_order(trials: list[Trial]) -> None:
    best = best_trial_per_candidate(trials, "rmse")
    assert len({trial.algorithm for trial in best}) == len(best) == 4
    assert [trial.mean("rmse") for trial in best] == sorted(trial.mean("rmse") for trial in best)


def test_evaluated_model_has_the_fold_scores_of_its_trial(
    trials: list[Trial], candidates: dict[str, CandidateMetrics]
) -> None:
    for trial in best_trial_per_candidate(trials, "rmse"):
        metrics = candidates[trial.algorithm]
        for name in ("rmse", "mae", "impossible"):
            assert metrics.fold_values(name) == trial.fold_values(name)


def test_learning_curve_has_every_epoch_and_ends_at_the_error_of_the_trial(
    trials: list[Trial], candidates: dict[str, CandidateMetrics]
) -> None:
    best = next(trial for trial in best_trial_per_candidate(trials, "rmse") if trial.algorithm == "svd")
    learning_curve = candidates["svd"].learning_curve
    assert [epoch for epoch, _ in learning_curve] == list(range(1, best.parameters["n_epochs"] + 1))
    assert isclose(learning_curve[-1][1], best.mean("rmse"))
    assert candidates["knn_basic"].learning_curve == ()


def test_default_parameters_are_scored_on_the_same_folds(
    source: FoldSource, candidates: dict[str, CandidateMetrics], tmp_path_factory: pytest.TempPathFactory
) -> None:
    (default,) = run_search_to_end(
        make_search_params({"svd": {}}), source, tmp_path_factory.mktemp("defaults")
    )
    assert list(candidates["svd"].default_scores) == default.fold_values("rmse")
    assert list(candidates["baseline_only"].default_scores) == candidates["baseline_only"].fold_values("rmse")


def test_measured_costs_are_positive_and_left_out_of_the_record(
    candidates: dict[str, CandidateMetrics],
) -> None:
    for candidate in candidates.values():
        assert candidate.cost is not None
        assert (
            min(candidate.cost.fit_seconds, candidate.cost.predict_microseconds, candidate.cost.top_n_seconds)
            > 0
        )
        assert "cost" not in candidate.to_record()
        assert CandidateMetrics.from_record(candidate.to_record(), candidate.cost) == candidate


def test_evaluation_is_reproducible(
    trials: list[Trial], context: EvaluationContext, candidates: dict[str, CandidateMetrics]
) -> None:
    for trial in best_trial_per_candidate(trials, "rmse"):
        assert evaluate_candidate(trial, context).to_record() == candidates[trial.algorithm].to_record()


def test_failed_evaluation_records_its_reason(context: EvaluationContext) -> None:
    failed = evaluate_candidate(Trial(3, "svd", {"lr_all": 1e6}), context)
    assert failed.folds == ()
    assert str(failed.failure).startswith("DivergedError: SVD diverged in epoch 1")


def test_diverging_default_parameters_leave_only_the_default_scores_empty(
    trials: list[Trial], context: EvaluationContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: object) -> None:
        raise DivergedError("SVD diverged")

    monkeypatch.setattr(candidate_evaluation, "train_on_folds", diverge)
    best = next(trial for trial in best_trial_per_candidate(trials, "rmse") if trial.algorithm == "svd")
    candidate = evaluate_candidate(best, context)
    assert candidate.default_scores == ()
    assert candidate.fold_values("rmse") == best.fold_values("rmse")


def test_error_without_relevant_items_names_the_parameter_to_change(context: EvaluationContext) -> None:
    context.require_relevant_items()
    with pytest.raises(DataError, match=r"no user has a held-out rating of at least 5\.5"):
        replace(context, protocol=EvaluationProtocol(5, 5.5)).require_relevant_items()


def test_default_relevance_threshold_is_three_quarters_of_the_scale() -> None:
    assert EvaluationProtocol.from_params(10, None, (1.0, 5.0)) == EvaluationProtocol(10, 4.0)
    assert EvaluationProtocol.from_params(10, None, (0.0, 10.0)) == EvaluationProtocol(10, 7.5)
    assert EvaluationProtocol.from_params(10, 3.5, (1.0, 5.0)) == EvaluationProtocol(10, 3.5)


# Hand-computed metrics


@pytest.fixture
def small_data() -> tuple[InteractionMatrix, pd.DataFrame]:
    """Training matrix and held-out ratings.

    Users a, b and c rated x, a and b rated y, c rated z and w; so x and y are the head.
    """
    rows = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y"), ("c", "x"), ("c", "z"), ("c", "w")]
    matrix = InteractionMatrix.from_frame(pd.DataFrame(rows, columns=["user", "item"]).assign(rating=3.0))
    held_out = [("a", "z", 5.0), ("a", "w", 1.0), ("c", "y", 4.0), ("d", "x", 2.0), ("a", "new", 4.0)]
    return matrix, pd.DataFrame(held_out, columns=["user", "item", "rating"])


def test_metrics_of_segments_match_hand_computed_values(
    small_data: tuple[InteractionMatrix, pd.DataFrame],
) -> None:
    matrix, held_out = small_data
    pairs = encode_pairs(held_out, matrix)
    estimated = np.array([4.0, 3.0, 4.0, 3.0, 3.0])
    impossible = np.array([False, False, False, False, True])
    _, y, z, w = range(4)
    lists = np.array([[z, w], [w, PADDING], [y, PADDING]], dtype=np.int32)
    predictions = Predictions(pairs.actual, estimated, impossible)
    evaluation = evaluate_predictions_and_lists(
        predictions, lists, FoldData(matrix, pairs), EvaluationProtocol(2, 4.0)
    )
    assert isclose(evaluation.metrics["rmse"], np.sqrt((1 + 4 + 0 + 1 + 1) / 5))
    assert evaluation.metrics["impossible"] == 1 / 5
    assert evaluation.metrics["recall"] == (1 / 2 + 1 / 1) / 2  # user a: z, of z and the new item; user c: y
    assert evaluation.metrics["coverage"] == 3 / 4
    cold, warm, hot = (evaluation.segments[name] for name in ("cold", "warm", "hot"))
    assert [segment["members"] for segment in (cold, warm, hot)] == [1, 1, 1]
    assert isclose(cold["rmse"], np.sqrt((1 + 4 + 1) / 3))  # user d is in no segment
    assert cold["recall"] == 1 / 2
    assert "rmse" not in warm
    assert "recall" not in warm
    assert hot["recall"] == 1.0
    head, tail = evaluation.segments["head"], evaluation.segments["tail"]
    assert (head["members"], head["ratings"], tail["ratings"]) == (2, 5, 2)
    assert head["shown"] == 1 / 4  # y, of the listed z, w, w, y
    assert head["recall"] == 1.0
    assert tail["recall"] == 1.0  # z; the new item is in no segment
    assert isclose(tail["rmse"], np.sqrt((1 + 4) / 2))


def test_evaluated_model_has_metrics_of_its_lists_and_segments(folds: Folds) -> None:
    data = folds[0]
    algorithm = BaselineOnly(verbose=False).fit(data.train)
    evaluation = evaluate_model(algorithm, data, PROTOCOL)
    assert set(evaluation.segments) == {"cold", "warm", "hot", "head", "tail"}
    assert 0 < evaluation.metrics["ndcg"] < 1
    assert evaluation.segments["head"]["shown"] + evaluation.segments["tail"]["shown"] == 1


@pytest.fixture(scope="module")
def folds(source: FoldSource) -> Folds:
    return source.load_folds()


# Leakage of a random split


def test_both_splits_hold_out_the_same_share_and_only_the_time_split_hides_the_future(
    ratings_with_timestamps: pd.DataFrame,
) -> None:
    splits = SplitPair.from_ratings(ratings_with_timestamps, 0.2, 1, (1.0, 5.0))
    assert len(splits.random.test.actual) == len(splits.time.test.actual) == 80
    assert splits.cutoff == sorted(ratings_with_timestamps.timestamp)[-80]
    train_ratings = ratings_with_timestamps[ratings_with_timestamps.timestamp < splits.cutoff]
    assert len(splits.time.train.values) == len(train_ratings)
    assert set(splits.time.train.item_ids) == set(train_ratings.item)


def test_unrated_share_counts_items_first_rated_after_the_cutoff() -> None:
    """Items x and y were rated before the cutoff; z was first rated after it."""
    old = [(f"u{n}", item, 100 + n) for n in range(6) for item in ("x", "y") if n % 2 or item == "x"]
    new = [(f"u{n}", "z", 200 + n) for n in range(4)]
    frame = pd.DataFrame(old + new, columns=["user", "item", "timestamp"]).assign(rating=4.0)
    splits = SplitPair.from_ratings(frame, 4 / len(frame), 0, (1.0, 5.0))
    assert splits.cutoff == 200
    z = splits.random.train.item_ids.index("z")
    x = splits.random.train.item_ids.index("x")
    assert splits._unrated_share(np.array([[z, x], [z, PADDING]], dtype=np.int32)) == 2 / 3
    assert splits._unrated_share(np.array([[PADDING, PADDING]], dtype=np.int32)) == 0.0


def test_ratings_without_timestamps_cannot_be_split_for_leakage(ratings: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="no timestamps"):
        SplitPair.from_ratings(ratings, 0.2, 1, (1.0, 5.0))


def test_rankings_of_both_splits_are_compared_by_kendalls_tau() -> None:
    def make_candidate(name: str, random: float, time: float) -> CandidateMetrics:
        return CandidateMetrics(
            0,
            name,
            split_comparison=SplitComparison(
                {"rmse": random, "ndcg": random}, {"rmse": time, "ndcg": time}, 0
            ),
        )

    candidates = [
        make_candidate("svd", 0.8, 1.0),
        make_candidate("svdpp", 0.7, 1.1),
        make_candidate("nmf", 0.9, 1.2),
    ]
    change = compare_rankings(candidates, "rmse")
    assert change is not None
    assert change.random == ("svdpp", "svd", "nmf")
    assert change.time == ("svd", "svdpp", "nmf")
    assert isclose(change.tau, (2 - 1) / 3)  # one of three pairs is reversed
    by_ndcg = compare_rankings(candidates, "ndcg")
    assert by_ndcg is not None
    assert by_ndcg.random == ("nmf", "svd", "svdpp")
    assert compare_rankings(candidates[:1], "rmse") is None
    tied = compare_rankings([make_candidate("svd", 1, 1), make_candidate("nmf", 1, 1)], "rmse")
    assert tied is not None
    assert tied.tau == 0.0


def test_peak_memory_is_that_of_the_measured_block() -> None:
    with measure_peak_memory() as memory:
        block = np.ones(8_000_000)
    if memory.peak is None:
        pytest.skip("this system does not report peak memory")
    assert 0.9 * block.nbytes < memory.peak < 2 * block.nbytes
    del block
    with measure_peak_memory() as again:
        pass
    assert again.peak is not None
    assert again.peak < 8_000_000
