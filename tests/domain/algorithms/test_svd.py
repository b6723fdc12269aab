"""SVD, PMF and SVD++: the same numbers as their twins, a hand-worked case, and what they refuse."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import surprise
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from surprise.model_selection import GridSearchCV, KFold, cross_validate

from marquee.algorithms.svd import PMF, SVD, SVDpp
from marquee.errors import DataError, DivergedError, ParameterError
from marquee.interactions.matrix import RatingMatrix
from tests.support.sampled_data import Drawn, drawn, rating_sets, same_predictions

QUICK = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
RATES = ("lr_all", "reg_all", "lr_bu", "lr_bi", "lr_pu", "lr_qi", "reg_bu", "reg_bi", "reg_pu", "reg_qi")
OPTIONS = st.fixed_dictionaries(
    {"n_factors": st.integers(0, 9), "n_epochs": st.integers(0, 4), "random_state": st.integers(0, 2**31)},
    optional={name: st.floats(0, 0.05) for name in RATES}
    | {"init_mean": st.floats(-0.2, 0.2), "init_std_dev": st.floats(0, 0.5)},
)


@pytest.fixture(scope="module")
def small() -> Drawn:
    return drawn(1, n_users=30, n_items=20, n_ratings=200)


@QUICK
@given(data=rating_sets(), options=OPTIONS, biased=st.booleans())
def test_svd_predicts_what_surprise_predicts(data: Drawn, options: dict[str, Any], biased: bool) -> None:
    theirs = surprise.SVD(biased=biased, **options).fit(data.trainset)
    for training in (data.trainset, data.matrix):
        ours = SVD(biased=biased, **options).fit(training)
        same_predictions(ours, theirs, data.testset, 1e-9)
        for name in ("pu", "qi", "bu", "bi"):
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-10)


@QUICK
@given(data=rating_sets(), options=OPTIONS, of_y=st.tuples(st.floats(0, 0.05), st.floats(0, 0.05)))
def test_svdpp_predicts_what_surprise_predicts(
    data: Drawn, options: dict[str, Any], of_y: tuple[float, float]
) -> None:
    options |= {"lr_yj": of_y[0], "reg_yj": of_y[1]}
    theirs = surprise.SVDpp(cache_ratings=True, **options).fit(data.trainset)
    ours = SVDpp(**options).fit(data.matrix)
    same_predictions(ours, theirs, data.testset, 1e-9)
    for name in ("pu", "qi", "bu", "bi", "yj"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-10)


@QUICK
@given(data=rating_sets(), seed=st.integers(0, 99))
def test_pmf_is_svd_without_biases(data: Drawn, seed: int) -> None:
    theirs = surprise.SVD(biased=False, n_factors=4, n_epochs=3, random_state=seed).fit(data.trainset)
    same_predictions(
        PMF(n_factors=4, n_epochs=3, random_state=seed).fit(data.matrix), theirs, data.testset, 1e-9
    )


@pytest.mark.parametrize(("ours", "theirs"), [(SVD, surprise.SVD), (SVDpp, surprise.SVDpp)])
def test_defaults_are_those_of_the_twin(ours: type, theirs: type, small: Drawn) -> None:
    same_predictions(
        ours(random_state=1).fit(small.trainset),
        theirs(random_state=1).fit(small.trainset),
        small.testset,
        1e-9,
    )


@pytest.mark.parametrize("kind", [SVD, PMF, SVDpp])
def test_single_precision_agrees_to_its_digits(kind: type, small: Drawn) -> None:
    double = kind(random_state=1).fit(small.matrix)
    single = kind(random_state=1, dtype="float32").fit(small.matrix)
    assert single.pu.dtype == single.qi.dtype == single.bu.dtype == np.float32
    users, items = np.arange(30, dtype=np.int32), np.zeros(30, dtype=np.int32)
    np.testing.assert_allclose(single.score(users, items), double.score(users, items), atol=1e-3)


def test_one_step_of_svd_by_hand() -> None:
    """One user, one item, one rating of 4 on a mean of 4: e = -p q, so each moves by rate * e * the other."""
    frame = pd.DataFrame({"user": ["a"], "item": ["x"], "rating": [4.0]})
    model = SVD(n_factors=1, n_epochs=1, init_mean=2, init_std_dev=0, lr_all=0.1, reg_all=0.5)
    model.fit(RatingMatrix.from_frame(frame))
    error = 4 - (4 + 2 * 2)
    assert model.bu[0] == model.bi[0] == pytest.approx(0.1 * error)
    assert model.pu[0, 0] == model.qi[0, 0] == pytest.approx(2 + 0.1 * (error * 2 - 0.5 * 2))


def test_one_step_of_svdpp_by_hand() -> None:
    """As above; p and the implicit part are 2 each, so q . (p + y) is 8, and y moves like p."""
    frame = pd.DataFrame({"user": ["a"], "item": ["x"], "rating": [4.0]})
    model = SVDpp(n_factors=1, n_epochs=1, init_mean=2, init_std_dev=0, lr_all=0.1, reg_all=0.5)
    model.fit(RatingMatrix.from_frame(frame))
    error = 4 - (4 + 2 * (2 + 2))
    assert model.pu[0, 0] == pytest.approx(2 + 0.1 * (error * 2 - 0.5 * 2))
    assert model.yj[0, 0] == pytest.approx(2 + 0.1 * (error * 2 - 0.5 * 2))
    assert model.qi[0, 0] == pytest.approx(2 + 0.1 * (error * (2 + 2) - 0.5 * 2))


@pytest.mark.parametrize("kind", [SVD, PMF, SVDpp])
def test_after_each_epoch_it_is_the_model_of_that_many_epochs(kind: type, small: Drawn) -> None:
    watched = kind(n_epochs=5, random_state=3)
    for epoch in watched.epochs(small.matrix):
        alone = kind(n_epochs=epoch.number, random_state=3).fit(small.matrix)
        np.testing.assert_array_equal(watched.pu, alone.pu)
        assert watched.test(small.testset) == alone.test(small.testset)


def test_the_error_on_the_way_falls(small: Drawn) -> None:
    errors = [epoch.train_rmse for epoch in SVD(random_state=1, n_epochs=10).epochs(small.matrix)]
    assert errors == sorted(errors, reverse=True)


def test_leaving_off_early_leaves_a_model_that_predicts(small: Drawn) -> None:
    model = SVD(random_state=1)
    for epoch in model.epochs(small.matrix):
        if epoch.number == 2:
            break
    assert model.test(small.testset) == SVD(random_state=1, n_epochs=2).fit(small.matrix).test(small.testset)


@pytest.mark.parametrize("kind", [SVD, SVDpp])
def test_score_all_is_score_of_each_pair(kind: type, small: Drawn) -> None:
    model = kind(random_state=1).fit(small.matrix)
    users = np.array([3, 0, 3], dtype=np.int32)
    items = np.arange(small.matrix.n_items, dtype=np.int32)
    rows = [model.score(np.full(len(items), user, dtype=np.int32), items) for user in users]
    np.testing.assert_allclose(model.score_all(users), rows, atol=1e-12)


def test_surprise_cross_validates_and_searches_with_it() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"u": rng.integers(0, 20, 300), "i": rng.integers(0, 15, 300), "r": rng.integers(1, 6, 300)}
    )
    data = surprise.Dataset.load_from_df(frame, surprise.Reader())
    folds = KFold(3, random_state=1)
    ours = cross_validate(SVD(random_state=2), data, cv=folds)
    theirs = cross_validate(surprise.SVD(random_state=2), data, cv=folds)
    np.testing.assert_allclose(ours["test_rmse"], theirs["test_rmse"], atol=1e-9)
    grid = {"n_factors": [2, 5], "lr_all": [0.005, 0.02], "random_state": [1]}
    found = [GridSearchCV(kind, grid, ["rmse"], cv=folds) for kind in (SVD, surprise.SVD)]
    for search in found:
        search.fit(data)
    assert found[0].best_params["rmse"] == found[1].best_params["rmse"]
    assert found[0].best_score["rmse"] == pytest.approx(found[1].best_score["rmse"], abs=1e-9)


def test_surprise_dumps_and_loads_it(small: Drawn, tmp_path: Path) -> None:
    model = SVDpp(random_state=1).fit(small.matrix)
    predictions = model.test(small.testset)
    surprise.dump.dump(str(tmp_path / "it"), predictions, model)
    loaded_predictions, loaded = surprise.dump.load(str(tmp_path / "it"))
    assert loaded_predictions == predictions == loaded.test(small.testset)


def test_a_subclass_that_estimates_in_its_own_way_is_heard(small: Drawn) -> None:
    class Stubborn(SVD):
        def estimate(self, u: object, i: object) -> float:
            return 2.0

    assert {p.est for p in Stubborn().fit(small.matrix).test(small.testset)} == {2.0}


def test_a_default_prediction_of_ones_own_is_heard(small: Drawn) -> None:
    class Pessimist(PMF):
        def default_prediction(self) -> float:
            return 1.0

    model = Pessimist(random_state=1).fit(small.matrix)
    assert model.test([("nobody", "nothing", 3.0)])[0].est == model.predict("nobody", "nothing").est == 1.0


def test_divergence_is_an_error_that_names_the_parameters(small: Drawn) -> None:
    with pytest.raises(
        DivergedError, match=r"SVD diverged in epoch \d+ with lr_bu=5.*lower the learning rates"
    ):
        SVD(lr_all=5).fit(small.matrix)


@pytest.mark.parametrize(
    "wrong",
    [
        {"lr_all": -0.1}, {"lr_all": math.nan}, {"reg_pu": -1}, {"n_factors": -1}, {"n_factors": 2.5},
        {"n_epochs": -1}, {"n_epochs": True}, {"init_std_dev": -1}, {"dtype": "float16"}, {"lr_qi": "fast"},
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named(wrong: dict[str, Any], small: Drawn) -> None:
    name = next(iter(wrong)).replace("_all", "")
    with pytest.raises(ParameterError, match=f"SVD: {name}"):
        SVD(**wrong).fit(small.matrix)


def test_verbose_tells_of_each_epoch(small: Drawn, capsys: pytest.CaptureFixture[str]) -> None:
    SVD(n_epochs=2, verbose=True).fit(small.matrix)
    assert capsys.readouterr().out == "Processing epoch 0\nProcessing epoch 1\n"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_ratings_that_are_no_numbers_are_refused_whatever_they_come_in(value: float) -> None:
    frame = pd.DataFrame({"user": ["a", "b"], "item": ["x", "x"], "rating": [4.0, value]})
    with pytest.raises(DataError, match="1 of 2 ratings are not finite numbers, the first in row 1"):
        RatingMatrix.from_frame(frame)
    trainset = surprise.Dataset.load_from_df(frame, surprise.Reader()).build_full_trainset()
    with pytest.raises(DataError, match="not finite"):
        SVD().fit(trainset)


def test_no_rating_at_all_is_refused() -> None:
    frame = pd.DataFrame({"user": [], "item": [], "rating": []})
    with pytest.raises(DataError, match="the ratings table is empty"):
        RatingMatrix.from_frame(frame)
