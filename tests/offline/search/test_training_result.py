"""Merged results: a trial has the scores of all of its tasks, and the first reason for having none."""

import numpy as np

from experiments.search.training_result import (
    FOLDS,
    PointId,
    PointResult,
    TaskId,
    TaskResult,
    TrainingId,
    merge_results,
)
from experiments.search.trials import FoldScore, PartScore, Trial, trial_from_record, trial_to_record

SVD = TrainingId("svd", 0)
FOLD = FoldScore(0.9, 0.7, 0.0, 10, 1.0, 0.5)


def part_score(ndcg: float, n_users: int = 4) -> PartScore:
    return PartScore({"ndcg": ndcg}, n_users, {"ndcg": np.full(4, ndcg, np.float32)}, 20, 2.0, 0.25)


def merge(*results: tuple[int, PointResult]) -> Trial:
    """Return the trial of one point from its results by part."""
    merged = merge_results(
        {TaskId(SVD, part): TaskResult((result,)) for part, result in results}, {SVD: [{"n_factors": 3}]}
    )
    return merged[PointId(SVD, 0)].to_trial(5, "svd")


def test_trial_has_the_scores_of_all_parts_and_folds() -> None:
    trial = merge(
        (1, PointResult(0, part=part_score(0.2))),
        (FOLDS, PointResult(0, (FOLD,))),
        (0, PointResult(0, part=part_score(0.1))),
    )
    assert [part.metrics["ndcg"] for part in trial.parts] == [0.1, 0.2]
    assert trial.folds == (FOLD,)
    assert trial.model_bytes == 20
    assert trial.cost is not None
    assert (trial.cost.fit_seconds, trial.cost.predict_seconds, trial.cost.list_seconds) == (2.0, 0.5, 0.25)


def test_trial_that_fails_on_a_part_has_no_scores() -> None:
    trial = merge(
        (0, PointResult(0, part=part_score(0.1))),
        (1, PointResult(0, failure="no memory")),
        (FOLDS, PointResult(0, (FOLD,))),
    )
    assert trial.failure == "no memory"
    assert not trial.parts
    assert not trial.folds


def test_trial_that_fails_on_the_folds_only_keeps_its_lists() -> None:
    trial = merge(
        (0, PointResult(0, part=part_score(0.1))), (FOLDS, PointResult(0, failure="DivergedError: no"))
    )
    assert trial.failure is None
    assert trial.fold_failure == "DivergedError: no"
    assert trial.has_lists
    assert trial_from_record(trial_to_record(trial)).fold_failure == trial.fold_failure


def test_trial_without_lists_fails_with_its_folds() -> None:
    assert merge((FOLDS, PointResult(0, failure="DivergedError: no"))).failure == "DivergedError: no"


def test_dropped_trial_keeps_what_was_evaluated_and_its_errors() -> None:
    trial = merge(
        (0, PointResult(0, part=part_score(0.1, n_users=1), pruned="dropped")),
        (FOLDS, PointResult(0, (FOLD,))),
    )
    assert (trial.pruned, trial.has_lists, trial.mean("rmse")) == ("dropped", False, 0.9)
    restored = trial_from_record(trial_to_record(trial))
    assert [part.n_users for part in restored.parts] == [1]
    assert restored.pruned == "dropped"


def test_record_restores_scores_but_not_the_values_of_single_users() -> None:
    trial = merge((0, PointResult(0, part=part_score(0.1))), (FOLDS, PointResult(0, (FOLD, FOLD))))
    record = trial_to_record(trial)
    assert record["parts"] == [{"ndcg": 0.1, "n_users": 4}]
    assert (record["ndcg"], record["rmse"]) == (0.1, 0.9)
    restored = trial_from_record(record, trial.cost)
    assert restored.mean_values() == trial.mean_values()
    assert restored.metrics() == trial.metrics()
    assert not restored.parts[0].user_values
