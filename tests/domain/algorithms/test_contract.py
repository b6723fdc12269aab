"""Every candidate of the catalogue keeps one contract, whatever its family."""

import inspect
import pickle
from copy import copy, deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import surprise

from marquee.algorithms.base import EpochAlgorithm
from marquee.algorithms.export import factor_space
from marquee.algorithms.registry import CATALOGUE, candidate
from marquee.algorithms.scoring import Pairs, pairs_of, predict_pairs, score_all
from marquee.algorithms.state import load_state, model_bytes, save_state
from marquee.algorithms.threads import threads
from marquee.algorithms.trainset import as_trainset
from marquee.errors import ConfigError, DataError, DivergedError, ModelError
from marquee.interactions.matrix import RatingMatrix
from tests.support.sampled_data import Drawn, drawn

Parameters = dict[str, object]
VARIANTS: list[tuple[str, Parameters]] = [(name, {}) for name in CATALOGUE] + [
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
]
PREDICTORS = [name for name, one in CATALOGUE.items() if not one.factory.ranks]
RANKERS = [name for name, one in CATALOGUE.items() if one.factory.ranks]
BY_EPOCHS = [name for name, one in CATALOGUE.items() if issubclass(one.factory, EpochAlgorithm)]


@pytest.fixture(scope="module")
def data() -> Drawn:
    return drawn(1, n_users=30, n_items=25, n_ratings=260, twice=False)


@pytest.fixture(scope="module")
def pairs(data: Drawn) -> Pairs:
    return pairs_of(pd.DataFrame(data.testset, columns=["user", "item", "rating"]), data.matrix)


def arrays_of(algorithm: surprise.AlgoBase) -> dict[str, np.ndarray]:
    return {name: value for name, value in vars(algorithm).items() if isinstance(value, np.ndarray)}


@pytest.mark.parametrize(("name", "parameters"), [v for v in VARIANTS if v[0] in PREDICTORS])
def test_scores_of_all_items_are_the_estimates_of_surprise(
    name: str, parameters: Parameters, data: Drawn
) -> None:
    algorithm = candidate(name).make(parameters, seed=3).fit(data.matrix)
    trainset = algorithm.trainset
    users = np.arange(trainset.n_users, dtype=np.int32)
    scores = score_all(algorithm)(users)
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
def test_a_ranker_scores_pairs_as_it_scores_all(name: str, data: Drawn) -> None:
    algorithm = candidate(name).make({}, seed=3).fit(data.matrix)
    everyone = np.arange(data.matrix.n_users, dtype=np.int32)
    scores = score_all(algorithm)(everyone)
    users, items = np.divmod(np.arange(scores.size, dtype=np.int32), data.matrix.n_items)
    np.testing.assert_allclose(algorithm.score(users, items), scores.ravel(), atol=1e-6)


@pytest.mark.parametrize("name", RANKERS)
def test_a_ranker_says_that_it_predicts_no_rating(name: str, data: Drawn) -> None:
    algorithm = candidate(name).make({}, seed=3).fit(data.matrix)
    for prediction in algorithm.test(data.testset):
        assert prediction.est == data.trainset.global_mean
        assert prediction.details["was_impossible"]
        assert "predicts no rating" in prediction.details["reason"]


@pytest.mark.parametrize(("name", "parameters"), VARIANTS)
def test_a_saved_state_predicts_the_same_after_loading(
    name: str, parameters: Parameters, data: Drawn, tmp_path: Path
) -> None:
    fitted = candidate(name).make(parameters, seed=3).fit(data.matrix)
    save_state(fitted, tmp_path / "fit", name=name, parameters=parameters, seed=3)
    loaded, head = load_state(tmp_path / "fit", as_trainset(data.matrix))
    assert [p.est for p in loaded.test(data.testset)] == [p.est for p in fitted.test(data.testset)]
    assert head["algorithm"] == name
    assert model_bytes(loaded) == model_bytes(fitted)
    if name != "normal_predictor":
        users = np.arange(5, dtype=np.int32)
        np.testing.assert_array_equal(loaded.score_all(users), fitted.score_all(users))


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_same_seed_gives_the_same_predictions(name: str, data: Drawn) -> None:
    runs = [candidate(name).make({}, seed=9).fit(data.matrix).test(data.testset) for _ in range(2)]
    assert runs[0] == runs[1]


@pytest.mark.parametrize(("name", "parameters"), VARIANTS)
def test_the_same_bytes_whatever_the_number_of_threads(
    name: str, parameters: Parameters, pairs: Pairs
) -> None:
    many = drawn(5, n_users=400, n_items=300, n_ratings=6000)
    fits = []
    for number in (1, 4):
        with threads(number):
            algorithm = candidate(name).make(parameters, seed=9).fit(many.matrix)
            arrays = arrays_of(algorithm)
            if name != "normal_predictor":
                users = np.arange(300, dtype=np.int32)
                arrays |= {"scores": algorithm.score(users, users)}
                arrays |= {"all scores": algorithm.score_all(users)}
            fits.append({key: array.tobytes() for key, array in arrays.items()})
    assert fits[0] == fits[1]


@pytest.mark.parametrize(("name", "parameters"), VARIANTS)
def test_a_training_set_of_surprise_gives_the_same_model(
    name: str, parameters: Parameters, data: Drawn
) -> None:
    ours = arrays_of(candidate(name).make(parameters, seed=2).fit(data.matrix))
    theirs = arrays_of(candidate(name).make(parameters, seed=2).fit(data.trainset))
    assert {key: array.tobytes() for key, array in ours.items()} == {
        key: array.tobytes() for key, array in theirs.items()
    }


@pytest.mark.parametrize("name", CATALOGUE)
def test_test_is_predict_of_each_pair(name: str, data: Drawn) -> None:
    algorithm = candidate(name).make({}, seed=9).fit(data.trainset)
    together = algorithm.test(data.testset)
    if name == "normal_predictor":
        algorithm.fit(data.trainset)
    for one, (user, item, rating) in zip(together, data.testset, strict=True):
        alone = algorithm.predict(user, item, rating)
        assert one.est == pytest.approx(alone.est, abs=1e-12)
        assert one.details == alone.details


@pytest.mark.parametrize("name", CATALOGUE)
def test_predictions_of_pairs_are_those_of_test(name: str, data: Drawn, pairs: Pairs) -> None:
    algorithm = candidate(name).make({}, seed=9)
    tested = algorithm.fit(data.matrix).test(data.testset)
    predictions = predict_pairs(algorithm.fit(data.matrix), pairs)
    assert predictions.estimated.tolist() == [p.est for p in tested]
    assert predictions.impossible.tolist() == [p.details["was_impossible"] for p in tested]
    assert predictions.actual.tolist() == [p.r_ui for p in tested]


@pytest.mark.parametrize("name", CATALOGUE)
def test_predictions_stay_on_the_scale(name: str, data: Drawn, pairs: Pairs) -> None:
    estimated = predict_pairs(candidate(name).make({}, seed=9).fit(data.matrix), pairs).estimated
    assert estimated.min() >= data.matrix.scale[0]
    assert estimated.max() <= data.matrix.scale[1]


@pytest.mark.parametrize("name", CATALOGUE)
def test_one_rating_is_enough(name: str) -> None:
    frame = pd.DataFrame({"user": ["a"], "item": ["x"], "rating": [4.0]})
    algorithm = candidate(name).make({}, seed=1).fit(RatingMatrix.from_frame(frame))
    known, stranger = algorithm.test([("a", "x", 4.0), ("b", "y", 4.0)])
    assert 1 <= known.est <= 5
    assert 1 <= stranger.est <= 5


@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_ratings_that_are_no_numbers_are_refused(name: str, value: float) -> None:
    rows = pd.DataFrame({"user": ["a", "a"], "item": ["x", "y"], "rating": [4.0, value]})
    trainset = surprise.Dataset.load_from_df(rows, surprise.Reader()).build_full_trainset()
    with pytest.raises(DataError, match="1 of 2 ratings are not finite"):
        candidate(name).make({}, seed=1).fit(trainset)


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name != "normal_predictor"])  # it draws
def test_ids_that_do_not_exist_are_unknown_ones(name: str, data: Drawn) -> None:
    algorithm = candidate(name).make({}, seed=1).fit(data.matrix)
    n_users, n_items = data.matrix.n_users, data.matrix.n_items
    items = np.arange(n_items)
    for beyond in (n_users, 10**6, 2**40, -5):
        strangers = algorithm.score(np.full(n_items, beyond), items)
        np.testing.assert_array_equal(strangers, algorithm.score(np.full(n_items, -1), items))
        rows = algorithm.score_all(np.array([0, beyond, n_users - 1]))
        np.testing.assert_array_equal(rows[1], strangers)
        np.testing.assert_array_equal(rows[[0, 2]], algorithm.score_all(np.array([0, n_users - 1])))
    users = np.arange(n_users)
    nowhere = algorithm.score(users, np.full(n_users, n_items + 7))
    np.testing.assert_array_equal(nowhere, algorithm.score(users, np.full(n_users, -1)))


@pytest.mark.parametrize("name", ["svd", "nmf", "knn_basic", "slope_one", "co_clustering"])
def test_an_estimate_of_an_id_that_does_not_exist_is_that_of_the_twin(name: str, data: Drawn) -> None:
    algorithm = candidate(name).make({}, seed=1).fit(data.matrix)
    stranger = algorithm.estimate
    for pair in ((0, 10**6), (10**6, 0)):
        unknown = tuple("UKN__" if number else number for number in pair)
        try:
            expected = stranger(*unknown)
        except surprise.PredictionImpossible:
            with pytest.raises(surprise.PredictionImpossible):
                stranger(*pair)
        else:
            assert stranger(*pair) == expected


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_fit_that_fails_leaves_the_model_as_it_was(name: str, data: Drawn) -> None:
    algorithm = candidate(name).make({}, seed=1).fit(data.matrix)
    bad = replace(data.matrix, values=np.full(len(data.matrix.values), np.nan))
    before = arrays_of(algorithm)
    with pytest.raises(DataError, match="are not finite numbers"):
        algorithm.fit(bad)
    after = arrays_of(algorithm)
    assert algorithm.trainset.n_users == data.matrix.n_users
    for key, value in before.items():
        np.testing.assert_array_equal(after[key], value)


@pytest.mark.parametrize("name", BY_EPOCHS)
def test_a_copy_between_epochs_disturbs_nothing(name: str, data: Drawn) -> None:
    watched = candidate(name).make({"n_epochs": 3}, seed=4)
    for _ in watched.epochs(data.matrix):
        copies = pickle.loads(pickle.dumps(watched)), copy(watched), deepcopy(watched)
        for other in copies:
            assert other.test(data.testset) == watched.test(data.testset)
    alone = candidate(name).make({"n_epochs": 3}, seed=4).fit(data.matrix)
    assert watched.test(data.testset) == alone.test(data.testset)


def test_a_subclass_that_predicts_in_its_own_way_is_tested_by_it(data: Drawn) -> None:
    class Fixed(candidate("svd").factory):  # type: ignore[misc]
        def predict(self, uid: object, iid: object, *_: object, **__: object) -> surprise.Prediction:
            return surprise.Prediction(uid, iid, None, 2.5, {})

    assert {one.est for one in Fixed(n_epochs=1).fit(data.matrix).test(data.testset)} == {2.5}


def test_ratings_without_a_user_are_refused() -> None:
    frame = pd.DataFrame({"user": ["a", None], "item": ["x", "y"], "rating": [4.0, 3.0]})
    with pytest.raises(DataError, match="1 of 2 ratings name no user or no item, the first in row 1"):
        RatingMatrix.from_frame(frame)


@pytest.mark.parametrize("name", BY_EPOCHS)
def test_each_epoch_leaves_the_model_of_that_many_epochs(name: str, data: Drawn) -> None:
    watched = candidate(name).make({"n_epochs": 3}, seed=4)
    numbers = []
    for epoch in watched.epochs(data.matrix):
        numbers.append(epoch.number)
        alone = candidate(name).make({"n_epochs": epoch.number}, seed=4).fit(data.matrix)
        assert watched.test(data.testset) == alone.test(data.testset)
        users = np.arange(5, dtype=np.int32)
        np.testing.assert_array_equal(watched.score_all(users), alone.score_all(users))
    assert numbers == [1, 2, 3]


# Implicit BPR draws its initial factors in the precision asked for: they are other numbers.
@pytest.mark.parametrize(
    "name", [n for n, c in CATALOGUE.items() if "dtype" in c.parameters and n != "implicit_bpr"]
)
def test_single_precision_predicts_the_same_to_its_digits(name: str, data: Drawn) -> None:
    fits = [candidate(name).make({"dtype": d}, seed=4).fit(data.matrix) for d in ("float64", "float32")]
    users = np.arange(5, dtype=np.int32)
    double, single = (fitted.score_all(users) for fitted in fits)
    np.testing.assert_allclose(single, double, atol=0.01 * max(1.0, np.abs(double).max()))


@pytest.mark.parametrize("name", CATALOGUE)
def test_surprise_dumps_and_loads_it(name: str, data: Drawn, tmp_path: Path) -> None:
    algorithm = candidate(name).make({}, seed=4).fit(data.matrix)
    surprise.dump.dump(str(tmp_path / "it"), algo=algorithm)
    _, loaded = surprise.dump.load(str(tmp_path / "it"))
    assert loaded.test(data.testset) == algorithm.test(data.testset)


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_fit_leaves_nothing_of_the_one_before(name: str, data: Drawn) -> None:
    other = drawn(8, n_users=10, n_items=8, n_ratings=50)
    algorithm = candidate(name).make({}, seed=4).fit(other.matrix).fit(data.matrix)
    fresh = candidate(name).make({}, seed=4).fit(data.matrix)
    assert algorithm.test(data.testset) == fresh.test(data.testset)


@pytest.mark.parametrize("name", ["svd", "pmf", "svdpp", "nmf", "bayesian_mf"])
def test_the_space_of_a_factor_model_gives_its_own_scores(name: str, data: Drawn) -> None:
    algorithm = candidate(name).make({"n_factors": 4}, 1).fit(data.matrix)
    space = factor_space(algorithm, noise=0.8)
    assert space is not None
    users = np.arange(data.matrix.n_users, dtype=np.int32)
    scores = np.array([space.scores(space.known(user)) for user in users])
    np.testing.assert_allclose(scores, algorithm.score_all(users), rtol=1e-4, atol=1e-4)


def test_an_algorithm_without_factors_has_no_space(data: Drawn) -> None:
    assert factor_space(candidate("slope_one").make({}, 1).fit(data.matrix), noise=0.8) is None


def test_an_algorithm_of_which_only_estimate_is_known_is_scored_the_slow_way(
    data: Drawn, pairs: Pairs
) -> None:
    slow = surprise.SlopeOne().fit(data.trainset)
    fast = candidate("slope_one").make({}, 1).fit(data.trainset)
    users = np.arange(4, dtype=np.int32)
    np.testing.assert_allclose(score_all(slow)(users), score_all(fast)(users), atol=1e-9)
    theirs, ours = predict_pairs(slow, pairs), predict_pairs(fast, pairs)
    np.testing.assert_allclose(theirs.estimated, ours.estimated, atol=1e-9)
    np.testing.assert_array_equal(theirs.impossible, ours.impossible)


def test_predictions_that_are_no_numbers_are_refused(data: Drawn, pairs: Pairs) -> None:
    algorithm = candidate("svd").make({}, 1).fit(data.matrix)
    algorithm.bi[:] = np.nan
    with pytest.raises(DivergedError, match="SVD predicts ratings that are not finite"):
        predict_pairs(algorithm, pairs)


def test_the_catalogue_holds_the_whole_benchmark_table_of_surprise() -> None:
    theirs = {
        name
        for name, kind in vars(surprise).items()
        if inspect.isclass(kind) and issubclass(kind, surprise.AlgoBase) and kind is not surprise.AlgoBase
    }
    assert theirs <= {one.factory.__name__ for one in CATALOGUE.values()}


@pytest.mark.parametrize("name", [n for n, c in CATALOGUE.items() if hasattr(surprise, c.factory.__name__)])
def test_arguments_and_their_defaults_are_those_of_the_twin(name: str) -> None:
    ours = inspect.signature(CATALOGUE[name].factory).parameters
    theirs = inspect.signature(getattr(surprise, CATALOGUE[name].factory.__name__)).parameters
    options = {"sim_options", "bsl_options"}  # theirs are dictionaries that all instances share
    names = [parameter for parameter in theirs if parameter not in {"kwargs", *options}]
    assert [parameter for parameter in ours if parameter in names] == names
    assert set(theirs) - {"kwargs"} <= set(ours)
    for parameter in names:
        assert ours[parameter].default == theirs[parameter].default


def test_an_unknown_algorithm_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="no algorithm 'svdp'; did you mean 'svdpp'"):
        candidate("svdp")


def test_an_unknown_parameter_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="svd has no parameter 'n_factor'; did you mean 'n_factors'"):
        candidate("svd").make({"n_factor": 3}, 1)


def test_a_folder_without_state_is_refused(data: Drawn, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="run the fit stage"):
        load_state(tmp_path, data.trainset)
