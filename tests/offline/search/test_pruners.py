"""What a learning curve promises, by hand; and that what can win is never given up."""

import math

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.config.offline import Space
from experiments.search.outlook import looks, promise
from experiments.search.pruners import CurvePruner
from experiments.search.space import axes_of


def test_the_promise_is_the_slope_held_to_the_end() -> None:
    # 1.00, 0.96, 0.94 after 2, 4 and 6 of 10 epochs: 0.06 in 4 epochs, so 0.94 - 4 * 0.015.
    assert promise([(2, 1.0), (4, 0.96), (6, 0.94)], 10) == pytest.approx(0.88)


def test_a_curve_that_has_turned_promises_what_it_has() -> None:
    assert promise([(2, 0.90), (4, 0.92), (6, 0.95)], 10) == 0.95


def test_after_too_few_looks_everything_is_possible() -> None:
    assert promise([(2, 1.0), (4, 0.9)], 10) == -math.inf


@pytest.mark.parametrize(("n_epochs", "first", "number"), [(0, None, 0), (1, 1, 1), (10, 1, 10), (54, 2, 27)])
def test_looks_are_spread_over_the_training(n_epochs: int, first: int | None, number: int) -> None:
    found = looks(n_epochs)
    assert len(found) == number
    assert (found[0] if found else None) == first


@given(st.lists(st.floats(0.001, 1), min_size=4, max_size=40))
def test_no_curve_that_flattens_ends_below_its_promise(steps: list[float]) -> None:
    drops = sorted(steps, reverse=True)
    errors = [100 - sum(drops[:n]) for n in range(len(drops) + 1)]
    curve = [(epoch + 1, error) for epoch, error in enumerate(errors)]
    for seen in range(3, len(curve)):
        assert promise(curve[:seen], len(curve)) <= errors[-1] + 1e-9


def test_what_promises_less_than_the_best_has_reached_is_given_up() -> None:
    study = optuna.create_study(pruner=CurvePruner(10))
    study.tell(study.ask(), 0.85)
    trial = study.ask()
    for epoch, error in ((2, 1.0), (4, 0.96), (6, 0.94)):
        trial.report(error, epoch)
    assert trial.should_prune()  # 0.88 at best
    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    better = study.ask()
    for epoch, error in ((2, 1.0), (4, 0.96), (6, 0.92)):
        better.report(error, epoch)
    assert not better.should_prune()  # 0.84 is possible


def test_before_anything_is_finished_nothing_is_given_up() -> None:
    trial = optuna.create_study(pruner=CurvePruner(10)).ask()
    for epoch in (2, 4, 6):
        trial.report(float(epoch), epoch)
    assert not trial.should_prune()


@pytest.mark.parametrize(
    ("name", "space", "n_epochs"),
    [("svd", {}, 20), ("svd", {"n_epochs": [5, 30]}, 30), ("nmf", {}, 50), ("slope_one", {}, 0)],
)
def test_the_length_of_a_training_is_known_without_its_being_in_the_space(
    name: str, space: Space, n_epochs: int
) -> None:
    assert axes_of(name, space).n_epochs == n_epochs
