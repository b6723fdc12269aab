"""The k-NN models: the same numbers as their twins, hand-worked cases, and what they refuse."""

import heapq
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import surprise
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from surprise.model_selection import GridSearchCV, cross_validate

from marquee.algorithms.kernels.neighbours import average_pairs
from marquee.algorithms.knn import KNNBaseline, KNNBasic, KNNWithMeans, KNNWithZScore
from marquee.algorithms.knn_base import SymmetricAlgorithm
from marquee.algorithms.similarities import MEASURES
from marquee.algorithms.threads import threads
from marquee.errors import DataError, ParameterError
from marquee.interactions.matrix import RatingMatrix
from tests.support.sampled_data import Drawn, drawn, rating_sets, same_predictions

QUICK = settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow])
MODELS = [KNNBasic, KNNWithMeans, KNNWithZScore, KNNBaseline]
SIMILARITY = st.fixed_dictionaries(
    {"name": st.sampled_from(list(MEASURES)), "user_based": st.booleans()},
    optional={"min_support": st.integers(1, 3), "shrinkage": st.sampled_from([0, 10, 100])},
)
BASELINE = st.sampled_from(
    [{}, {"method": "sgd", "n_epochs": 3}, {"method": "als", "reg_u": 2, "n_epochs": 2}]
)
Model = type[SymmetricAlgorithm]


def twin(model: Model) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(surprise, model.__name__)
    return found


@pytest.fixture(scope="module")
def small() -> Drawn:
    return drawn(1, n_users=30, n_items=20, n_ratings=250)


@QUICK
@given(
    data=rating_sets(),
    model=st.sampled_from(MODELS),
    sim_options=SIMILARITY,
    bsl_options=BASELINE,
    k=st.integers(1, 15),
    min_k=st.integers(0, 4),
    dtype=st.sampled_from(["float64", "float32"]),
)
def test_they_predict_what_surprise_predicts(
    *,
    data: Drawn,
    model: Model,
    sim_options: dict[str, Any],
    bsl_options: dict[str, Any],
    k: int,
    min_k: int,
    dtype: str,
) -> None:
    options = {"k": k, "min_k": min_k, "verbose": False, "bsl_options": bsl_options}
    theirs = twin(model)(sim_options=dict(sim_options), **options)
    for training in (data.trainset, data.matrix):
        ours = model(sim_options=sim_options, dtype=dtype, **options).fit(training)
        scale = ours.trainset.rating_scale
        assert all(scale[0] <= p.est <= scale[1] for p in ours.test(data.testset))
        try:
            theirs.fit(data.trainset)
        except ZeroDivisionError:  # a similarity that is not defined
            return
        np.testing.assert_allclose(ours.sim, theirs.sim, atol=1e-9 if dtype == "float64" else 1e-6)
        for name in ("means", "sigmas", "overall_sigma"):
            if hasattr(theirs, name):  # to the bit, for whether a sigma is zero decides
                np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
        if getattr(theirs, "overall_sigma", 1) == 0 or (model is KNNBasic and min_k == 0):
            return  # the twin divides by zero
        if dtype == "float32" or sim_options["name"] == "pearson_baseline":
            theirs.sim = ours.sim.astype(np.float64)  # rounding may make or break a tie
        same_predictions(ours, theirs, data.testset, 1e-9)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("user_based", [True, False])
def test_defaults_are_those_of_the_twin(model: Model, user_based: bool, small: Drawn) -> None:
    options = {"user_based": user_based}
    ours = model(sim_options=options).fit(small.trainset)
    theirs = twin(model)(sim_options=dict(options)).fit(small.trainset)
    same_predictions(ours, theirs, small.testset, 1e-9)
    assert (ours.n_x, ours.n_y) == (theirs.n_x, theirs.n_y)
    assert (ours.xr, ours.yr) == (theirs.xr, theirs.yr)
    assert [ours.get_neighbors(x, 5) for x in range(5)] == [theirs.get_neighbors(x, 5) for x in range(5)]
    if model is KNNBaseline:
        np.testing.assert_allclose(ours.bx, theirs.bx, atol=1e-12)
        np.testing.assert_allclose(ours.by, theirs.by, atol=1e-12)


@settings(deadline=None, max_examples=150)
@given(
    n=st.integers(1, 400),
    k=st.integers(1, 60),
    values=st.sampled_from([2, 5, 30, 10**9]),  # different similarities: few make many ties
    power=st.sampled_from([1, 9]),  # how unevenly they are spread
    below=st.sampled_from([0.0, 0.3, 1.0]),  # how far down they go
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from([np.float64, np.float32]),
)
def test_the_neighbours_are_those_that_a_heap_finds(
    *, n: int, k: int, values: int, power: int, below: float, seed: int, dtype: type
) -> None:
    rng = np.random.default_rng(seed)
    sim = ((rng.integers(0, values, (1, 500)) / values) ** power - below).astype(dtype)
    raters = rng.integers(0, 500, n).astype(np.int32)
    offsets = rng.normal(size=n)
    pair, average, count = np.zeros(1, np.int32), np.empty(1), np.empty(1, np.int32)
    bounds = np.array([0, n])
    average_pairs(sim, pair, pair, np.zeros(1, np.int64), bounds, raters, offsets, k, n, average, count)
    ranked = zip(sim[0, raters].astype(float), offsets, strict=True)
    nearest = [(s, z) for s, z in heapq.nlargest(k, ranked, key=lambda pair: pair[0]) if s > 0]
    assert count[0] == len(nearest)
    weight = sum(s for s, _ in nearest)
    expected = sum(s * z for s, z in nearest) / weight if nearest else 0
    np.testing.assert_allclose(average[0], expected, atol=1e-10)


def frame_of(*rows: tuple[str, str, float]) -> RatingMatrix:
    return RatingMatrix.from_frame(pd.DataFrame(rows, columns=["user", "item", "rating"]))


@pytest.fixture
def three() -> RatingMatrix:
    """What a thinks of z is asked; by msd on x and y, s(a, b) = 1 / (1 + 1/2), s(a, c) = 1 / (1 + 16/2)."""
    return frame_of(
        ("a", "x", 1), ("a", "y", 3), ("b", "x", 2), ("b", "y", 3), ("c", "x", 5), ("c", "y", 3),
        ("b", "z", 4), ("c", "z", 1),
    )  # fmt: skip


B, C = 2 / 3, 1 / 9  # similarities of a to b and to c


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (KNNBasic, (B * 4 + C * 1) / (B + C)),
        (KNNWithMeans, 2 + (B * (4 - 3) + C * (1 - 3)) / (B + C)),
        (KNNWithZScore, 2 + 1 * (B * (4 - 3) / (2 / 3) ** 0.5 + C * (1 - 3) / (8 / 3) ** 0.5) / (B + C)),
    ],
)
def test_a_rating_by_hand(model: Model, expected: float, three: RatingMatrix) -> None:
    prediction = model(verbose=False).fit(three).predict("a", "z")
    assert prediction.est == pytest.approx(expected, abs=1e-12)
    assert prediction.details == {"actual_k": 2, "was_impossible": False}


def test_a_rating_from_a_baseline_by_hand(three: RatingMatrix) -> None:
    """Without epochs the biases are 0, and every baseline is the mean of all ratings, 22 / 8."""
    model = KNNBaseline(verbose=False, bsl_options={"n_epochs": 0}).fit(three)
    expected = 22 / 8 + (B * (4 - 22 / 8) + C * (1 - 22 / 8)) / (B + C)
    assert model.predict("a", "z").est == pytest.approx(expected, abs=1e-12)


def test_of_equally_similar_neighbours_the_first_to_rate_counts() -> None:
    alike = [(user, "x", 3.0) for user in "abc"]
    assert KNNBasic(k=1).fit(frame_of(*alike, ("b", "z", 5), ("c", "z", 1))).predict("a", "z").est == 5
    assert KNNBasic(k=1).fit(frame_of(*alike, ("c", "z", 1), ("b", "z", 5))).predict("a", "z").est == 1


def test_neighbours_without_similarity_take_places_but_do_not_count() -> None:
    """By pearson on x and y, b is like a and c the opposite of a: c is none of the neighbours, whatever k."""
    matrix = frame_of(
        ("a", "x", 1), ("a", "y", 2), ("b", "x", 1), ("b", "y", 2), ("c", "x", 2), ("c", "y", 1),
        ("b", "z", 4), ("c", "z", 1),
    )  # fmt: skip
    prediction = KNNBasic(k=9, sim_options={"name": "pearson"}).fit(matrix).predict("a", "z")
    assert (prediction.est, prediction.details["actual_k"]) == (4, 1)


def test_impossible_says_why(three: RatingMatrix) -> None:
    for model in (KNNBasic, KNNWithMeans, KNNWithZScore):
        stranger = model().fit(three).predict("nobody", "z")
        assert stranger.details == {"was_impossible": True, "reason": "User and/or item is unknown."}
        assert stranger.est == 22 / 8
    lonely = KNNBasic(min_k=3).fit(three)
    reason = {"was_impossible": True, "reason": "Not enough neighbors."}
    assert lonely.predict("a", "z").details == reason
    assert lonely.test([("a", "z", 1.0)])[0].details == reason
    assert KNNWithMeans(min_k=3).fit(three).predict("a", "z").est == 2


@pytest.mark.parametrize("min_k", [0, 1])
def test_without_any_neighbour_the_basic_model_is_impossible_even_with_min_k_0(min_k: int) -> None:
    model = KNNBasic(min_k=min_k).fit(frame_of(("a", "x", 1), ("b", "y", 3)))
    assert model.predict("a", "y").details == {"was_impossible": True, "reason": "Not enough neighbors."}


def test_the_baseline_model_knows_something_of_strangers(small: Drawn) -> None:
    model = KNNBaseline(verbose=False).fit(small.matrix)
    assert model.predict("nobody", "nothing").details == {"was_impossible": False}
    item = model.trainset.to_raw_iid(3)
    assert model.predict("nobody", item).est == pytest.approx(model.trainset.global_mean + model.bi[3])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", MEASURES)
def test_where_all_ratings_are_the_same_they_are_predicted(model: Model, name: str) -> None:
    matrix = frame_of(*[(user, item, 2.0) for user in "abc" for item in "wxyz"])
    estimates = model(sim_options={"name": name}).fit(matrix).estimates([0, 1], [1, 2])
    np.testing.assert_array_equal(estimates.values, [2, 2])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("user_based", [True, False])
def test_scores_of_all_items_are_the_scores_of_pairs(model: Model, user_based: bool, small: Drawn) -> None:
    fitted = model(sim_options={"user_based": user_based}, verbose=False, k=4, min_k=2).fit(small.matrix)
    users = np.array([7, 0, 29, 7], dtype=np.int32)
    scores = fitted.score_all(users)
    assert scores.shape == (4, fitted.trainset.n_items)
    for row, user in zip(scores, users, strict=True):
        items = np.arange(fitted.trainset.n_items)
        np.testing.assert_array_equal(row, fitted.score(np.full(len(items), user), items))
        one = [fitted.predict(fitted.trainset.to_raw_uid(user), i, clip=False).est for i in range(3)]
        raw = [fitted.trainset.to_inner_iid(i) for i in range(3)]
        np.testing.assert_array_equal(row[raw], one)


@pytest.mark.parametrize("model", MODELS)
def test_the_number_of_threads_changes_nothing(model: Model) -> None:
    data = drawn(2, n_users=300, n_items=60, n_ratings=5000, stars="half")
    users, items = (a.ravel() for a in np.mgrid[-1:300, -1:60])
    scores = []
    for number in (1, 4):
        with threads(number):
            fitted = model(sim_options={"name": "pearson_baseline"}, verbose=False).fit(data.matrix)
            scores.append(fitted.score(users, items).tobytes() + fitted.sim.tobytes())
    assert scores[0] == scores[1]


@pytest.mark.parametrize("model", MODELS)
def test_a_dump_predicts_the_same(model: Model, small: Drawn, tmp_path: Path) -> None:
    for training in (small.trainset, small.matrix):
        fitted = model(verbose=False).fit(training)
        expected = fitted.test(small.testset)
        surprise.dump.dump(str(tmp_path / "dump"), algo=fitted)
        _, loaded = surprise.dump.load(str(tmp_path / "dump"))
        assert loaded.test(small.testset) == expected


def test_fitting_again_forgets_the_first_ratings(small: Drawn, three: RatingMatrix) -> None:
    for model in MODELS:
        twice = model(verbose=False).fit(small.matrix)
        twice.test(small.testset)
        twice.fit(three)
        assert twice.predict("a", "z") == model(verbose=False).fit(three).predict("a", "z")


def test_surprise_validates_and_searches_them(small: Drawn) -> None:
    data = surprise.Dataset.load_from_df(small.frame, surprise.Reader())
    for model in MODELS:
        ours, theirs = (
            cross_validate(kind(verbose=False), data, cv=surprise.model_selection.KFold(3, random_state=0))
            for kind in (model, twin(model))
        )
        np.testing.assert_allclose(ours["test_rmse"], theirs["test_rmse"], atol=1e-9)
    grid = {
        "k": [2, 9],
        "verbose": [False],
        "sim_options": {"name": ["msd", "cosine"], "user_based": [False]},
    }
    search = GridSearchCV(KNNWithMeans, grid, measures=["rmse"], cv=2)
    search.fit(data)
    assert search.best_params["rmse"]["sim_options"]["user_based"] is False


def test_options_are_not_shared_between_instances() -> None:
    given_options: dict[str, Any] = {"name": "cosine"}
    first, second = KNNBasic(), KNNBasic(sim_options=given_options)
    assert given_options == {"name": "cosine"}
    first.sim_options["user_based"] = False
    assert KNNBasic().sim_options["user_based"]
    assert second.sim_options == {"name": "cosine", "user_based": True}


def test_they_say_what_they_do_as_the_twin_does(small: Drawn, capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for kind in (KNNBaseline, surprise.KNNBaseline):
        kind(sim_options={"name": "pearson_baseline"}).fit(small.trainset)
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] != ""
    KNNBaseline(verbose=False).fit(small.trainset)
    assert capsys.readouterr().out == ""


def test_single_precision_halves_the_similarities(small: Drawn) -> None:
    double, single = (KNNBasic(dtype=dtype).fit(small.matrix).sim for dtype in ("float64", "float32"))
    assert double.nbytes == 2 * single.nbytes


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k=0 must be a whole number of 1 or more"),
        ({"k": 2.5}, "k=2.5 must be a whole number"),
        ({"min_k": -1}, "min_k=-1 must be a whole number of 0 or more"),
        ({"dtype": "float16"}, "dtype='float16' must be one of float64, float32"),
        ({"sim_options": {"name": "euclid"}}, "name='euclid' must be one of cosine, msd, pearson"),
    ],
)
def test_an_argument_that_cannot_be_used_is_refused(
    model: Model, options: dict[str, Any], message: str, small: Drawn
) -> None:
    with pytest.raises(ParameterError, match=message):
        model(**options).fit(small.matrix)


def test_ratings_that_are_not_numbers_are_refused(small: Drawn) -> None:
    frame = small.frame.assign(rating=np.nan)
    broken = surprise.Dataset.load_from_df(frame, surprise.Reader()).build_full_trainset()
    with pytest.raises(DataError, match="not finite numbers"):
        KNNBasic().fit(broken)
