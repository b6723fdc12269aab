"""NMF: the same numbers as Surprise's, a hand-worked case, zeros, and what is refused."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import surprise
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from surprise.model_selection import GridSearchCV, KFold, cross_validate

from marquee.algorithms.nmf import NMF
from marquee.algorithms.threads import threads
from marquee.errors import DivergedError, ParameterError
from marquee.interactions.matrix import RatingMatrix
from tests.support.sampled_data import Drawn, drawn, rating_sets, same_predictions

QUICK = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
RATES = ("reg_pu", "reg_qi", "reg_bu", "reg_bi", "lr_bu", "lr_bi")
OPTIONS = st.fixed_dictionaries(
    {
        "n_factors": st.integers(0, 18),
        "n_epochs": st.integers(0, 5),
        "random_state": st.integers(0, 2**31),
        "biased": st.booleans(),
    },
    optional={name: st.floats(0.001, 0.2) for name in RATES}
    | {"init_low": st.floats(0.01, 0.5), "init_high": st.floats(0.6, 2)},
)
ARRAYS = ("pu", "qi", "bu", "bi")


@pytest.fixture(scope="module")
def small() -> Drawn:
    return drawn(1, n_users=30, n_items=20, n_ratings=200)


def table(*ratings: tuple[str, str, float]) -> RatingMatrix:
    return RatingMatrix.from_frame(pd.DataFrame(ratings, columns=["user", "item", "rating"]))


@QUICK
@given(data=rating_sets(), options=OPTIONS)
def test_predicts_what_surprise_predicts(data: Drawn, options: dict[str, Any]) -> None:
    theirs = surprise.NMF(**options).fit(data.trainset)
    # With biases an estimate may be negative and a denominator next to nothing: its last digit is then large.
    assume(all(np.abs(factors).max(initial=0) < 100 for factors in (theirs.pu, theirs.qi)))
    for training in (data.trainset, data.matrix):
        ours = NMF(**options).fit(training)
        same_predictions(ours, theirs, data.testset, 1e-9)
        for name in ARRAYS:
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-9)


@pytest.mark.parametrize("biased", [False, True])
def test_defaults_are_those_of_the_twin(biased: bool, small: Drawn) -> None:
    theirs = surprise.NMF(random_state=1, biased=biased).fit(small.trainset)
    same_predictions(NMF(random_state=1, biased=biased).fit(small.matrix), theirs, small.testset, 1e-9)


@pytest.mark.parametrize("biased", [False, True])
def test_single_precision_agrees_to_its_digits(biased: bool, small: Drawn) -> None:
    double = NMF(random_state=1, biased=biased).fit(small.matrix)
    single = NMF(random_state=1, biased=biased, dtype="float32").fit(small.matrix)
    assert {getattr(single, name).dtype for name in ARRAYS} == {np.dtype(np.float32)}
    users, items = np.arange(30, dtype=np.int32), np.zeros(30, dtype=np.int32)
    np.testing.assert_allclose(single.score(users, items), double.score(users, items), atol=2e-3)


def test_an_epoch_by_hand() -> None:
    """All factors are 2, so every estimate is 4; users and items both learn from the old factors."""
    ratings = table(("a", "x", 5.0), ("a", "y", 3.0), ("b", "y", 1.0), ("c", "z", 4.0))
    model = NMF(n_factors=1, n_epochs=1, init_low=2, init_high=2, reg_pu=0.5, reg_qi=1).fit(ratings)
    a = 2 * (2 * 5 + 2 * 3) / (2 * 4 + 2 * 4 + 0.5 * 2 * 2)
    b, c = 2 * 2 * 1 / (2 * 4 + 0.5 * 2), 2 * 2 * 4 / (2 * 4 + 0.5 * 2)
    np.testing.assert_allclose(model.pu[:, 0], [a, b, c])
    x, z = 2 * 2 * 5 / (2 * 4 + 2), 2 * 2 * 4 / (2 * 4 + 2)
    y = 2 * (2 * 3 + 2 * 1) / (2 * 4 + 2 * 4 + 2 * 2)
    np.testing.assert_allclose(model.qi[:, 0], [x, y, z])


def test_biases_move_from_rating_to_rating_by_hand() -> None:
    """Factors of 1 and a mean of 3: the estimates are 4, then 4 + 0.1 * 0 + ... as the biases have moved."""
    ratings = table(("a", "x", 5.0), ("a", "y", 1.0))
    model = NMF(
        n_factors=1, n_epochs=1, biased=True, init_low=1, init_high=1,
        lr_bu=0.1, lr_bi=0.2, reg_bu=0, reg_bi=0, reg_pu=0, reg_qi=0,
    ).fit(ratings)  # fmt: skip
    first, second = 3 + 1, 3 + 1 + 0.1 * (5 - 4)
    np.testing.assert_allclose(model.bu, [0.1 * (5 - first) + 0.1 * (1 - second)])
    np.testing.assert_allclose(model.bi, [0.2 * (5 - first), 0.2 * (1 - second)])
    np.testing.assert_allclose(model.pu[0, 0], (5 + 1) / (first + second))
    np.testing.assert_allclose(model.qi[:, 0], [5 / first, 1 / second])


@pytest.mark.parametrize("biased", [False, True])
def test_after_each_epoch_it_is_the_model_of_that_many_epochs(biased: bool, small: Drawn) -> None:
    watched = NMF(n_epochs=4, random_state=3, biased=biased)
    for epoch in watched.epochs(small.matrix):
        alone = NMF(n_epochs=epoch.number, random_state=3, biased=biased).fit(small.matrix)
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(watched, name), getattr(alone, name))
        assert epoch.train_rmse is not None
    assert epoch.number == 4


def test_the_error_on_the_way_is_that_of_the_model_before(small: Drawn) -> None:
    before = NMF(n_epochs=3, random_state=1).fit(small.matrix)
    users = np.repeat(np.arange(small.matrix.n_users), small.matrix.by_user.counts)
    errors = small.matrix.values - before.score(users, small.matrix.items)
    *_, last = NMF(n_epochs=4, random_state=1).epochs(small.matrix)
    assert last.train_rmse == pytest.approx(np.sqrt(np.mean(errors**2)))


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_same_bytes_whatever_the_number_of_threads(biased: bool, dtype: str) -> None:
    large = drawn(3, n_users=900, n_items=700, n_ratings=20_000)
    found = []
    for number in (1, 4):
        with threads(number):
            model = NMF(n_epochs=5, random_state=1, biased=biased, dtype=dtype).fit(large.matrix)
            found.append([getattr(model, name).tobytes() for name in ARRAYS])
    assert found[0] == found[1]


def test_score_all_is_score_of_each_pair(small: Drawn) -> None:
    for biased in (False, True):
        model = NMF(random_state=1, biased=biased).fit(small.matrix)
        users = np.array([3, 0, 3], dtype=np.int32)
        items = np.arange(small.matrix.n_items, dtype=np.int32)
        rows = [model.score(np.full(len(items), user, dtype=np.int32), items) for user in users]
        np.testing.assert_allclose(model.score_all(users), rows, atol=1e-12)


def test_who_gave_nothing_but_zeros_has_no_factors() -> None:
    ratings = table(("a", "x", 0.0), ("a", "y", 0.0), ("b", "x", 4.0), ("b", "y", 2.0))
    model = NMF(random_state=1).fit(ratings)
    assert not model.pu[0].any()
    assert model.pu[1].all()


@pytest.mark.parametrize("reg", [0, 0.06])
def test_nothing_but_zeros_leaves_no_factors_and_no_nan(reg: float) -> None:
    model = NMF(random_state=1, reg_pu=reg, reg_qi=reg).fit(table(("a", "x", 0.0), ("b", "x", 0.0)))
    assert not model.pu.any()
    assert not model.qi.any()
    assert model.predict("a", "x", clip=False).est == 0


def test_negative_ratings_give_what_the_twin_gives() -> None:
    data = drawn(4, n_users=20, n_items=15, n_ratings=150)
    frame = data.frame.assign(rating=data.frame["rating"] - 2)
    reader = surprise.Reader(rating_scale=(-1, 3))
    trainset = surprise.Dataset.load_from_df(frame, reader).build_full_trainset()
    theirs = surprise.NMF(random_state=1, n_epochs=3, n_factors=4).fit(trainset)
    ours = NMF(random_state=1, n_epochs=3, n_factors=4).fit(trainset)
    np.testing.assert_allclose(ours.pu, theirs.pu, rtol=1e-8)
    assert (ours.pu < 0).any()


def test_surprise_cross_validates_searches_and_dumps_it(small: Drawn, tmp_path: Path) -> None:
    data = surprise.Dataset.load_from_df(small.frame, surprise.Reader())
    folds = KFold(3, random_state=1)
    kinds = (NMF, surprise.NMF)
    errors = [cross_validate(kind(random_state=2), data, cv=folds)["test_rmse"] for kind in kinds]
    np.testing.assert_allclose(errors[0], errors[1], atol=1e-9)
    grid = {"n_factors": [2, 5], "biased": [True, False], "random_state": [1]}
    searches = [GridSearchCV(kind, grid, ["rmse"], cv=folds) for kind in kinds]
    for search in searches:
        search.fit(data)
    assert searches[0].best_params["rmse"] == searches[1].best_params["rmse"]
    model = NMF(random_state=1).fit(small.matrix)
    surprise.dump.dump(str(tmp_path / "it"), algo=model)
    assert surprise.dump.load(str(tmp_path / "it"))[1].test(small.testset) == model.test(small.testset)


def test_divergence_is_an_error_that_names_the_parameters(small: Drawn) -> None:
    with pytest.raises(DivergedError, match=r"NMF diverged in epoch \d+ with lr_bu=10"):
        NMF(biased=True, lr_bu=10, lr_bi=10).fit(small.matrix)


def test_a_negative_start_is_refused_at_once_as_by_the_twin() -> None:
    for kind in (NMF, surprise.NMF):
        with pytest.raises(ValueError, match="init_low"):
            kind(init_low=-0.1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_factors": -1}, {"n_factors": 2.5}, {"n_epochs": -1}, {"reg_pu": -1}, {"reg_qi": math.nan},
        {"lr_bu": -0.1}, {"lr_bi": "fast"}, {"init_high": -1}, {"dtype": "float16"},
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named(wrong: dict[str, Any], small: Drawn) -> None:
    with pytest.raises(ParameterError, match=f"NMF: {next(iter(wrong))}"):
        NMF(**wrong).fit(small.matrix)
