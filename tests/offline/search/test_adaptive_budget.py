"""Adaptive budget: promising candidates get most of the trainings, the others are revisited occasionally."""

from experiments.search.adaptive_budget import allocate_trainings, improvement_probabilities


def test_promising_candidates_get_most_trainings_and_every_candidate_gets_some() -> None:
    errors = {"good": [0.90, 0.91, 0.92], "bad": [1.2, 1.21, 1.22], "close": [0.91, 0.93, 0.95]}
    probabilities = improvement_probabilities(errors)
    assert probabilities["good"] > probabilities["close"] > probabilities["bad"]
    allocation = allocate_trainings(errors, {}, dict.fromkeys(errors, 1000), 200)
    assert sum(allocation.values()) == 200
    assert allocation["good"] > allocation["close"] > allocation["bad"] >= 3


def test_candidate_gets_no_more_trainings_than_remain() -> None:
    errors = {"good": [0.9, 0.9], "other": [1.2, 1.3]}
    assert allocate_trainings(errors, {}, {"good": 1, "other": 5}, 4) == {"good": 1, "other": 3}
    assert allocate_trainings(errors, {}, {"good": 0, "other": 2}, 9) == {"good": 0, "other": 2}


def test_candidate_with_only_failures_is_revisited_late_in_the_search() -> None:
    errors, remaining = {"good": [0.9, 0.95], "failed": []}, {"good": 100, "failed": 100}
    early = allocate_trainings(errors, {"good": 2, "failed": 2}, remaining, 5)
    assert early == {"good": 5, "failed": 0}
    late = allocate_trainings(errors, {"good": 300, "failed": 2}, remaining, 5)
    assert late["failed"] > 0


def test_losses_of_zero_are_no_special_case() -> None:
    """A loss may be negative, so one of 0 can be improved on, and only the spread may not be 0."""
    losses = {"constant": [0.0, 0.0], "other": [1.0, 1.2]}
    probabilities = improvement_probabilities(losses)
    assert probabilities["constant"] == 0.5
    assert 0 <= probabilities["other"] < 1e-9
    assert allocate_trainings(losses, {}, dict.fromkeys(losses, 5), 4) == {"constant": 4, "other": 0}
