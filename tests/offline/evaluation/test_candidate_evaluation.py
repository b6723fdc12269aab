"""What is measured of a candidate: the model of the trial, by hand where possible, and across time."""

from dataclasses import replace
from math import isclose

import numpy as np
import pandas as pd
import pytest

from experiments.evaluation import candidate_evaluation
from experiments.evaluation.candidate_evaluation import Setting, measure
from experiments.evaluation.candidate_metrics import AcrossTime, Measures, leaders
from experiments.evaluation.cross_validation import FoldSource, Parts
from experiments.evaluation.leakage import Crossing, order_change
from experiments.evaluation.model_evaluation import Rule, judge_model, judged
from experiments.evaluation.peak_memory import footprint
from experiments.search.trials import Trial
from marquee.algorithms.baseline_only import BaselineOnly
from marquee.algorithms.scoring import Predictions, pairs_of
from marquee.errors import DataError, DivergedError
from marquee.interactions.matrix import RatingMatrix
from marquee.top_n import NONE
from tests.support.searches import run, search_of

RULE = Rule(5, 4.0)


@pytest.fixture(scope="module")
def dated(ratings: pd.DataFrame) -> pd.DataFrame:
    times = np.random.default_rng(2).permutation(len(ratings)) + 1_000_000
    return ratings.assign(timestamp=times.astype(np.int64))


@pytest.fixture(scope="module")
def setting(source: FoldSource, dated: pd.DataFrame) -> Setting:
    crossing = Crossing.of(dated, 0.2, 1, (1.0, 5.0))
    return Setting(source.parts(), crossing, RULE, "rmse", 42)


@pytest.fixture(scope="module")
def trials(source: FoldSource, tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    space = {
        "svd": {"n_factors": [3], "n_epochs": [2, 6]},
        "knn_basic": {"k": [3]},
        "baseline_only": {},
        "normal_predictor": {},
    }
    return run(search_of(space), source, tmp_path_factory.mktemp("search"))


@pytest.fixture(scope="module")
def told(trials: list[Trial], setting: Setting) -> dict[str, Measures]:
    return {one.algorithm: one for one in (measure(trial, setting) for trial in leaders(trials, "rmse"))}


def test_the_best_trial_of_each_candidate_is_measured(trials: list[Trial]) -> None:
    best = leaders(trials, "rmse")
    assert len({trial.algorithm for trial in best}) == len(best) == 4
    assert [trial.mean("rmse") for trial in best] == sorted(trial.mean("rmse") for trial in best)


def test_what_is_measured_is_the_very_model_of_the_trial(
    trials: list[Trial], told: dict[str, Measures]
) -> None:
    for trial in leaders(trials, "rmse"):
        one = told[trial.algorithm]
        assert one.values("rmse") == trial.values("rmse")
        assert one.values("mae") == trial.values("mae")
        assert one.values("impossible") == trial.values("impossible")


def test_every_epoch_is_on_the_curve_and_its_end_is_the_trials_error(
    trials: list[Trial], told: dict[str, Measures]
) -> None:
    best = next(trial for trial in leaders(trials, "rmse") if trial.algorithm == "svd")
    curve = told["svd"].curve
    assert [epoch for epoch, _ in curve] == list(range(1, best.parameters["n_epochs"] + 1))
    assert isclose(curve[-1][1], best.mean("rmse"))
    assert told["knn_basic"].curve == ()


def test_default_parameters_are_scored_on_the_same_folds(
    source: FoldSource, told: dict[str, Measures], tmp_path_factory: pytest.TempPathFactory
) -> None:
    (default,) = run(search_of({"svd": {}}), source, tmp_path_factory.mktemp("defaults"))
    assert list(told["svd"].defaults) == default.values("rmse")
    assert list(told["baseline_only"].defaults) == told["baseline_only"].values("rmse")


def test_costs_are_of_one_fit_and_never_in_the_record(told: dict[str, Measures]) -> None:
    for one in told.values():
        assert one.cost is not None
        assert min(one.cost.fit_seconds, one.cost.predict_microseconds, one.cost.top_n_seconds) > 0
        assert "cost" not in one.record()
        assert Measures.from_record(one.record(), one.cost) == one


def test_measuring_again_gives_the_same_record(
    trials: list[Trial], setting: Setting, told: dict[str, Measures]
) -> None:
    for trial in leaders(trials, "rmse"):
        assert measure(trial, setting).record() == told[trial.algorithm].record()


def test_one_that_cannot_be_measured_is_kept_with_its_reason(setting: Setting) -> None:
    failed = measure(Trial(3, "svd", {"lr_all": 1e6}), setting)
    assert failed.folds == ()
    assert str(failed.failure).startswith("DivergedError: SVD diverged in epoch 1")


def test_defaults_that_diverge_cost_nothing_but_the_gain(
    trials: list[Trial], setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: object) -> None:
        raise DivergedError("SVD diverged")

    monkeypatch.setattr(candidate_evaluation, "steps", diverge)
    best = next(trial for trial in leaders(trials, "rmse") if trial.algorithm == "svd")
    one = measure(best, setting)
    assert one.defaults == ()
    assert one.values("rmse") == best.values("rmse")


def test_where_nobody_has_a_relevant_item_it_says_what_to_change(setting: Setting) -> None:
    setting.check()
    with pytest.raises(DataError, match=r"nobody has a held-out rating of 5\.5 or more"):
        replace(setting, rule=Rule(5, 5.5)).check()


def test_a_rating_three_quarters_up_the_scale_is_a_hit_where_none_is_named() -> None:
    assert Rule.of(10, None, (1.0, 5.0)) == Rule(10, 4.0)
    assert Rule.of(10, None, (0.0, 10.0)) == Rule(10, 7.5)
    assert Rule.of(10, 3.5, (1.0, 5.0)) == Rule(10, 3.5)


# One judgement, by hand


@pytest.fixture
def part() -> tuple[RatingMatrix, pd.DataFrame]:
    """Items x (a b c), y (a b), z (c), w (c): x and y are the head. Users a, b have two ratings, c three."""
    rows = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y"), ("c", "x"), ("c", "z"), ("c", "w")]
    matrix = RatingMatrix.from_frame(pd.DataFrame(rows, columns=["user", "item"]).assign(rating=3.0))
    held = [("a", "z", 5.0), ("a", "w", 1.0), ("c", "y", 4.0), ("d", "x", 2.0), ("a", "new", 4.0)]
    return matrix, pd.DataFrame(held, columns=["user", "item", "rating"])


def test_figures_of_groups_by_hand(part: tuple[RatingMatrix, pd.DataFrame]) -> None:
    matrix, held = part
    pairs = pairs_of(held, matrix)
    estimated = np.array([4.0, 3.0, 4.0, 3.0, 3.0])
    impossible = np.array([False, False, False, False, True])
    _, y, z, w = range(4)
    lists = np.array([[z, w], [w, NONE], [y, NONE]], dtype=np.int32)
    got = judged(Predictions(pairs.actual, estimated, impossible), lists, (matrix, pairs), Rule(2, 4.0))
    assert isclose(got.figures["rmse"], np.sqrt((1 + 4 + 0 + 1 + 1) / 5))
    assert got.figures["impossible"] == 1 / 5
    assert got.figures["recall"] == (1 / 2 + 1 / 1) / 2  # a: z of z and the new one; c: y
    assert got.figures["coverage"] == 3 / 4
    cold, warm, hot = (got.groups[name] for name in ("cold", "warm", "hot"))
    assert [group["members"] for group in (cold, warm, hot)] == [1, 1, 1]
    assert isclose(cold["rmse"], np.sqrt((1 + 4 + 1) / 3))  # d is in no group
    assert cold["recall"] == 1 / 2
    assert "rmse" not in warm
    assert "recall" not in warm
    assert hot["recall"] == 1.0
    head, tail = got.groups["head"], got.groups["tail"]
    assert (head["members"], head["ratings"], tail["ratings"]) == (2, 5, 2)
    assert head["shown"] == 1 / 4  # y among z w w y
    assert head["recall"] == 1.0
    assert tail["recall"] == 1.0  # z; the new item is in neither
    assert isclose(tail["rmse"], np.sqrt((1 + 4) / 2))


def test_a_model_is_judged_by_its_own_lists(parts: Parts) -> None:
    part = parts[0]
    algorithm = BaselineOnly(verbose=False).fit(part[0])
    told = judge_model(algorithm, part, RULE)
    assert set(told.groups) == {"cold", "warm", "hot", "head", "tail"}
    assert 0 < told.figures["ndcg"] < 1
    assert told.groups["head"]["shown"] + told.groups["tail"]["shown"] == 1


@pytest.fixture(scope="module")
def parts(source: FoldSource) -> Parts:
    return source.parts()


# Across time


def test_both_ways_hold_out_the_same_share_and_only_one_knows_the_future(dated: pd.DataFrame) -> None:
    crossing = Crossing.of(dated, 0.2, 1, (1.0, 5.0))
    assert len(crossing.random[1].actual) == len(crossing.time[1].actual) == 80
    assert crossing.moment == sorted(dated.timestamp)[-80]
    learned = dated[dated.timestamp < crossing.moment]
    assert len(crossing.time[0].values) == len(learned)
    assert set(crossing.time[0].item_ids) == set(learned.item)


def test_items_that_nobody_had_rated_yet_are_counted() -> None:
    """x and y are old, z comes last; whoever is recommended z by a random split is told of the future."""
    old = [(f"u{n}", item, 100 + n) for n in range(6) for item in ("x", "y") if n % 2 or item == "x"]
    new = [(f"u{n}", "z", 200 + n) for n in range(4)]
    frame = pd.DataFrame(old + new, columns=["user", "item", "timestamp"]).assign(rating=4.0)
    crossing = Crossing.of(frame, 4 / len(frame), 0, (1.0, 5.0))
    assert crossing.moment == 200
    z = crossing.random[0].item_ids.index("z")
    x = crossing.random[0].item_ids.index("x")
    assert crossing._not_yet(np.array([[z, x], [z, NONE]], dtype=np.int32)) == 2 / 3
    assert crossing._not_yet(np.array([[NONE, NONE]], dtype=np.int32)) == 0.0


def test_without_timestamps_there_is_no_meter(ratings: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="no timestamps"):
        Crossing.of(ratings, 0.2, 1, (1.0, 5.0))


def test_the_order_of_candidates_under_both_splits() -> None:
    def one(name: str, random: float, time: float) -> Measures:
        return Measures(
            0, name, across_time=AcrossTime({"rmse": random, "ndcg": random}, {"rmse": time, "ndcg": time}, 0)
        )

    measured = [one("svd", 0.8, 1.0), one("svdpp", 0.7, 1.1), one("nmf", 0.9, 1.2)]
    change = order_change(measured, "rmse")
    assert change is not None
    assert change.random == ("svdpp", "svd", "nmf")
    assert change.time == ("svd", "svdpp", "nmf")
    assert isclose(change.tau, (2 - 1) / 3)  # of three pairs one is reversed
    best_first = order_change(measured, "ndcg")
    assert best_first is not None
    assert best_first.random == ("nmf", "svd", "svdpp")
    assert order_change(measured[:1], "rmse") is None
    level = order_change([one("svd", 1, 1), one("nmf", 1, 1)], "rmse")
    assert level is not None
    assert level.tau == 0.0


def test_the_footprint_is_of_what_is_held_at_once() -> None:
    with footprint() as told:
        held = np.ones(8_000_000)
    if told.peak is None:
        pytest.skip("this system does not tell")
    assert 0.9 * held.nbytes < told.peak < 2 * held.nbytes
    del held
    with footprint() as again:
        pass
    assert again.peak is not None
    assert again.peak < 8_000_000
