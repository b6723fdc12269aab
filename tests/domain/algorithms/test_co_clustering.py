"""Co-clustering: the same clusters as Surprise's, half stars that count in full, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import surprise
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from surprise.model_selection import GridSearchCV, KFold, cross_validate

from marquee.algorithms.co_clustering import CoClustering
from marquee.algorithms.threads import threads
from marquee.errors import ParameterError
from marquee.interactions.matrix import RatingMatrix
from tests.support.sampled_data import Drawn, drawn, rating_sets, same_predictions

QUICK = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
OPTIONS = st.fixed_dictionaries(
    {"random_state": st.integers(0, 2**31), "n_epochs": st.integers(0, 6)},
    optional={"n_cltr_u": st.integers(1, 40), "n_cltr_i": st.integers(1, 40)},  # more than users, too
)
CLUSTERS = ("cltr_u", "cltr_i")
AVERAGES = ("user_mean", "item_mean", "avg_cltr_u", "avg_cltr_i", "avg_cocltr")


@pytest.fixture(scope="module")
def small() -> Drawn:
    return drawn(1, n_users=30, n_items=20, n_ratings=200)


@QUICK
@given(data=rating_sets(stars=("whole", "constant", "ten")), options=OPTIONS)
def test_predicts_what_surprise_predicts(data: Drawn, options: dict[str, Any]) -> None:
    theirs = surprise.CoClustering(**options).fit(data.trainset)
    for training in (data.trainset, data.matrix):
        ours = CoClustering(**options).fit(training)
        for name in CLUSTERS:
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
        for name in AVERAGES:
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-12)
        same_predictions(ours, theirs, data.testset, 1e-9)


@QUICK
@given(data=rating_sets(stars=("half",)), options=OPTIONS)
def test_half_stars_count_in_full(data: Drawn, options: dict[str, Any]) -> None:
    """The twin cuts them to whole numbers, so it is given twice the ratings."""
    doubled = surprise.Dataset.load_from_df(
        data.frame.assign(rating=data.frame["rating"] * 2), surprise.Reader(rating_scale=(1, 10))
    )
    theirs = surprise.CoClustering(**options).fit(doubled.build_full_trainset())
    ours = CoClustering(**options).fit(data.trainset)
    for name in CLUSTERS:
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    for name in AVERAGES:
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name) / 2, atol=1e-12)


def test_defaults_are_those_of_the_twin(small: Drawn) -> None:
    theirs = surprise.CoClustering(random_state=1).fit(small.trainset)
    same_predictions(CoClustering(random_state=1).fit(small.matrix), theirs, small.testset, 1e-9)


def test_averages_by_hand() -> None:
    """One cluster of each: the mean of all, moved by the means of user and item."""
    frame = pd.DataFrame(
        {
            "user": ["a", "a", "b", "c", "c"],
            "item": ["x", "y", "x", "y", "z"],
            "rating": [5.0, 2.0, 4.0, 1.0, 3.0],
        }
    )
    model = CoClustering(n_cltr_u=1, n_cltr_i=1).fit(RatingMatrix.from_frame(frame))
    assert model.avg_cocltr[0, 0] == model.avg_cltr_u[0] == model.avg_cltr_i[0] == 3
    np.testing.assert_allclose(model.user_mean, [3.5, 4, 2])
    np.testing.assert_allclose(model.item_mean, [4.5, 1.5, 3])
    assert model.predict("c", "x").est == pytest.approx(3 + (2 - 3) + (4.5 - 3))


def test_a_cluster_without_ratings_has_the_global_mean(small: Drawn) -> None:
    model = CoClustering(n_cltr_u=200, random_state=1).fit(small.matrix)
    empty = np.setdiff1d(np.arange(200), model.cltr_u)
    assert len(empty)
    assert (model.avg_cltr_u[empty] == small.trainset.global_mean).all()
    assert (model.avg_cocltr[empty] == small.trainset.global_mean).all()


def test_who_is_unknown_is_given_the_global_mean(small: Drawn) -> None:
    model = CoClustering(random_state=1).fit(small.matrix)
    for pair in (("nobody", 3), ("u1", "nothing"), ("nobody", "nothing")):
        prediction = model.predict(*pair)
        assert prediction.est == small.trainset.global_mean
        assert prediction.details == {"was_impossible": False}


def test_after_each_epoch_it_is_the_model_of_that_many_epochs(small: Drawn) -> None:
    watched = CoClustering(n_epochs=5, random_state=3)
    for epoch in watched.epochs(small.matrix):
        alone = CoClustering(n_epochs=epoch.number, random_state=3).fit(small.matrix)
        for name in CLUSTERS + AVERAGES:
            np.testing.assert_array_equal(getattr(watched, name), getattr(alone, name))
        assert watched.test(small.testset) == alone.test(small.testset)
    assert epoch.number == 5


def test_the_same_bytes_whatever_the_number_of_threads() -> None:
    large = drawn(3, n_users=2000, n_items=1500, n_ratings=30_000, stars="half")
    found = []
    for number in (1, 4):
        with threads(number):
            model = CoClustering(n_epochs=6, random_state=1).fit(large.matrix)
            found.append([getattr(model, name).tobytes() for name in CLUSTERS + AVERAGES])
    assert found[0] == found[1]


def test_score_all_is_score_of_each_pair(small: Drawn) -> None:
    model = CoClustering(random_state=1).fit(small.matrix)
    users = np.array([3, 0, 3], dtype=np.int32)
    items = np.arange(small.matrix.n_items, dtype=np.int32)
    rows = [model.score(np.full(len(items), user, dtype=np.int32), items) for user in users]
    np.testing.assert_allclose(model.score_all(users), rows, atol=1e-12)


def test_surprise_cross_validates_searches_and_dumps_it(small: Drawn, tmp_path: Path) -> None:
    data = surprise.Dataset.load_from_df(small.frame, surprise.Reader())
    folds = KFold(3, random_state=1)
    kinds = (CoClustering, surprise.CoClustering)
    errors = [cross_validate(kind(random_state=2), data, cv=folds)["test_rmse"] for kind in kinds]
    np.testing.assert_allclose(errors[0], errors[1], atol=1e-9)
    grid = {"n_cltr_u": [2, 5], "n_cltr_i": [1, 3], "random_state": [1]}
    searches = [GridSearchCV(kind, grid, ["rmse"], cv=folds) for kind in kinds]
    for search in searches:
        search.fit(data)
    assert searches[0].best_params["rmse"] == searches[1].best_params["rmse"]
    model = CoClustering(random_state=1).fit(small.matrix)
    surprise.dump.dump(str(tmp_path / "it"), algo=model)
    assert surprise.dump.load(str(tmp_path / "it"))[1].test(small.testset) == model.test(small.testset)


@pytest.mark.parametrize("wrong", [{"n_cltr_u": 0}, {"n_cltr_i": -1}, {"n_cltr_u": 2.5}, {"n_epochs": -1}])
def test_a_wrong_parameter_is_named(wrong: dict[str, Any], small: Drawn) -> None:
    with pytest.raises(ParameterError, match=f"CoClustering: {next(iter(wrong))}"):
        CoClustering(**wrong).fit(small.matrix)
