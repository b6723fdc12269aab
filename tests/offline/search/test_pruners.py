"""Curve pruner: learning curves are extrapolated optimistically; no training that can win is stopped."""

import math

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.config.offline import SearchSpace
from experiments.search.pruners import CurvePruner, lowest_reachable_loss, reporting_epochs
from experiments.search.training_space import split_space


@pytest.mark.parametrize(
    ("n_epochs", "first_epoch", "n_reports"), [(0, None, 0), (1, 1, 1), (10, 1, 10), (54, 2, 27)]
)
def test_reports_are_spread_over_the_training(n_epochs: int, first_epoch: int | None, n_reports: int) -> None:
    epochs = reporting_epochs(n_epochs)
    assert len(epochs) == n_reports
    assert (epochs[0] if epochs else None) == first_epoch


@pytest.mark.parametrize(
    ("name", "space", "n_epochs"),
    [("svd", {}, 20), ("svd", {"n_epochs": [5, 30]}, 30), ("nmf", {}, 50), ("slope_one", {}, 0)],
)
def test_training_has_the_epochs_of_the_longest_point_or_the_default(
    name: str, space: SearchSpace, n_epochs: int
) -> None:
    assert split_space(name, space).n_epochs == n_epochs


def test_curve_is_extrapolated_with_its_last_slope() -> None:
    # 1.00, 0.96, 0.94 after 2, 4 and 6 of 10 epochs: 0.06 in 4 epochs, so 0.94 - 4 * 0.015.
    assert lowest_reachable_loss([(2, 1.0), (4, 0.96), (6, 0.94)], 10) == pytest.approx(0.88)


def test_rising_curve_is_extrapolated_as_flat() -> None:
    assert lowest_reachable_loss([(2, 0.90), (4, 0.92), (6, 0.95)], 10) == 0.95


def test_short_curve_can_reach_any_error() -> None:
    assert lowest_reachable_loss([(2, 1.0), (4, 0.9)], 10) == -math.inf


@given(st.lists(st.floats(0.001, 1), min_size=4, max_size=40))
def test_flattening_curve_never_ends_below_its_lowest_reachable_loss(steps: list[float]) -> None:
    drops = sorted(steps, reverse=True)
    errors = [100 - sum(drops[:n]) for n in range(len(drops) + 1)]
    curve = [(epoch + 1, error) for epoch, error in enumerate(errors)]
    for length in range(3, len(curve)):
        assert lowest_reachable_loss(curve[:length], len(curve)) <= errors[-1] + 1e-9


def test_training_that_cannot_reach_the_best_error_is_stopped() -> None:
    study = optuna.create_study(pruner=CurvePruner(10))
    study.tell(study.ask(), 0.85)
    worse = study.ask()
    for epoch, error in ((2, 1.0), (4, 0.96), (6, 0.94)):
        worse.report(error, epoch)
    assert worse.should_prune()  # it reaches 0.88 at best
    study.tell(worse, state=optuna.trial.TrialState.PRUNED)
    better = study.ask()
    for epoch, error in ((2, 1.0), (4, 0.96), (6, 0.92)):
        better.report(error, epoch)
    assert not better.should_prune()  # it may reach 0.84


def test_nothing_is_stopped_before_a_training_has_finished() -> None:
    trial = optuna.create_study(pruner=CurvePruner(10)).ask()
    for epoch in (2, 4, 6):
        trial.report(float(epoch), epoch)
    assert not trial.should_prune()
