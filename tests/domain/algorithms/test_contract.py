"""Contract that every registered algorithm fulfills."""

import inspect
import pickle
import re
from copy import copy, deepcopy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
import pytest
import surprise

from marquee.algorithms.base import EpochAlgorithm
from marquee.algorithms.persistence import compute_model_size, load_fitted_algorithm, save_fitted_algorithm
from marquee.algorithms.registry import REGISTRY, find_algorithm
from marquee.algorithms.scoring import UserItemPairs, build_block_scorer, encode_pairs, predict_pairs
from marquee.algorithms.svd import SVD, FactorModel
from marquee.algorithms.threads import limit_threads
from marquee.algorithms.trainset import as_trainset
from marquee.errors import ConfigError, DataError, DivergedError, ModelError
from marquee.interactions.matrix import InteractionMatrix
from tests.support.rating_samples import RatingSample, sample_ratings

Parameters: TypeAlias = dict[str, object]

VARIANTS: list[tuple[str, Parameters]] = [(name, {}) for name in REGISTRY] + [
    ("svd", {"biased": False}),
    ("svd", {"dtype": "float32"}),
    ("nmf", {"biased": True, "n_epochs": 5}),
    ("knn_basic", {"user_based": False, "k": 3, "similarity": "cosine"}),
    ("knn_basic", {"k": 2, "min_k": 2}),
    ("knn_with_means", {"user_based": False, "k": 2, "min_k": 2}),
    ("knn_with_z_score", {"user_based": False, "k": 4, "similarity": "pearson"}),
    ("knn_baseline", {"similarity": "pearson_baseline", "shrinkage": 10, "k": 3, "method": "sgd"}),
    ("knn_baseline", {"user_based": False, "k": 5}),
    ("baseline_only", {"method": "sgd", "learning_rate": 0.01}),
    ("ials", {"solver": "block", "n_factors": 10, "block_size": 4}),
    ("ease", {"n_weights": 5}),
]
PREDICTORS = [name for name, entry in REGISTRY.items() if not entry.algorithm_class.is_ranker]
RANKERS = [name for name, entry in REGISTRY.items() if entry.algorithm_class.is_ranker]
EPOCH_ALGORITHMS = [
    name for name, entry in REGISTRY.items() if issubclass(entry.algorithm_class, EpochAlgorithm)
]


@pytest.fixture(scope="module")
def data() -> RatingSample:
    return sample_ratings(1, n_users=30, n_items=25, n_ratings=260, allow_repeats=False)


@pytest.fixture(scope="module")
def pairs(data: RatingSample) -> UserItemPairs:
    return encode_pairs(pd.DataFrame(data.testset, columns=["user", "item", "rating"]), data.matrix)


def array_attributes(algorithm: surprise.AlgoBase) -> dict[str, np.ndarray]:
    return {name: value for name, value in vars(algorithm).items() if isinstance(value, np.ndarray)}


def create_epoch_algorithm(name: str, n_epochs: int) -> EpochAlgorithm:
    algorithm = find_algorithm(name).create({"n_epochs": n_epochs}, seed=4)
    assert isinstance(algorithm, EpochAlgorithm)
    return algorithm


@pytest.mark.parametrize(
    ("name", "parameters"), [variant for variant in VARIANTS if variant[0] in PREDICTORS]
)
def test_scores_of_all_items_equal_unclipped_predictions(
    name: str, parameters: Parameters, data: RatingSample
) -> None:
    algorithm = find_algorithm(name).create(parameters, seed=3).fit(data.matrix)
    trainset = algorithm.trainset
    users = np.arange(trainset.n_users, dtype=np.int32)
    scores = build_block_scorer(algorithm)(users)
    assert scores.shape == (trainset.n_users, trainset.n_items)
    if name == "normal_predictor":
        assert abs(scores.mean() - trainset.global_mean) < 0.3
        return
    expected = [
        [
            algorithm.predict(trainset.to_raw_uid(u), trainset.to_raw_iid(i), clip=False).est
            for i in range(trainset.n_items)
        ]
        for u in users
    ]
    np.testing.assert_allclose(scores, expected, atol=1e-5 if "dtype" in parameters else 1e-9)


@pytest.mark.parametrize("name", RANKERS)
def test_ranker_gives_pairs_the_scores_of_score_all_items(name: str, data: RatingSample) -> None:
    algorithm = find_algorithm(name).create({}, seed=3).fit(data.matrix)
    scores = build_block_scorer(algorithm)(np.arange(data.matrix.n_users, dtype=np.int32))
    users, items = np.divmod(np.arange(scores.size, dtype=np.int32), data.matrix.n_items)
    np.testing.assert_allclose(algorithm.score_pairs(users, items), scores.ravel(), atol=1e-6)


@pytest.mark.parametrize("name", RANKERS)
def test_ranker_predictions_are_impossible_and_state_the_reason(name: str, data: RatingSample) -> None:
    algorithm = find_algorithm(name).create({}, seed=3).fit(data.matrix)
    for prediction in algorithm.test(data.testset):
        assert prediction.est == data.trainset.global_mean
        assert prediction.details["was_impossible"]
        assert "does not predict ratings" in prediction.details["reason"]


@pytest.mark.parametrize(("name", "parameters"), VARIANTS)
def test_saved_state_predicts_the_same_after_loading(
    name: str, parameters: Parameters, data: RatingSample, tmp_path: Path
) -> None:
    fitted = find_algorithm(name).create(parameters, seed=3).fit(data.matrix)
    save_fitted_algorithm(fitted, tmp_path / "fit", name=name, parameters=parameters, seed=3)
    loaded, header = load_fitted_algorithm(tmp_path / "fit", as_trainset(data.matrix))
    assert [p.est for p in loaded.test(data.testset)] == [p.est for p in fitted.test(data.testset)]
    assert header["algorithm"] == name
    assert compute_model_size(loaded) == compute_model_size(fitted)
    if name != "normal_predictor":
        users = np.arange(5, dtype=np.int32)
        np.testing.assert_array_equal(loaded.score_all_items(users), fitted.score_all_items(users))


def test_saved_state_replaces_that_of_another_algorithm(data: RatingSample, tmp_path: Path) -> None:
    sparse, dense = (find_algorithm("ease").create({"n_weights": n}, 1).fit(data.matrix) for n in (2, None))
    for algorithm, n in ((sparse, 2), (dense, None)):
        save_fitted_algorithm(algorithm, tmp_path, name="ease", parameters={"n_weights": n}, seed=1)
    loaded, _ = load_fitted_algorithm(tmp_path, as_trainset(data.matrix))
    np.testing.assert_array_equal(loaded.score_all_items([0]), dense.score_all_items([0]))


@pytest.mark.parametrize("name", REGISTRY)
def test_same_seed_gives_same_predictions(name: str, data: RatingSample) -> None:
    runs = [find_algorithm(name).create({}, seed=9).fit(data.matrix).test(data.testset) for _ in range(2)]
    assert runs[0] == runs[1]


@pytest.mark.parametrize(("name", "parameters"), VARIANTS)
@pytest.mark.slow
def test_model_is_byte_identical_for_any_thread_count(name: str, parameters: Parameters) -> None:
    large = sample_ratings(5, n_users=400, n_items=300, n_ratings=6000)
    fits = []
    for n_threads in (1, 4):
        with limit_threads(n_threads):
            algorithm = find_algorithm(name).create(parameters, seed=9).fit(large.matrix)
            arrays = array_attributes(algorithm)
            if name != "normal_predictor":
                users = np.arange(300)
                arrays |= {"scores": algorithm.score_pairs(users, users)}
                arrays |= {"all scores": algorithm.score_all_items(users)}
            fits.append({key: array.tobytes() for key, array in arrays.items()})
    assert fits[0] == fits[1]


@pytest.mark.parametrize(("name", "parameters"), VARIANTS)
def test_surprise_trainset_gives_same_model_as_matrix(
    name: str, parameters: Parameters, data: RatingSample
) -> None:
    fits = [
        array_attributes(find_algorithm(name).create(parameters, seed=2).fit(training))
        for training in (data.matrix, data.trainset)
    ]
    contents = [{key: array.tobytes() for key, array in arrays.items()} for arrays in fits]
    assert contents[0] == contents[1]


@pytest.mark.parametrize("name", REGISTRY)
def test_test_equals_predict_of_each_pair(name: str, data: RatingSample) -> None:
    algorithm = find_algorithm(name).create({}, seed=9).fit(data.trainset)
    predictions = algorithm.test(data.testset)
    if name == "normal_predictor":
        algorithm.fit(data.trainset)
    for prediction, (user, item, rating) in zip(predictions, data.testset, strict=True):
        single = algorithm.predict(user, item, rating)
        assert prediction.est == pytest.approx(single.est, abs=1e-12)
        assert prediction.details == single.details


@pytest.mark.parametrize("name", REGISTRY)
def test_predict_pairs_equals_test(name: str, data: RatingSample, pairs: UserItemPairs) -> None:
    algorithm = find_algorithm(name).create({}, seed=9)
    tested = algorithm.fit(data.matrix).test(data.testset)
    predictions = predict_pairs(algorithm.fit(data.matrix), pairs)
    assert predictions.estimated.tolist() == [p.est for p in tested]
    assert predictions.impossible.tolist() == [p.details["was_impossible"] for p in tested]
    assert predictions.actual.tolist() == [p.r_ui for p in tested]


@pytest.mark.parametrize("name", REGISTRY)
def test_predictions_are_clipped_to_the_rating_scale(
    name: str, data: RatingSample, pairs: UserItemPairs
) -> None:
    estimated = predict_pairs(find_algorithm(name).create({}, seed=9).fit(data.matrix), pairs).estimated
    assert estimated.min() >= data.matrix.scale[0]
    assert estimated.max() <= data.matrix.scale[1]


@pytest.mark.parametrize("name", REGISTRY)
def test_algorithm_can_be_fitted_to_one_rating(name: str) -> None:
    frame = pd.DataFrame({"user": ["a"], "item": ["x"], "rating": [4.0]})
    algorithm = find_algorithm(name).create({}, seed=1).fit(InteractionMatrix.from_frame(frame))
    known, unknown = algorithm.test([("a", "x", 4.0), ("b", "y", 4.0)])
    assert 1 <= known.est <= 5
    assert 1 <= unknown.est <= 5


@pytest.mark.parametrize("name", REGISTRY)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_ratings_are_rejected(name: str, value: float) -> None:
    rows = pd.DataFrame({"user": ["a", "a"], "item": ["x", "y"], "rating": [4.0, value]})
    trainset = surprise.Dataset.load_from_df(rows, surprise.Reader()).build_full_trainset()
    with pytest.raises(DataError, match="1 of 2 values are not finite"):
        find_algorithm(name).create({}, seed=1).fit(trainset)


# Scores of NormalPredictor are random.
@pytest.mark.parametrize("name", [name for name in REGISTRY if name != "normal_predictor"])
def test_inner_ids_out_of_range_are_unknown(name: str, data: RatingSample) -> None:
    algorithm = find_algorithm(name).create({}, seed=1).fit(data.matrix)
    n_users, n_items = data.matrix.n_users, data.matrix.n_items
    items = np.arange(n_items)
    for user in (n_users, 10**6, 2**40, -5):
        scores = algorithm.score_pairs(np.full(n_items, user), items)
        np.testing.assert_array_equal(scores, algorithm.score_pairs(np.full(n_items, -1), items))
        rows = algorithm.score_all_items(np.array([0, user, n_users - 1]))
        np.testing.assert_array_equal(rows[1], scores)
        np.testing.assert_array_equal(rows[[0, 2]], algorithm.score_all_items(np.array([0, n_users - 1])))
    users = np.arange(n_users)
    scores = algorithm.score_pairs(users, np.full(n_users, n_items + 7))
    np.testing.assert_array_equal(scores, algorithm.score_pairs(users, np.full(n_users, -1)))


def make_histories() -> tuple[list[int], list[int], list[float]]:
    """Return the histories of three users who are not in the training set; the second one is empty."""
    return [0, 3, 3, 8], [4, 0, 7, 1, 2, 3, 5, 8], [5.0, 1.0, 4.0, 5.0, 2.0, 5.0, 4.0, 3.0]


@pytest.mark.parametrize("name", REGISTRY)
def test_histories_change_the_scores_of_unknown_users_if_the_algorithm_uses_them(
    name: str, data: RatingSample
) -> None:
    algorithm = find_algorithm(name).create({}, seed=1).fit(data.matrix)
    scores = algorithm.score_histories(*make_histories())
    assert scores.shape == (3, data.matrix.n_items)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    if algorithm.uses_histories:
        assert not np.allclose(scores[0], scores[1])
        assert not np.allclose(scores[0], scores[2])
    elif not algorithm.is_random:
        assert (scores == algorithm.score_all_items([-1])).all()


HISTORY_ALGORITHMS = [name for name, entry in REGISTRY.items() if entry.algorithm_class.uses_histories]


def test_every_model_with_item_factors_or_item_weights_uses_histories() -> None:
    expected = {"svd", "pmf", "svdpp", "nmf", "bayesian_mf", "ease", "edlae", "slim", "item_knn", "user_knn"}
    expected |= {"rp3beta", "ials", "bpr", "implicit_als", "implicit_bpr", "blend"}
    assert set(HISTORY_ALGORITHMS) == expected


@pytest.mark.parametrize("name", HISTORY_ALGORITHMS)
def test_scores_of_a_history_depend_only_on_that_history(name: str, data: RatingSample) -> None:
    algorithm = find_algorithm(name).create({}, seed=1).fit(data.matrix)
    indptr, items, values = make_histories()
    scores = algorithm.score_histories(indptr, items, values)
    first = algorithm.score_histories([0, 3], items[:3], values[:3])
    assert scores[:1].tobytes() == first.tobytes()
    with limit_threads(3):
        many = algorithm.score_histories([0, *np.cumsum([3, 0, 5] * 40)], items * 40, values * 40)
    assert many.tobytes() == np.tile(scores, (40, 1)).tobytes()


@pytest.mark.parametrize("name", HISTORY_ALGORITHMS)
def test_unknown_items_of_a_history_are_ignored(name: str, data: RatingSample) -> None:
    algorithm = find_algorithm(name).create({}, seed=1).fit(data.matrix)
    expected = algorithm.score_histories([0, 2, 2], [4, 7], [5.0, 4.0])
    items = [-1, 4, data.matrix.n_items, 7, 10**6, -7]
    scores = algorithm.score_histories([0, 5, 6], items, [1.0, 5.0, 5.0, 4.0, 2.0, 3.0])
    assert scores.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("histories", "message"),
    [
        (([0, 2], [1], [5.0]), "indptr of histories must increase from 0 to the number of items (1)"),
        (([1, 1], [1], [5.0]), "indptr of histories must increase from 0 to the number of items (1)"),
        (([0, 2, 1, 2], [1, 2], [5.0, 4.0]), "indptr of histories must increase from 0"),
        (([], [], []), "indptr of histories must increase from 0 to the number of items (0)"),
        (([0, 1], [1], [5.0, 3.0]), "histories have 1 items and 2 values"),
        (([0, 2], [1, 2], [5.0, np.nan]), "value 1 of the histories is not finite (nan)"),
    ],
)
def test_invalid_histories_are_rejected(
    histories: tuple[list[int], list[int], list[float]], message: str, data: RatingSample
) -> None:
    algorithm = find_algorithm("ease").create({}, seed=1).fit(data.matrix)
    with pytest.raises(DataError, match=re.escape(message)):
        algorithm.score_histories(*histories)


@pytest.mark.parametrize("name", ["svd", "pmf", "svdpp", "nmf", "bayesian_mf"])
def test_history_of_ratings_is_folded_in_as_at_serving_time(name: str, data: RatingSample) -> None:
    algorithm = find_algorithm(name).create({"n_factors": 4}, 1).fit(data.matrix)
    assert isinstance(algorithm, FactorModel)
    users = np.repeat(np.arange(data.matrix.n_users), np.diff(data.matrix.indptr))
    errors = data.matrix.values - algorithm.estimate_pairs(users, data.matrix.items).values
    space = algorithm.build_factor_space(noise=float(np.mean(errors**2)))
    indptr, items, values = make_histories()
    for row, (start, stop) in zip(
        algorithm.score_histories(indptr, items, values), pairwise(indptr), strict=True
    ):
        user = space.fold_in(np.array(items[start:stop], dtype=np.int32), np.array(values[start:stop]))
        np.testing.assert_allclose(row, space.score_items(user), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["svd", "nmf", "knn_basic", "slope_one", "co_clustering"])
def test_estimate_of_inner_id_out_of_range_equals_that_of_unknown_id(name: str, data: RatingSample) -> None:
    algorithm = find_algorithm(name).create({}, seed=1).fit(data.matrix)
    for pair in ((0, 10**6), (10**6, 0)):
        unknown = tuple("UKN__" if inner_id else inner_id for inner_id in pair)
        try:
            expected = algorithm.estimate(*unknown)
        except surprise.PredictionImpossible:
            with pytest.raises(surprise.PredictionImpossible):
                algorithm.estimate(*pair)
        else:
            assert algorithm.estimate(*pair) == expected


@pytest.mark.parametrize("name", REGISTRY)
def test_failed_fit_leaves_model_unchanged(name: str, data: RatingSample) -> None:
    algorithm = find_algorithm(name).create({}, seed=1).fit(data.matrix)
    invalid = replace(data.matrix, values=np.full(len(data.matrix.values), np.nan))
    before = array_attributes(algorithm)
    with pytest.raises(DataError, match="are not finite"):
        algorithm.fit(invalid)
    after = array_attributes(algorithm)
    assert algorithm.trainset.n_users == data.matrix.n_users
    for key, value in before.items():
        np.testing.assert_array_equal(after[key], value)


@pytest.mark.parametrize("name", EPOCH_ALGORITHMS)
def test_copies_between_epochs_do_not_disturb_training(name: str, data: RatingSample) -> None:
    model = create_epoch_algorithm(name, n_epochs=3)
    for _ in model.fit_by_epoch(data.matrix):
        for clone in (pickle.loads(pickle.dumps(model)), copy(model), deepcopy(model)):
            assert clone.test(data.testset) == model.test(data.testset)
    undisturbed = create_epoch_algorithm(name, n_epochs=3).fit(data.matrix)
    assert model.test(data.testset) == undisturbed.test(data.testset)


def test_test_calls_overridden_predict(data: RatingSample) -> None:
    class Fixed(SVD):
        def predict(self, uid: object, iid: object, *_: object, **__: object) -> surprise.Prediction:
            return surprise.Prediction(uid, iid, None, 2.5, {})

    predictions = Fixed(n_epochs=1).fit(data.matrix).test(data.testset)
    assert {prediction.est for prediction in predictions} == {2.5}


def test_rating_without_user_is_rejected() -> None:
    frame = pd.DataFrame({"user": ["a", None], "item": ["x", "y"], "rating": [4.0, 3.0]})
    with pytest.raises(DataError, match="1 of 2 interactions lack a user or item id, the first in row 1"):
        InteractionMatrix.from_frame(frame)


@pytest.mark.parametrize("name", EPOCH_ALGORITHMS)
def test_model_after_each_epoch_equals_shorter_fit(name: str, data: RatingSample) -> None:
    model = create_epoch_algorithm(name, n_epochs=3)
    numbers = []
    for epoch in model.fit_by_epoch(data.matrix):
        numbers.append(epoch.number)
        shorter = create_epoch_algorithm(name, n_epochs=epoch.number).fit(data.matrix)
        assert model.test(data.testset) == shorter.test(data.testset)
        users = np.arange(5)
        np.testing.assert_array_equal(model.score_all_items(users), shorter.score_all_items(users))
    assert numbers == [1, 2, 3]


# The initial factors of Implicit BPR depend on the precision.
@pytest.mark.parametrize(
    "name",
    [name for name, entry in REGISTRY.items() if "dtype" in entry.parameter_names and name != "implicit_bpr"],
)
@pytest.mark.slow
def test_single_precision_scores_are_close(name: str, data: RatingSample) -> None:
    fits = [
        find_algorithm(name).create({"dtype": dtype}, seed=4).fit(data.matrix)
        for dtype in ("float64", "float32")
    ]
    users = np.arange(5, dtype=np.int32)
    double, single = (fitted.score_all_items(users) for fitted in fits)
    np.testing.assert_allclose(single, double, atol=0.01 * max(1.0, np.abs(double).max()))


@pytest.mark.parametrize("name", REGISTRY)
def test_surprise_dump_predicts_the_same(name: str, data: RatingSample, tmp_path: Path) -> None:
    algorithm = find_algorithm(name).create({}, seed=4).fit(data.matrix)
    surprise.dump.dump(str(tmp_path / "model"), algo=algorithm)
    _, loaded = surprise.dump.load(str(tmp_path / "model"))
    assert loaded.test(data.testset) == algorithm.test(data.testset)


@pytest.mark.parametrize("name", REGISTRY)
def test_refitted_algorithm_equals_a_new_one(name: str, data: RatingSample) -> None:
    other = sample_ratings(8, n_users=10, n_items=8, n_ratings=50)
    algorithm = find_algorithm(name).create({}, seed=4).fit(other.matrix).fit(data.matrix)
    fresh = find_algorithm(name).create({}, seed=4).fit(data.matrix)
    assert algorithm.test(data.testset) == fresh.test(data.testset)


@pytest.mark.parametrize("name", ["svd", "pmf", "svdpp", "nmf", "bayesian_mf"])
def test_factor_space_gives_the_scores_of_the_model(name: str, data: RatingSample) -> None:
    algorithm = find_algorithm(name).create({"n_factors": 4}, 1).fit(data.matrix)
    space = algorithm.build_factor_space(noise=0.8)
    assert space is not None
    users = range(data.matrix.n_users)
    scores = np.array([space.score_items(space.trained_user_factors(user)) for user in users])
    np.testing.assert_allclose(scores, algorithm.score_all_items(users), rtol=1e-4, atol=1e-4)


def test_algorithm_without_factors_has_no_factor_space(data: RatingSample) -> None:
    assert find_algorithm("slope_one").create({}, 1).fit(data.matrix).build_factor_space(noise=0.8) is None


def test_surprise_algorithm_is_scored_by_estimate(data: RatingSample, pairs: UserItemPairs) -> None:
    twin = surprise.SlopeOne().fit(data.trainset)
    algorithm = find_algorithm("slope_one").create({}, 1).fit(data.trainset)
    users = np.arange(4, dtype=np.int32)
    np.testing.assert_allclose(
        build_block_scorer(twin)(users), build_block_scorer(algorithm)(users), atol=1e-9
    )
    twin_predictions, predictions = predict_pairs(twin, pairs), predict_pairs(algorithm, pairs)
    np.testing.assert_allclose(twin_predictions.estimated, predictions.estimated, atol=1e-9)
    np.testing.assert_array_equal(twin_predictions.impossible, predictions.impossible)


def test_non_finite_predictions_are_rejected(data: RatingSample, pairs: UserItemPairs) -> None:
    algorithm = find_algorithm("svd").create({}, 1).fit(data.matrix)
    algorithm.bi[:] = np.nan
    with pytest.raises(DivergedError, match="SVD predicts ratings that are not finite"):
        predict_pairs(algorithm, pairs)


def test_registry_contains_every_surprise_algorithm() -> None:
    classes = [value for value in vars(surprise).values() if inspect.isclass(value)]
    twins = {cls.__name__ for cls in classes if issubclass(cls, surprise.AlgoBase)} - {"AlgoBase"}
    assert twins <= {entry.class_name for entry in REGISTRY.values()}


@pytest.mark.parametrize(
    "name", [name for name, entry in REGISTRY.items() if hasattr(surprise, entry.class_name)]
)
def test_arguments_and_defaults_equal_those_of_the_twin(name: str) -> None:
    entry = REGISTRY[name]
    arguments = inspect.signature(entry.algorithm_class).parameters
    twin_arguments = inspect.signature(getattr(surprise, entry.class_name)).parameters
    options = {"sim_options", "bsl_options"}  # the twin's defaults are dictionaries that instances share
    names = [argument for argument in twin_arguments if argument not in {"kwargs", *options}]
    assert [argument for argument in arguments if argument in names] == names
    assert set(twin_arguments) - {"kwargs"} <= set(arguments)
    for argument in names:
        assert arguments[argument].default == twin_arguments[argument].default


def test_unknown_algorithm_is_rejected_with_closest_name() -> None:
    with pytest.raises(ConfigError, match="unknown algorithm 'svdp'; did you mean 'svdpp'"):
        find_algorithm("svdp")


def test_unknown_parameter_is_rejected_with_closest_name() -> None:
    with pytest.raises(ConfigError, match="svd has no parameter 'n_factor'; did you mean 'n_factors'"):
        find_algorithm("svd").create({"n_factor": 3}, 1)


def test_folder_without_state_is_rejected(data: RatingSample, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="run the fit stage"):
        load_fitted_algorithm(tmp_path, data.trainset)
