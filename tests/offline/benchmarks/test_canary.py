"""The pieces of the rollout benchmarks that can be wrong without an hour of simulation."""

import numpy as np
import pytest

from benchmarks.canary.__main__ import upper
from benchmarks.canary.alarms import FAULTS, seconds_until_off
from benchmarks.canary.figure import Effect, draw
from benchmarks.canary.rollouts import simulate
from benchmarks.canary.world import odds, visit
from benchmarks.chaos import Told
from marquee.rollout.decision import ReasonCode
from marquee.rollout.state import Outcome


def test_clopper_and_pearson_by_hand() -> None:
    """Without a case in n trials the bound is 1 - 0.05^(1/n)."""
    assert upper(0, 2000) == pytest.approx(1 - 0.05 ** (1 / 2000))
    assert upper(3, 3) == 1.0


def test_a_model_that_errs_more_is_clicked_less() -> None:
    assert odds(0.2).mean() > odds(0.5).mean() > odds(1.0).mean()


def test_users_differ_in_how_much_they_ask() -> None:
    seen = visit(np.zeros(20_000, dtype=np.int64), 0.5, np.random.default_rng(0))
    assert np.median(seen.lists) == 1
    assert seen.lists.max() > 50
    assert (seen.clicks <= seen.lists).all()


def test_a_rollout_can_be_repeated_and_ends_as_it_should() -> None:
    better = simulate(0.5, 0.1, 300, 1)
    assert better.outcome == Outcome.PROMOTED
    assert better == simulate(0.5, 0.1, 300, 1)
    worse = simulate(0.5, 1.0, 300, 1)
    assert (worse.outcome, worse.reason) == (Outcome.ROLLED_BACK, ReasonCode.QUALITY_WORSE)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind)
def test_every_fault_is_off_the_air_in_the_end(fault: object) -> None:
    assert 0 < seconds_until_off(fault, 0.1, 5.0, 1) < 120  # type: ignore[arg-type]


def test_the_figure_is_drawn_without_those_that_were_not_decided() -> None:
    figure = draw([Effect(0.1, 1.0, 0.0, 9000.0), Effect(0.0, 0.0, 0.0, 0.0)], 0.4, 0.05)
    above, below = figure.axes
    assert [len(line.get_xdata()) for line in above.get_lines()[:2]] == [2, 2]
    assert len(below.get_lines()[0].get_xdata()) == 1


def test_what_clients_saw_is_counted() -> None:
    assert Told([0.1, 0.2], 1, 0).asked == 2
