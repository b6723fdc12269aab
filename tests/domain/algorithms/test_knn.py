"""k-NN models: parity with Surprise, hand-computed cases, neighbor selection, invalid arguments."""

import heapq
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pytest
import surprise
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from surprise.model_selection import GridSearchCV, cross_validate

from marquee.algorithms.kernels.neighbors import average_neighbor_offsets
from marquee.algorithms.knn import KNNBaseline, KNNBasic, KNNWithMeans, KNNWithZScore
from marquee.algorithms.knn_base import KNNAlgorithm
from marquee.algorithms.similarities import MEASURES
from marquee.algorithms.threads import limit_threads
from marquee.array_types import FloatArray
from marquee.errors import DataError, ParameterError
from marquee.interactions.matrix import InteractionMatrix
from tests.support.rating_samples import RatingSample, assert_same_predictions, rating_samples, sample_ratings

KNNClass: TypeAlias = type[KNNAlgorithm]
FAST = settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow])
KNN_CLASSES: list[KNNClass] = [KNNBasic, KNNWithMeans, KNNWithZScore, KNNBaseline]
SIMILARITY = st.fixed_dictionaries(
    {"name": st.sampled_from(list(MEASURES)), "user_based": st.booleans()},
    optional={"min_support": st.integers(1, 3), "shrinkage": st.sampled_from([0, 10, 100])},
)
BASELINE = st.sampled_from(
    [{}, {"method": "sgd", "n_epochs": 3}, {"method": "als", "reg_u": 2, "n_epochs": 2}]
)


def twin_class(knn: KNNClass) -> Callable[..., Any]:
    cls: Callable[..., Any] = getattr(surprise, knn.__name__)
    return cls


@pytest.fixture(scope="module")
def small_sample() -> RatingSample:
    return sample_ratings(1, n_users=30, n_items=20, n_ratings=250)


@FAST
@given(
    data=rating_samples(),
    knn=st.sampled_from(KNN_CLASSES),
    sim_options=SIMILARITY,
    bsl_options=BASELINE,
    k=st.integers(1, 15),
    min_k=st.integers(0, 4),
    dtype=st.sampled_from(["float64", "float32"]),
)
def test_predictions_equal_those_of_surprise(
    *,
    data: RatingSample,
    knn: KNNClass,
    sim_options: dict[str, Any],
    bsl_options: dict[str, Any],
    k: int,
    min_k: int,
    dtype: str,
) -> None:
    options: dict[str, Any] = {"k": k, "min_k": min_k, "verbose": False, "bsl_options": bsl_options}
    twin = twin_class(knn)(sim_options=dict(sim_options), **options)
    for training in (data.trainset, data.matrix):
        model = knn(sim_options=sim_options, dtype=dtype, **options).fit(training)
        low, high = model.trainset.rating_scale
        assert all(low <= prediction.est <= high for prediction in model.test(data.testset))
        try:
            twin.fit(data.trainset)
        except ZeroDivisionError:  # a similarity is undefined
            return
        np.testing.assert_allclose(model.sim, twin.sim, atol=1e-9 if dtype == "float64" else 1e-6)
        for name in ("means", "sigmas", "overall_sigma"):
            if hasattr(twin, name):  # bit-identical, because a sigma of exactly zero is treated differently
                np.testing.assert_array_equal(getattr(model, name), getattr(twin, name))
        if getattr(twin, "overall_sigma", 1) == 0 or (knn is KNNBasic and min_k == 0):
            return  # here the twin divides by zero
        if dtype == "float32" or sim_options["name"] == "pearson_baseline":
            twin.sim = model.sim.astype(np.float64)  # rounding may create or remove a tie
        assert_same_predictions(model, twin, data.testset, 1e-9)


@pytest.mark.parametrize("knn", KNN_CLASSES)
@pytest.mark.parametrize("user_based", [True, False])
def test_defaults_equal_those_of_the_twin(
    knn: KNNClass, user_based: bool, small_sample: RatingSample
) -> None:
    options = {"user_based": user_based}
    model = knn(sim_options=options).fit(small_sample.trainset)
    twin = twin_class(knn)(sim_options=dict(options)).fit(small_sample.trainset)
    assert_same_predictions(model, twin, small_sample.testset, 1e-9)
    assert (model.n_x, model.n_y) == (twin.n_x, twin.n_y)
    assert (model.xr, model.yr) == (twin.xr, twin.yr)
    assert [model.get_neighbors(x, 5) for x in range(5)] == [twin.get_neighbors(x, 5) for x in range(5)]
    if isinstance(model, KNNBaseline):
        np.testing.assert_allclose(model.bx, twin.bx, atol=1e-12)
        np.testing.assert_allclose(model.by, twin.by, atol=1e-12)


@settings(deadline=None, max_examples=150)
@given(
    n=st.integers(1, 400),
    k=st.integers(1, 60),
    n_values=st.sampled_from([2, 5, 30, 10**9]),  # number of distinct similarities; few make many ties
    power=st.sampled_from([1, 9]),  # how unevenly the similarities are distributed
    shift=st.sampled_from([0.0, 0.3, 1.0]),  # moves some similarities below zero
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from([np.float64, np.float32]),
)
def test_average_over_neighbors_equals_that_of_a_heap(
    *, n: int, k: int, n_values: int, power: int, shift: float, seed: int, dtype: type
) -> None:
    rng = np.random.default_rng(seed)
    sim: FloatArray = ((rng.integers(0, n_values, (1, 500)) / n_values) ** power - shift).astype(dtype)
    raters = rng.integers(0, 500, n).astype(np.int32)
    offsets = rng.normal(size=n)
    pair, average, count = np.zeros(1, np.int32), np.empty(1), np.empty(1, np.int32)
    bounds = np.array([0, n])
    average_neighbor_offsets(
        sim, pair, pair, np.zeros(1, np.int64), bounds, raters, offsets, k, n, average, count
    )
    candidates = zip(sim[0, raters].astype(float), offsets, strict=True)
    nearest = [(s, z) for s, z in heapq.nlargest(k, candidates, key=lambda pair: pair[0]) if s > 0]
    assert count[0] == len(nearest)
    weight = sum(s for s, _ in nearest)
    expected = sum(s * z for s, z in nearest) / weight if nearest else 0
    np.testing.assert_allclose(average[0], expected, atol=1e-10)


def make_matrix(*rows: tuple[str, str, float]) -> InteractionMatrix:
    return InteractionMatrix.from_frame(pd.DataFrame(rows, columns=["user", "item", "rating"]))


@pytest.fixture
def three_users() -> InteractionMatrix:
    """Ratings of three users, of whom a has not rated z; S_AB and S_AC are msd similarities on x and y."""
    return make_matrix(
        ("a", "x", 1), ("a", "y", 3), ("b", "x", 2), ("b", "y", 3), ("c", "x", 5), ("c", "y", 3),
        ("b", "z", 4), ("c", "z", 1),
    )  # fmt: skip


S_AB, S_AC = 1 / (1 + 1 / 2), 1 / (1 + 16 / 2)


@pytest.mark.parametrize(
    ("knn", "expected"),
    [
        (KNNBasic, (S_AB * 4 + S_AC * 1) / (S_AB + S_AC)),
        (KNNWithMeans, 2 + (S_AB * (4 - 3) + S_AC * (1 - 3)) / (S_AB + S_AC)),
        (
            KNNWithZScore,
            2 + 1 * (S_AB * (4 - 3) / (2 / 3) ** 0.5 + S_AC * (1 - 3) / (8 / 3) ** 0.5) / (S_AB + S_AC),
        ),
    ],
)
def test_prediction_matches_hand_computation(
    knn: KNNClass, expected: float, three_users: InteractionMatrix
) -> None:
    prediction = knn(verbose=False).fit(three_users).predict("a", "z")
    assert prediction.est == pytest.approx(expected, abs=1e-12)
    assert prediction.details == {"actual_k": 2, "was_impossible": False}


def test_prediction_from_baseline_matches_hand_computation(three_users: InteractionMatrix) -> None:
    """Without epochs, biases are 0 and every baseline is the mean of all ratings, 22 / 8."""
    model = KNNBaseline(verbose=False, bsl_options={"n_epochs": 0}).fit(three_users)
    expected = 22 / 8 + (S_AB * (4 - 22 / 8) + S_AC * (1 - 22 / 8)) / (S_AB + S_AC)
    assert model.predict("a", "z").est == pytest.approx(expected, abs=1e-12)


def test_first_rater_wins_among_equally_similar_neighbors() -> None:
    same = [(user, "x", 3.0) for user in "abc"]
    assert KNNBasic(k=1).fit(make_matrix(*same, ("b", "z", 5), ("c", "z", 1))).predict("a", "z").est == 5
    assert KNNBasic(k=1).fit(make_matrix(*same, ("c", "z", 1), ("b", "z", 5))).predict("a", "z").est == 1


def test_rater_without_positive_similarity_is_not_a_neighbor() -> None:
    """On x and y, the Pearson correlation with a is 1 for b and -1 for c."""
    matrix = make_matrix(
        ("a", "x", 1), ("a", "y", 2), ("b", "x", 1), ("b", "y", 2), ("c", "x", 2), ("c", "y", 1),
        ("b", "z", 4), ("c", "z", 1),
    )  # fmt: skip
    prediction = KNNBasic(k=9, sim_options={"name": "pearson"}).fit(matrix).predict("a", "z")
    assert (prediction.est, prediction.details["actual_k"]) == (4, 1)


@pytest.mark.parametrize("knn", [KNNBasic, KNNWithMeans, KNNWithZScore])
def test_prediction_for_unknown_user_is_impossible(knn: KNNClass, three_users: InteractionMatrix) -> None:
    prediction = knn().fit(three_users).predict("nobody", "z")
    assert prediction.details == {"was_impossible": True, "reason": "User and/or item is unknown."}
    assert prediction.est == 22 / 8


def test_only_models_with_means_predict_with_too_few_neighbors(three_users: InteractionMatrix) -> None:
    model = KNNBasic(min_k=3).fit(three_users)
    details = {"was_impossible": True, "reason": "Not enough neighbors."}
    assert model.predict("a", "z").details == details
    assert model.test([("a", "z", 1.0)])[0].details == details
    assert KNNWithMeans(min_k=3).fit(three_users).predict("a", "z").est == 2


@pytest.mark.parametrize("min_k", [0, 1])
def test_prediction_without_neighbors_is_impossible_even_with_min_k_0(min_k: int) -> None:
    model = KNNBasic(min_k=min_k).fit(make_matrix(("a", "x", 1), ("b", "y", 3)))
    assert model.predict("a", "y").details == {"was_impossible": True, "reason": "Not enough neighbors."}


def test_knn_baseline_predicts_unknown_users_from_biases(small_sample: RatingSample) -> None:
    model = KNNBaseline(verbose=False).fit(small_sample.matrix)
    assert model.predict("nobody", "nothing").details == {"was_impossible": False}
    item = model.trainset.to_raw_iid(3)
    assert model.predict("nobody", item).est == pytest.approx(model.trainset.global_mean + model.bi[3])


@pytest.mark.parametrize("knn", KNN_CLASSES)
@pytest.mark.parametrize("name", MEASURES)
def test_constant_ratings_are_predicted(knn: KNNClass, name: str) -> None:
    matrix = make_matrix(*[(user, item, 2.0) for user in "abc" for item in "wxyz"])
    estimates = knn(sim_options={"name": name}).fit(matrix).estimate_pairs([0, 1], [1, 2])
    np.testing.assert_array_equal(estimates.values, [2, 2])


@pytest.mark.parametrize("knn", KNN_CLASSES)
@pytest.mark.parametrize("user_based", [True, False])
def test_scores_of_all_items_equal_scores_of_pairs(
    knn: KNNClass, user_based: bool, small_sample: RatingSample
) -> None:
    model = knn(sim_options={"user_based": user_based}, verbose=False, k=4, min_k=2).fit(small_sample.matrix)
    users = [7, 0, 29, 7]
    scores = model.score_all_items(users)
    n_items = model.trainset.n_items
    assert scores.shape == (4, n_items)
    for row, user in zip(scores, users, strict=True):
        np.testing.assert_array_equal(row, model.score_pairs(np.full(n_items, user), np.arange(n_items)))
        raw_items = range(3)
        expected = [model.predict(model.trainset.to_raw_uid(user), i, clip=False).est for i in raw_items]
        np.testing.assert_array_equal(row[[model.trainset.to_inner_iid(i) for i in raw_items]], expected)


@pytest.mark.parametrize("knn", KNN_CLASSES)
def test_model_is_byte_identical_for_any_thread_count(knn: KNNClass) -> None:
    data = sample_ratings(2, n_users=300, n_items=60, n_ratings=5000, scale_name="half")
    users, items = (ids.ravel() for ids in np.mgrid[-1:300, -1:60])
    results = []
    for n_threads in (1, 4):
        with limit_threads(n_threads):
            model = knn(sim_options={"name": "pearson_baseline"}, verbose=False).fit(data.matrix)
            results.append(model.score_pairs(users, items).tobytes() + model.sim.tobytes())
    assert results[0] == results[1]


@pytest.mark.parametrize("knn", KNN_CLASSES)
def test_surprise_dump_predicts_the_same(knn: KNNClass, small_sample: RatingSample, tmp_path: Path) -> None:
    for training in (small_sample.trainset, small_sample.matrix):
        model = knn(verbose=False).fit(training)
        expected = model.test(small_sample.testset)
        surprise.dump.dump(str(tmp_path / "dump"), algo=model)
        _, loaded = surprise.dump.load(str(tmp_path / "dump"))
        assert loaded.test(small_sample.testset) == expected


@pytest.mark.parametrize("knn", KNN_CLASSES)
def test_refitted_model_equals_a_new_one(
    knn: KNNClass, small_sample: RatingSample, three_users: InteractionMatrix
) -> None:
    model = knn(verbose=False).fit(small_sample.matrix)
    model.test(small_sample.testset)
    model.fit(three_users)
    assert model.predict("a", "z") == knn(verbose=False).fit(three_users).predict("a", "z")


@pytest.mark.parametrize("knn", KNN_CLASSES)
def test_cross_validation_equals_that_of_surprise(knn: KNNClass, small_sample: RatingSample) -> None:
    data = surprise.Dataset.load_from_df(small_sample.frame, surprise.Reader())
    actual, expected = (
        cross_validate(cls(verbose=False), data, cv=surprise.model_selection.KFold(3, random_state=0))
        for cls in (knn, twin_class(knn))
    )
    np.testing.assert_allclose(actual["test_rmse"], expected["test_rmse"], atol=1e-9)


def test_grid_search_sets_nested_options(small_sample: RatingSample) -> None:
    data = surprise.Dataset.load_from_df(small_sample.frame, surprise.Reader())
    grid = {
        "k": [2, 9],
        "verbose": [False],
        "sim_options": {"name": ["msd", "cosine"], "user_based": [False]},
    }
    search = GridSearchCV(KNNWithMeans, grid, measures=["rmse"], cv=2)
    search.fit(data)
    assert search.best_params["rmse"]["sim_options"]["user_based"] is False


def test_options_are_not_shared_between_instances() -> None:
    sim_options: dict[str, Any] = {"name": "cosine"}
    first, second = KNNBasic(), KNNBasic(sim_options=sim_options)
    assert sim_options == {"name": "cosine"}
    first.sim_options["user_based"] = False
    assert KNNBasic().sim_options["user_based"]
    assert second.sim_options == {"name": "cosine", "user_based": True}


def test_verbose_output_equals_that_of_the_twin(
    small_sample: RatingSample, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = []
    for cls in (KNNBaseline, surprise.KNNBaseline):
        cls(sim_options={"name": "pearson_baseline"}).fit(small_sample.trainset)
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] != ""
    KNNBaseline(verbose=False).fit(small_sample.trainset)
    assert capsys.readouterr().out == ""


def test_single_precision_halves_the_size_of_the_similarities(small_sample: RatingSample) -> None:
    double, single = (KNNBasic(dtype=dtype).fit(small_sample.matrix).sim for dtype in ("float64", "float32"))
    assert double.nbytes == 2 * single.nbytes


@pytest.mark.parametrize("knn", KNN_CLASSES)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k must be an integer of at least 1 (got 0)"),
        ({"k": 2.5}, "k must be an integer of at least 1 (got 2.5)"),
        ({"min_k": -1}, "min_k must be an integer of at least 0 (got -1)"),
        ({"dtype": "float16"}, "dtype must be one of float64, float32 (got 'float16')"),
        (
            {"sim_options": {"name": "euclid"}},
            "name must be one of cosine, msd, pearson, pearson_baseline (got 'euclid')",
        ),
    ],
)
def test_invalid_argument_is_rejected(
    knn: KNNClass, options: dict[str, Any], message: str, small_sample: RatingSample
) -> None:
    with pytest.raises(ParameterError, match=re.escape(message)):
        knn(**options).fit(small_sample.matrix)


def test_non_finite_ratings_are_rejected(small_sample: RatingSample) -> None:
    frame = small_sample.frame.assign(rating=np.nan)
    trainset = surprise.Dataset.load_from_df(frame, surprise.Reader()).build_full_trainset()
    with pytest.raises(DataError, match="not finite"):
        KNNBasic().fit(trainset)
