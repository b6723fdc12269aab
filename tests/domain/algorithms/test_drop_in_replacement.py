"""Drop-in replacement of scikit-surprise's algorithms: equal arguments, numbers, attributes and output."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pytest
import surprise
from scipy import stats
from surprise.model_selection import GridSearchCV, KFold, RandomizedSearchCV, cross_validate

import marquee.algorithms
from marquee.errors import DivergedError, ParameterError, UnknownSimilarityError
from tests.support.rating_samples import RatingSample, sample_ratings

TOLERANCE = 1e-12
TWINS = [name for name in marquee.algorithms.__all__ if hasattr(surprise, name)]
KNN = [name for name in TWINS if name.startswith("KNN")]
SIMILARITIES = ("cosine", "msd", "pearson", "pearson_baseline")
Options: TypeAlias = dict[str, Any]

# Options for a short, reproducible fit.
BASE_OPTIONS: dict[str, Options] = {
    "SVD": {"n_factors": 2, "n_epochs": 2, "random_state": 1},
    "SVDpp": {"n_factors": 2, "n_epochs": 2, "random_state": 1},
    "NMF": {"n_factors": 2, "n_epochs": 2, "random_state": 1},
    "CoClustering": {"n_epochs": 1, "random_state": 1},
    "KNNBasic": {"verbose": False},
    "BaselineOnly": {"verbose": False},
}
RATES = {f"{kind}_{array}": 0.1 for kind in ("lr", "reg") for array in ("all", "bu", "bi", "pu", "qi")}
BIASED: Options = {"biased": True}
PEARSON: Options = {"name": "pearson_baseline"}
SGD: Options = {"method": "sgd"}
# Algorithm, options besides BASE_OPTIONS, and changed options that must have an effect.
CHANGES: list[tuple[str, Options, Options]] = [
    *(("SVD", {}, {name: value}) for name, value in RATES.items()),
    *(("SVDpp", {}, {name: value}) for name, value in (RATES | {"lr_yj": 0.1, "reg_yj": 0.1}).items()),
    *((name, {}, {"n_factors": 3}) for name in ("SVD", "SVDpp", "NMF")),
    *((name, {}, {"n_epochs": 3}) for name in ("SVD", "SVDpp", "NMF", "CoClustering")),
    *((name, {}, {"init_mean": 0.1, "init_std_dev": 0.2}) for name in ("SVD", "SVDpp")),
    *((name, {}, {"random_state": 2}) for name in ("SVD", "SVDpp", "NMF", "CoClustering")),
    ("SVD", {}, {"biased": False}),
    ("NMF", {}, BIASED),
    *(("NMF", {}, {name: 1}) for name in ("reg_pu", "reg_qi")),
    *(("NMF", BIASED, {name: 0.3}) for name in ("reg_bu", "reg_bi", "lr_bu", "lr_bi")),
    *(("NMF", {}, {name: 0.5}) for name in ("init_low", "init_high")),
    *(("CoClustering", {}, {name: 1}) for name in ("n_cltr_u", "n_cltr_i")),
    *(("KNNBasic", {}, {"sim_options": {"name": name}}) for name in SIMILARITIES if name != "msd"),
    ("KNNBasic", {}, {"sim_options": {"user_based": False}}),
    ("KNNBasic", {}, {"sim_options": {"min_support": 3}}),
    ("KNNBasic", {"sim_options": PEARSON}, {"sim_options": PEARSON | {"shrinkage": 0}}),
    ("KNNBasic", {"sim_options": PEARSON}, {"bsl_options": {"n_epochs": 1}}),
    ("KNNBasic", {}, {"k": 3}),
    ("KNNBasic", {}, {"min_k": 3}),
    ("BaselineOnly", {}, {"bsl_options": SGD}),
    *(("BaselineOnly", {}, {"bsl_options": {name: 1}}) for name in ("n_epochs", "reg_u", "reg_i")),
    ("BaselineOnly", {"bsl_options": SGD}, {"bsl_options": SGD | {"n_epochs": 1}}),
    ("BaselineOnly", {"bsl_options": SGD}, {"bsl_options": SGD | {"reg": 1}}),
    ("BaselineOnly", {"bsl_options": SGD}, {"bsl_options": SGD | {"learning_rate": 0.001}}),
]  # fmt: skip

# All arguments by position, in the order of scikit-surprise.
POSITIONAL_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "SVD": (3, 2, False, 0.1, 0.2, 0.01, 0.03, None, 0.02, 0.011, 0.012, 0.1, None, 0.2, 0.3, 7, False),
    "SVDpp": (3, 2, 0.1, 0.2, 0.01, 0.03, None, 0.02, 0.01, 0.02, 0.03, 0.1, None, 0.2, 0.3, 0.1, 7, 0, 1),
    "NMF": (3, 2, True, 0.1, 0.2, 0.03, 0.04, 0.01, 0.02, 0.1, 0.9, 4, False),
    "SlopeOne": (),
    "CoClustering": (2, 4, 3, 5, False),
    "BaselineOnly": ({"method": "sgd", "n_epochs": 4}, False),
    "NormalPredictor": (),
    "KNNBasic": (5, 2, {"name": "pearson"}, False),
    "KNNWithMeans": (5, 2, {"name": "cosine", "user_based": False}, False),
    "KNNWithZScore": (5, 2, {"name": "msd"}, False),
    "KNNBaseline": (5, 2, {"name": "pearson_baseline"}, {"method": "sgd"}, False),
}  # fmt: skip


@pytest.fixture(scope="module")
def ratings() -> RatingSample:
    return sample_ratings(3, n_users=60, n_items=40, n_ratings=900, allow_repeats=False)


@pytest.fixture(scope="module")
def data(ratings: RatingSample) -> surprise.Dataset:
    return surprise.Dataset.load_from_df(ratings.frame, surprise.Reader())


def create(name: str, *arguments: Any, **options: Any) -> Any:
    """Create Marquee's algorithm of this name."""
    return getattr(marquee.algorithms, name)(*arguments, **options)


def create_twin(name: str, *arguments: Any, **options: Any) -> Any:
    """Create scikit-surprise's algorithm of this name."""
    return getattr(surprise, name)(*arguments, **options)


CREATORS = (create_twin, create)


def argument_names(name: str) -> list[str]:
    """Return the names of the arguments of the twin's constructor."""
    return [key for key in inspect.signature(getattr(surprise, name)).parameters if key != "kwargs"]


def quiet_options(name: str) -> Options:
    """Return options with which a fit prints nothing and is reproducible."""
    options = {"random_state": 0, "verbose": False}
    return {key: value for key, value in options.items() if key in argument_names(name)}


def estimates(predictions: list[surprise.Prediction]) -> np.ndarray:
    return np.array([prediction.est for prediction in predictions], dtype=np.float64)


def capture_output(action: Callable[[], object]) -> str:
    """Run an action with NumPy's global generator seeded, and return its output."""
    np.random.seed(7)  # noqa: NPY002  the generator of the twins
    with redirect_stdout(StringIO()) as output:
        action()
    return output.getvalue()


# Numbers


def configurations() -> Iterator[tuple[str, Options]]:
    yield from ((name, quiet_options(name)) for name in TWINS if name != "NormalPredictor")
    yield from (
        (name, quiet_options(name) | {"sim_options": {"name": sim}}) for name in KNN for sim in SIMILARITIES
    )
    yield from ((name, quiet_options(name) | {"sim_options": {"user_based": False}}) for name in KNN)
    yield "SVDpp", quiet_options("SVDpp") | {"cache_ratings": True}


@pytest.mark.parametrize(("name", "options"), list(configurations()))
def test_rmse_equals_that_of_surprise(name: str, options: Options, data: surprise.Dataset) -> None:
    trainset, testset = next(KFold(3, random_state=1).split(data))
    expected, actual = (
        surprise.accuracy.rmse(make(name, **options).fit(trainset).test(testset), verbose=False)
        for make in CREATORS
    )
    assert actual == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize(("name", "base", "change"), CHANGES)
def test_changed_option_changes_predictions_as_in_surprise(
    name: str, base: Options, change: Options, ratings: RatingSample
) -> None:
    testset = ratings.trainset.build_testset()
    unchanged = estimates(create(name, **BASE_OPTIONS[name] | base).fit(ratings.trainset).test(testset))
    options = BASE_OPTIONS[name] | base | change
    expected, changed = (
        estimates(make(name, **options).fit(ratings.trainset).test(testset)) for make in CREATORS
    )
    assert np.abs(changed - unchanged).max() > 1e-6
    np.testing.assert_allclose(changed, expected, atol=1e-10)


@pytest.mark.parametrize("name", TWINS)
def test_positional_arguments_equal_those_of_surprise(name: str, ratings: RatingSample) -> None:
    assert len(POSITIONAL_ARGUMENTS[name]) == len(argument_names(name))
    if name == "NormalPredictor":
        return
    expected, actual = (
        estimates(make(name, *POSITIONAL_ARGUMENTS[name]).fit(ratings.trainset).test(ratings.testset))
        for make in CREATORS
    )
    np.testing.assert_allclose(actual, expected, atol=1e-10)


@pytest.mark.parametrize("name", TWINS)
def test_draws_from_the_global_generator_equal_those_of_surprise(name: str, ratings: RatingSample) -> None:
    results = []
    for make in CREATORS:
        np.random.seed(5)  # noqa: NPY002
        options = {key: value for key, value in quiet_options(name).items() if key != "random_state"}
        predicted = estimates(make(name, **options).fit(ratings.trainset).test(ratings.testset))
        results.append([*predicted, np.random.rand()])  # noqa: NPY002
    np.testing.assert_allclose(results[1], results[0], atol=1e-10)


# Attributes and methods


@pytest.mark.parametrize("name", TWINS)
def test_fit_returns_the_algorithm_and_keeps_the_training_set(name: str, ratings: RatingSample) -> None:
    algorithm = create(name, **quiet_options(name))
    assert algorithm.fit(ratings.trainset) is algorithm
    assert algorithm.trainset is ratings.trainset
    assert isinstance(algorithm, surprise.AlgoBase)


@pytest.mark.parametrize("name", TWINS)
def test_attributes_equal_those_of_surprise(name: str, ratings: RatingSample) -> None:
    twin, model = (make(name, **quiet_options(name)).fit(ratings.trainset) for make in CREATORS)
    for attribute, value in vars(twin).items():
        if attribute in {"trainset", "random_state"} or value is None or isinstance(value, bool | dict):
            assert getattr(model, attribute) == value
        elif attribute not in {"xr", "yr"}:
            np.testing.assert_allclose(getattr(model, attribute), value, atol=TOLERANCE)
    for attribute in {"xr", "yr"} & vars(twin).keys():
        assert getattr(model, attribute) == getattr(twin, attribute)


@pytest.mark.parametrize("name", TWINS)
def test_baselines_equal_those_of_surprise(name: str, ratings: RatingSample) -> None:
    expected, actual = (
        np.concatenate(make(name, **quiet_options(name)).fit(ratings.trainset).compute_baselines())
        for make in CREATORS
    )
    np.testing.assert_allclose(actual, expected, atol=TOLERANCE)


@pytest.mark.parametrize("name", KNN)
@pytest.mark.parametrize("user_based", [True, False])
def test_neighbors_equal_those_of_surprise(name: str, user_based: bool, ratings: RatingSample) -> None:
    options = quiet_options(name) | {"sim_options": {"user_based": user_based}}
    twin, model = (make(name, **options).fit(ratings.trainset) for make in CREATORS)
    neighbors = [model.get_neighbors(x, k=7) for x in range(twin.n_x)]
    assert neighbors == [twin.get_neighbors(x, k=7) for x in range(twin.n_x)]
    options |= {"sim_options": {"user_based": not user_based}}
    assert neighbors[0] != create(name, **options).fit(ratings.trainset).get_neighbors(0, k=7)


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("clip", [True, False])
def test_predict_equals_that_of_surprise(name: str, clip: bool, ratings: RatingSample) -> None:
    pairs = [*ratings.testset, ("nobody", 0, None), ("u0", "nothing", 2)]
    results = []
    for make in CREATORS:
        model = make(name, **quiet_options(name)).fit(ratings.trainset)
        np.random.seed(1)  # noqa: NPY002
        results.append([model.predict(uid=u, iid=i, r_ui=r, clip=clip) for u, i, r in pairs])
    for expected, actual in zip(*results, strict=True):
        assert actual == expected._replace(est=pytest.approx(expected.est, abs=1e-10))


@pytest.mark.parametrize("name", TWINS)
def test_verbose_output_equals_that_of_surprise(name: str, ratings: RatingSample) -> None:
    options = quiet_options(name)
    if "verbose" in options:
        options["verbose"] = True
    pairs = [*ratings.trainset.build_testset()[:5], ("nobody", 0, 3.0), ("u0", "nothing", None)]
    outputs = []
    for make in CREATORS:
        model = make(name, **options)
        fit_output = capture_output(partial(model.fit, ratings.trainset))
        test_output = capture_output(partial(model.test, pairs, verbose=True))
        predict_output = "".join(
            capture_output(partial(model.predict, *pair, verbose=True)) for pair in pairs
        )
        outputs.append((fit_output, test_output, predict_output))
    assert outputs[1] == outputs[0]
    assert outputs[1][1].count("\n") == len(pairs)


def test_testset_may_be_an_iterator(ratings: RatingSample) -> None:
    model = create("SVD", random_state=0).fit(ratings.trainset)
    expected = model.test(ratings.testset)
    assert model.test(iter(ratings.testset)) == expected
    assert model.test(iter([])) == model.test([]) == []


def test_testset_may_be_an_array(ratings: RatingSample) -> None:
    frame = pd.DataFrame({"user": [1, 1, 2], "item": [5, 6, 5], "rating": [3.0, 4.0, 5.0]})
    trainset = surprise.Dataset.load_from_df(frame, surprise.Reader()).build_full_trainset()
    rows = np.array(trainset.build_testset())
    expected, actual = (estimates(make("SVD", random_state=0).fit(trainset).test(rows)) for make in CREATORS)
    np.testing.assert_allclose(actual, expected, atol=TOLERANCE)


@pytest.mark.parametrize("name", TWINS)
def test_unfitted_algorithm_can_be_dumped(name: str, tmp_path: Path, ratings: RatingSample) -> None:
    algorithm = create(name, **quiet_options(name))
    surprise.dump.dump(str(tmp_path / "dumped"), algo=algorithm)
    _, loaded = surprise.dump.load(str(tmp_path / "dumped"))
    np.random.seed(2)  # noqa: NPY002
    expected = algorithm.fit(ratings.trainset).test(ratings.testset)
    np.random.seed(2)  # noqa: NPY002
    assert loaded.fit(ratings.trainset).test(ratings.testset) == expected


def test_subclass_may_define_its_own_similarities(ratings: RatingSample) -> None:
    def create_jaccard_knn(base: Callable[..., Any]) -> Any:
        class Jaccard(base):  # type: ignore[misc,valid-type]
            def compute_similarities(self) -> np.ndarray:
                rated = [{y for y, _ in self.xr[x]} for x in range(self.n_x)]
                return np.array([[len(a & b) / len(a | b) for b in rated] for a in rated])

        return Jaccard(sim_options={"name": "jaccard"}, verbose=False)

    expected, actual = (
        estimates(create_jaccard_knn(base).fit(ratings.trainset).test(ratings.testset))
        for base in (surprise.KNNWithMeans, marquee.algorithms.KNNWithMeans)
    )
    np.testing.assert_allclose(actual, expected, atol=1e-10)


@pytest.mark.parametrize("name", KNN)
def test_k_and_similarities_may_be_changed_after_the_fit(name: str, ratings: RatingSample) -> None:
    results = []
    for make in CREATORS:
        model = make(name, **quiet_options(name)).fit(ratings.trainset)
        model.k, model.min_k = 4, 2
        with_new_k = estimates(model.test(ratings.testset))
        model.sim = np.asfortranarray(np.random.default_rng(0).random(model.sim.shape))
        results.append(np.concatenate([with_new_k, estimates(model.test(ratings.testset))]))
    np.testing.assert_allclose(results[1], results[0], atol=1e-10)


def test_number_of_neighbors_is_between_min_k_and_k(ratings: RatingSample) -> None:
    model = create("KNNBasic", k=6, min_k=3, verbose=False).fit(ratings.trainset)
    details = [prediction.details for prediction in model.test(ratings.testset)]
    numbers = [detail["actual_k"] for detail in details if not detail["was_impossible"]]
    assert min(numbers) >= 3
    assert max(numbers) == 6
    assert any(detail["was_impossible"] for detail in details)


# Cross-validation and searches


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.slow
def test_cross_validation_in_two_processes_equals_that_of_surprise(name: str, data: surprise.Dataset) -> None:
    folds = KFold(2, random_state=0)
    expected, actual = (
        cross_validate(
            make(name, **quiet_options(name)),
            data,
            ["rmse", "mae"],
            folds,
            return_train_measures=True,
            n_jobs=2,
        )
        for make in CREATORS
    )
    assert set(actual) == set(expected)
    if name == "NormalPredictor":  # each process draws from a generator of its own
        return
    for key in expected.keys() - {"fit_time", "test_time"}:
        np.testing.assert_allclose(actual[key], expected[key], atol=TOLERANCE)


GRIDS: dict[str, dict[str, Any]] = {
    "SVD": {"n_factors": [2, 5], "lr_all": [0.005, 0.01], "random_state": [0]},
    "KNNBaseline": {
        "k": [5, 20],
        "sim_options": {"name": ["msd", "pearson_baseline"], "user_based": [True, False]},
        "bsl_options": {"method": ["als", "sgd"], "n_epochs": [2]},
        "verbose": [False],
    },
    "BaselineOnly": {"bsl_options": {"method": ["als", "sgd"], "n_epochs": [2, 5]}, "verbose": [False]},
}


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.slow
def test_grid_search_in_two_processes_equals_that_of_surprise(name: str, data: surprise.Dataset) -> None:
    searches = []
    for package in (surprise, marquee.algorithms):
        grid = {key: dict(value) if isinstance(value, dict) else value for key, value in GRIDS[name].items()}
        folds = KFold(2, random_state=0)
        searches.append(GridSearchCV(getattr(package, name), grid, cv=folds, refit=True, n_jobs=2))
        searches[-1].fit(data)
    expected, actual = searches
    assert actual.best_params == expected.best_params
    for key in ("mean_test_rmse", "std_test_mae", "split1_test_rmse"):
        np.testing.assert_allclose(actual.cv_results[key], expected.cv_results[key], atol=TOLERANCE)
    rows = [row[:3] for row in data.raw_ratings[:30]]
    np.testing.assert_allclose(estimates(actual.test(rows)), estimates(expected.test(rows)), atol=1e-10)


def test_random_search_in_two_processes_equals_that_of_surprise(data: surprise.Dataset) -> None:
    space = {
        "n_epochs": stats.randint(1, 4),
        "n_factors": stats.randint(2, 6),
        "reg_all": stats.uniform(0.01, 0.1),
        "random_state": [0],
    }
    searches = [
        RandomizedSearchCV(cls, space, n_iter=4, cv=KFold(2, random_state=0), n_jobs=2, random_state=3)
        for cls in (surprise.SVD, marquee.algorithms.SVD)
    ]
    for search in searches:
        search.fit(data)
    expected, actual = searches
    assert actual.best_params == expected.best_params
    assert actual.best_score["rmse"] == pytest.approx(expected.best_score["rmse"], abs=TOLERANCE)


# Errors and edge cases


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_unknown_similarity_is_a_name_error(n_jobs: int, data: surprise.Dataset) -> None:
    algorithm = create("KNNBasic", sim_options={"name": "euclid"}, verbose=False)
    message = r"sim_options: name must be one of cosine, msd, pearson, pearson_baseline \(got 'euclid'\)"
    with pytest.raises(NameError, match=message) as caught:
        cross_validate(algorithm, data, ["rmse"], cv=2, n_jobs=n_jobs)
    assert isinstance(caught.value, UnknownSimilarityError)
    assert issubclass(UnknownSimilarityError, ParameterError)


def test_unknown_bias_method_is_a_value_error(ratings: RatingSample) -> None:
    message = r"bsl_options: method must be one of als, sgd \(got 'newton'\)"
    with pytest.raises(ValueError, match=message):
        create("BaselineOnly", {"method": "newton"}, verbose=False).fit(ratings.trainset)


def test_negative_init_low_is_a_value_error_at_construction() -> None:
    message = r"NMF: init_low must be a finite number of at least 0 \(got -1\)"
    with pytest.raises(ValueError, match=message):
        create("NMF", init_low=-1)


@pytest.mark.parametrize("name", ["SVD", "SVDpp"])
def test_divergence_error_says_to_lower_the_learning_rates(name: str, ratings: RatingSample) -> None:
    with pytest.raises(DivergedError, match="lower the learning rates"):
        create(name, n_factors=1, lr_all=5, random_state=1).fit(ratings.trainset)


@pytest.mark.parametrize("name", [name for name in TWINS if name != "NormalPredictor"])
def test_zero_and_negative_ratings_are_predicted_as_in_surprise(name: str) -> None:
    frame = pd.DataFrame(
        {"user": list("abcddeeaf"), "item": list("xxxxyyxzz"), "rating": [-10, 10, 0, -5, 0, 5, 8, -3, 0]}
    )
    reader = surprise.Reader(rating_scale=(-10, 10))
    trainset = surprise.Dataset.load_from_df(frame, reader).build_full_trainset()
    pairs = [*trainset.build_testset(), ("nobody", "x", 1.0), ("a", "nothing", 1.0)]
    options = quiet_options(name)
    if name == "NMF":  # rounding errors grow with the epochs if factors may change their sign
        options["n_epochs"] = 2
    expected, actual = (estimates(make(name, **options).fit(trainset).test(pairs)) for make in CREATORS)
    np.testing.assert_allclose(actual, expected, atol=1e-10)
