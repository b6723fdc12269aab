"""Evaluation of candidates: the trial's model, hand-computed metrics, and data leakage of a random split."""

from dataclasses import replace
from math import isclose

import numpy as np
import pandas as pd
import pytest

from experiments.evaluation import candidate_evaluation
from experiments.evaluation.candidate_evaluation import EvaluationContext, count_steps, measure_trials
from experiments.evaluation.candidate_record import (
    CandidateMetrics,
    SplitComparison,
    best_trial_per_candidate,
)
from experiments.evaluation.cross_validation import FoldData, FoldSource
from experiments.evaluation.leakage import SplitPair, compare_rankings
from experiments.evaluation.model_evaluation import evaluate_lists, evaluate_predictions
from experiments.evaluation.parts import PartSource
from experiments.evaluation.peak_memory import measure_peak_memory
from experiments.evaluation.protocol import EvaluationProtocol
from experiments.search.trials import Trial
from marquee.algorithms.scoring import Predictions, encode_pairs
from marquee.errors import DataError, DivergedError
from marquee.interactions.matrix import InteractionMatrix
from marquee.top_n import PADDING
from tests.support.part_files import write_part_files
from tests.support.searches import make_search_params, run_search_to_end

PROTOCOL = EvaluationProtocol(5, 4.0)


@pytest.fixture(scope="module")
def ratings_with_timestamps(ratings: pd.DataFrame) -> pd.DataFrame:
    times = np.random.default_rng(2).permutation(len(ratings)) + 1_000_000
    return ratings.assign(timestamp=times.astype(np.int64))


@pytest.fixture(scope="module")
def part_source(ratings: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> PartSource:
    return write_part_files(ratings, tmp_path_factory.mktemp("parts"))


@pytest.fixture(scope="module")
def context(
    source: FoldSource, part_source: PartSource, ratings_with_timestamps: pd.DataFrame
) -> EvaluationContext:
    splits = SplitPair.from_interactions(ratings_with_timestamps, 0.2, 1, (1.0, 5.0))
    return EvaluationContext(source.load_folds(), part_source.load(), splits, PROTOCOL, "rmse", 42)


@pytest.fixture(scope="module")
def trials(
    source: FoldSource, part_source: PartSource, tmp_path_factory: pytest.TempPathFactory
) -> list[Trial]:
    space = {
        "ease": {"reg": [20.0]},
        "svd": {"n_factors": [3], "n_epochs": [2, 6]},
        "knn_basic": {"k": [3]},
        "baseline_only": {},
        "normal_predictor": {},
    }
    params = make_search_params(space, metric="ndcg", racing=False)
    return run_search_to_end(params, source, tmp_path_factory.mktemp("search"), part_source)


@pytest.fixture(scope="module")
def best_trials(trials: list[Trial]) -> list[Trial]:
    ranker = next(trial for trial in trials if trial.algorithm == "ease")
    return [*best_trial_per_candidate(trials, "rmse"), ranker]


@pytest.fixture(scope="module")
def candidates(best_trials: list[Trial], context: EvaluationContext) -> dict[str, CandidateMetrics]:
    return {candidate.algorithm: candidate for candidate in measure_trials(best_trials, context)}


def test_best_trials_has_one_trial_per_candidate_in_order(trials: list[Trial]) -> None:
    best = best_trial_per_candidate(trials, "rmse")
    assert len({trial.algorithm for trial in best}) == len(best) == 4
    assert [trial.mean("rmse") for trial in best] == sorted(trial.mean("rmse") for trial in best)


def test_measured_model_has_the_scores_of_its_trial(
    best_trials: list[Trial], candidates: dict[str, CandidateMetrics]
) -> None:
    """The random model is left out: its lists depend on which predictions were made before."""
    for trial in best_trials:
        metrics = candidates[trial.algorithm]
        for name in ("rmse", "mae", "impossible") if trial.folds else ():
            assert metrics.fold_values(name) == trial.fold_values(name)
        if trial.algorithm != "normal_predictor":
            for name in ("ndcg", "recall"):
                assert metrics.fold_values(name) == pytest.approx(trial.fold_values(name))


def test_model_that_predicts_no_ratings_has_lists_only(candidates: dict[str, CandidateMetrics]) -> None:
    ease = candidates["ease"]
    assert ease.failure is None
    assert len(ease.parts) == 3
    assert (ease.folds, ease.learning_curve, ease.default_scores) == ((), (), ())
    assert ease.cost is not None
    assert ease.cost.predict_microseconds is None
    assert not any("rmse" in segment for segment in ease.segments.values())


def test_implicit_feedback_has_no_folds(
    best_trials: list[Trial], context: EvaluationContext, candidates: dict[str, CandidateMetrics]
) -> None:
    implicit = replace(context, folds=(), splits=None)
    (ease,) = measure_trials([trial for trial in best_trials if trial.algorithm == "ease"], implicit)
    assert ease.parts == candidates["ease"].parts


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
        cost = candidate.cost
        assert cost is not None
        assert min(cost.fit_seconds, cost.top_n_seconds) > 0
        assert (cost.predict_microseconds is None) == (candidate.algorithm == "ease")
        assert "cost" not in candidate.to_record()
        assert CandidateMetrics.from_record(candidate.to_record(), cost) == candidate


def test_measurement_is_reproducible_and_reports_each_step(
    best_trials: list[Trial], context: EvaluationContext, candidates: dict[str, CandidateMetrics]
) -> None:
    steps: list[None] = []
    again = measure_trials(best_trials, context, lambda: steps.append(None))
    assert [candidate.to_record() for candidate in again] == [
        candidate.to_record() for candidate in candidates.values()
    ]
    assert len(steps) == count_steps(best_trials, context) == 4 * len(best_trials)


def test_failed_measurement_records_its_reason_and_others_go_on(
    best_trials: list[Trial], context: EvaluationContext
) -> None:
    ranker = best_trials[-1]
    failed, other = measure_trials([Trial(3, "svd", {"lr_all": 1e6}), ranker], context)
    assert failed.folds == failed.parts == ()
    assert str(failed.failure).startswith("DivergedError: SVD diverged in epoch 1")
    assert other.failure is None


def test_diverging_default_parameters_leave_only_the_default_scores_empty(
    best_trials: list[Trial], context: EvaluationContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: object) -> None:
        raise DivergedError("SVD diverged")

    monkeypatch.setattr(candidate_evaluation, "train_on_folds", diverge)
    best = next(trial for trial in best_trials if trial.algorithm == "svd")
    (candidate,) = measure_trials([best], context)
    assert candidate.default_scores == ()
    assert candidate.fold_values("rmse") == best.fold_values("rmse")


def test_error_without_relevant_items_names_the_parameter_to_change(
    best_trials: list[Trial], context: EvaluationContext
) -> None:
    with pytest.raises(DataError, match=r"no user has a held-out value of at least 5\.5"):
        measure_trials(best_trials, replace(context, protocol=EvaluationProtocol(5, 5.5)))


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
    data = FoldData(matrix, pairs)
    errors = evaluate_predictions(Predictions(pairs.actual, estimated, impossible), data)
    evaluation = evaluate_lists(lists, data, EvaluationProtocol(2, 4.0))
    assert isclose(errors.metrics["rmse"], np.sqrt((1 + 4 + 0 + 1 + 1) / 5))
    assert errors.metrics["impossible"] == 1 / 5
    assert evaluation.metrics["recall"] == (1 / 2 + 1 / 1) / 2  # user a: z, of z and the new item; user c: y
    assert evaluation.metrics["coverage"] == 3 / 4
    cold, warm, hot = (evaluation.segments[name] for name in ("cold", "warm", "hot"))
    assert [segment["members"] for segment in (cold, warm, hot)] == [1, 1, 1]
    assert isclose(errors.segments["cold"]["rmse"], np.sqrt((1 + 4 + 1) / 3))  # user d is in no segment
    assert errors.segments["warm"] == {}
    assert cold["recall"] == 1 / 2
    assert "recall" not in warm
    assert hot["recall"] == 1.0
    head, tail = evaluation.segments["head"], evaluation.segments["tail"]
    assert (head["members"], head["interactions"], tail["interactions"]) == (2, 5, 2)
    assert head["shown"] == 1 / 4  # y, of the listed z, w, w, y
    assert head["recall"] == 1.0
    assert tail["recall"] == 1.0  # z; the new item is in no segment
    assert isclose(errors.segments["tail"]["rmse"], np.sqrt((1 + 4) / 2))


def test_segments_of_items_share_what_is_shown(candidates: dict[str, CandidateMetrics]) -> None:
    segments = candidates["svd"].segments
    assert set(segments) == {"cold", "warm", "hot", "head", "tail"}
    assert segments["head"]["shown"] + segments["tail"]["shown"] == pytest.approx(1)
    assert 0 < candidates["svd"].mean("ndcg") < 1


def test_lists_of_personal_models_agree_less_than_those_of_one_ranking(
    candidates: dict[str, CandidateMetrics],
) -> None:
    personal, common = candidates["ease"].list_agreement, candidates["baseline_only"].list_agreement
    assert personal is not None
    assert common == 1.0
    assert 0 < personal < 0.9


# Leakage of a random split


def test_both_splits_hold_out_the_same_share_and_only_the_time_split_hides_the_future(
    ratings_with_timestamps: pd.DataFrame,
) -> None:
    splits = SplitPair.from_interactions(ratings_with_timestamps, 0.2, 1, (1.0, 5.0))
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
    splits = SplitPair.from_interactions(frame, 4 / len(frame), 0, (1.0, 5.0))
    assert splits.cutoff == 200
    z = splits.random.train.item_ids.index("z")
    x = splits.random.train.item_ids.index("x")
    assert splits._unrated_share(np.array([[z, x], [z, PADDING]], dtype=np.int32)) == 2 / 3
    assert splits._unrated_share(np.array([[PADDING, PADDING]], dtype=np.int32)) == 0.0


def test_ratings_without_timestamps_cannot_be_split_for_leakage(ratings: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="no timestamps"):
        SplitPair.from_interactions(ratings, 0.2, 1, (1.0, 5.0))


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
