"""Marquee's algorithms in place of scikit-surprise's: the same calls, numbers, attributes and output."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import surprise
from scipy import stats
from surprise.model_selection import GridSearchCV, KFold, RandomizedSearchCV, cross_validate

import marquee.algorithms
from marquee.errors import DivergedError, ParameterError, UnknownSimilarityError
from tests.support.sampled_data import Drawn, drawn

TOLERANCE = 1e-12
TWINS = [name for name in marquee.algorithms.__all__ if hasattr(surprise, name)]
KNN = [name for name in TWINS if name.startswith("KNN")]
SIMILARITIES = ("cosine", "msd", "pearson", "pearson_baseline")
Options = dict[str, Any]

# Options of a short, reproducible fit; and (algorithm, further options, a change that must have an effect).
BASE: dict[str, Options] = {
    "SVD": {"n_factors": 2, "n_epochs": 2, "random_state": 1},
    "SVDpp": {"n_factors": 2, "n_epochs": 2, "random_state": 1},
    "NMF": {"n_factors": 2, "n_epochs": 2, "random_state": 1},
    "CoClustering": {"n_epochs": 1, "random_state": 1},
    "KNNBasic": {"verbose": False},
    "BaselineOnly": {"verbose": False},
}
RATES = {f"{kind}_{of}": 0.1 for kind in ("lr", "reg") for of in ("all", "bu", "bi", "pu", "qi")}
BIASED: Options = {"biased": True}
PEARSON: Options = {"name": "pearson_baseline"}
SGD: Options = {"method": "sgd"}
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

# Every argument by position, in the order of scikit-surprise.
BY_POSITION: dict[str, tuple[Any, ...]] = {
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
def ratings() -> Drawn:
    return drawn(3, n_users=60, n_items=40, n_ratings=900, twice=False)


@pytest.fixture(scope="module")
def data(ratings: Drawn) -> surprise.Dataset:
    return surprise.Dataset.load_from_df(ratings.frame, surprise.Reader())


def ours(name: str) -> Callable[..., Any]:
    algorithm: Callable[..., Any] = getattr(marquee.algorithms, name)
    return algorithm


def twin(name: str) -> Callable[..., Any]:
    algorithm: Callable[..., Any] = getattr(surprise, name)
    return algorithm


def quiet(name: str) -> Options:
    """Options under which a fit prints nothing and is the same each time."""
    accepted = inspect.signature(twin(name)).parameters
    return {key: value for key, value in {"random_state": 0, "verbose": False}.items() if key in accepted}


def estimates(predictions: list[surprise.Prediction]) -> np.ndarray:
    return np.array([prediction.est for prediction in predictions], dtype=np.float64)


def output_of(action: Callable[[], object]) -> str:
    """Run an action on NumPy's global generator, seeded, and return what it prints."""
    np.random.seed(7)  # noqa: NPY002  what the twins draw from
    with redirect_stdout(StringIO()) as printed:
        action()
    return printed.getvalue()


# Numbers -----------------------------------------------------------------------------------------------


def configurations() -> Iterator[tuple[str, Options]]:
    yield from ((name, quiet(name)) for name in TWINS if name != "NormalPredictor")
    yield from ((name, quiet(name) | {"sim_options": {"name": sim}}) for name in KNN for sim in SIMILARITIES)
    yield from ((name, quiet(name) | {"sim_options": {"user_based": False}}) for name in KNN)
    yield "SVDpp", quiet("SVDpp") | {"cache_ratings": True}


@pytest.mark.parametrize(("name", "options"), list(configurations()))
def test_rmse_is_that_of_surprise(name: str, options: Options, data: surprise.Dataset) -> None:
    trainset, testset = next(KFold(3, random_state=1).split(data))
    errors = [
        surprise.accuracy.rmse(algorithm(**options).fit(trainset).test(testset), verbose=False)
        for algorithm in (twin(name), ours(name))
    ]
    assert errors[1] == pytest.approx(errors[0], abs=TOLERANCE)


@pytest.mark.parametrize(("name", "base", "change"), CHANGES)
def test_every_option_changes_the_model_as_in_surprise(
    name: str, base: Options, change: Options, ratings: Drawn
) -> None:
    testset = ratings.trainset.build_testset()
    without = estimates(ours(name)(**BASE[name] | base).fit(ratings.trainset).test(testset))
    options = BASE[name] | base | change
    changed = estimates(ours(name)(**options).fit(ratings.trainset).test(testset))
    expected = estimates(twin(name)(**options).fit(ratings.trainset).test(testset))
    assert np.abs(changed - without).max() > 1e-6
    np.testing.assert_allclose(changed, expected, atol=1e-10)


@pytest.mark.parametrize("name", TWINS)
def test_arguments_by_position_are_those_of_surprise(name: str, ratings: Drawn) -> None:
    accepted = [key for key in inspect.signature(twin(name)).parameters if key != "kwargs"]
    assert len(BY_POSITION[name]) == len(accepted)
    if name == "NormalPredictor":
        return
    fits = [algorithm(*BY_POSITION[name]).fit(ratings.trainset) for algorithm in (twin(name), ours(name))]
    theirs, mine = (estimates(fit.test(ratings.testset)) for fit in fits)
    np.testing.assert_allclose(mine, theirs, atol=1e-10)


@pytest.mark.parametrize("name", TWINS)
def test_draws_from_the_global_generator_are_those_of_surprise(name: str, ratings: Drawn) -> None:
    results = []
    for algorithm in (twin(name), ours(name)):
        np.random.seed(5)  # noqa: NPY002
        options = {key: value for key, value in quiet(name).items() if key != "random_state"}
        tested = estimates(algorithm(**options).fit(ratings.trainset).test(ratings.testset))
        results.append([*tested, np.random.rand()])  # noqa: NPY002
    np.testing.assert_allclose(results[1], results[0], atol=1e-10)


# The object --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TWINS)
def test_fit_returns_the_algorithm_and_keeps_the_training_set(name: str, ratings: Drawn) -> None:
    algorithm = ours(name)(**quiet(name))
    assert algorithm.fit(ratings.trainset) is algorithm
    assert algorithm.trainset is ratings.trainset
    assert isinstance(algorithm, surprise.AlgoBase)


@pytest.mark.parametrize("name", TWINS)
def test_attributes_are_those_of_surprise(name: str, ratings: Drawn) -> None:
    theirs, mine = (algorithm(**quiet(name)).fit(ratings.trainset) for algorithm in (twin(name), ours(name)))
    for attribute, value in vars(theirs).items():
        if attribute in {"trainset", "random_state"} or value is None or isinstance(value, bool | dict):
            assert getattr(mine, attribute) == value
        elif attribute not in {"xr", "yr"}:
            np.testing.assert_allclose(getattr(mine, attribute), value, atol=TOLERANCE)
    for attribute in {"xr", "yr"} & vars(theirs).keys():
        assert getattr(mine, attribute) == getattr(theirs, attribute)


@pytest.mark.parametrize("name", TWINS)
def test_baselines_are_those_of_surprise(name: str, ratings: Drawn) -> None:
    fits = [algorithm(**quiet(name)).fit(ratings.trainset) for algorithm in (twin(name), ours(name))]
    theirs, mine = (np.concatenate(fit.compute_baselines()) for fit in fits)
    np.testing.assert_allclose(mine, theirs, atol=TOLERANCE)


@pytest.mark.parametrize("name", KNN)
@pytest.mark.parametrize("user_based", [True, False])
def test_neighbours_are_those_of_surprise(name: str, user_based: bool, ratings: Drawn) -> None:
    options = quiet(name) | {"sim_options": {"user_based": user_based}}
    theirs, mine = (algorithm(**options).fit(ratings.trainset) for algorithm in (twin(name), ours(name)))
    numbers = range(theirs.n_x)
    assert [mine.get_neighbors(x, k=7) for x in numbers] == [theirs.get_neighbors(x, k=7) for x in numbers]
    other = ours(name)(**quiet(name) | {"sim_options": {"user_based": not user_based}}).fit(ratings.trainset)
    assert mine.get_neighbors(0, k=7) != other.get_neighbors(0, k=7)


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("clip", [True, False])
def test_predict_is_that_of_surprise(name: str, clip: bool, ratings: Drawn) -> None:
    pairs = [*ratings.testset, ("nobody", 0, None), ("u0", "nothing", 2)]
    results = []
    for algorithm in (twin(name), ours(name)):
        fitted = algorithm(**quiet(name)).fit(ratings.trainset)
        np.random.seed(1)  # noqa: NPY002
        results.append([fitted.predict(uid=u, iid=i, r_ui=r, clip=clip) for u, i, r in pairs])
    for its, mine in zip(*results, strict=True):
        assert mine == its._replace(est=pytest.approx(its.est, abs=1e-10))


@pytest.mark.parametrize("name", TWINS)
def test_verbose_prints_what_surprise_prints(name: str, ratings: Drawn) -> None:
    options = quiet(name)
    if "verbose" in options:
        options["verbose"] = True
    pairs = [*ratings.trainset.build_testset()[:5], ("nobody", 0, 3.0), ("u0", "nothing", None)]
    outputs = []
    for algorithm in (twin(name), ours(name)):
        fitted = algorithm(**options)
        fitting = output_of(partial(fitted.fit, ratings.trainset))
        testing = output_of(partial(fitted.test, pairs, verbose=True))
        predicting = "".join(output_of(partial(fitted.predict, *pair, verbose=True)) for pair in pairs)
        outputs.append((fitting, testing, predicting))
    assert outputs[1] == outputs[0]
    assert outputs[1][1].count("\n") == len(pairs)


def test_a_test_set_may_be_any_iterable(ratings: Drawn) -> None:
    fitted = ours("SVD")(random_state=0).fit(ratings.trainset)
    expected = fitted.test(ratings.testset)
    assert fitted.test(iter(ratings.testset)) == expected
    assert fitted.test(iter([])) == fitted.test([]) == []
    numbers = surprise.Dataset.load_from_df(
        pd.DataFrame({"user": [1, 1, 2], "item": [5, 6, 5], "rating": [3.0, 4.0, 5.0]}), surprise.Reader()
    ).build_full_trainset()
    rows = np.array(numbers.build_testset())
    theirs, mine = (kind(random_state=0).fit(numbers).test(rows) for kind in (surprise.SVD, ours("SVD")))
    np.testing.assert_allclose(estimates(mine), estimates(theirs), atol=TOLERANCE)


@pytest.mark.parametrize("name", TWINS)
def test_an_unfitted_algorithm_can_be_dumped(name: str, tmp_path: Path, ratings: Drawn) -> None:
    algorithm = ours(name)(**quiet(name))
    surprise.dump.dump(str(tmp_path / "dumped"), algo=algorithm)
    _, loaded = surprise.dump.load(str(tmp_path / "dumped"))
    np.random.seed(2)  # noqa: NPY002
    expected = algorithm.fit(ratings.trainset).test(ratings.testset)
    np.random.seed(2)  # noqa: NPY002
    assert loaded.fit(ratings.trainset).test(ratings.testset) == expected


def test_a_subclass_may_bring_its_own_similarities(ratings: Drawn) -> None:
    def jaccard(base: Callable[..., Any]) -> Any:
        class Jaccard(base):  # type: ignore[misc,valid-type]
            def compute_similarities(self) -> np.ndarray:
                rated = [{y for y, _ in self.xr[x]} for x in range(self.n_x)]
                return np.array([[len(a & b) / len(a | b) for b in rated] for a in rated])

        return Jaccard(sim_options={"name": "jaccard"}, verbose=False)

    theirs, mine = (jaccard(kind("KNNWithMeans")).fit(ratings.trainset) for kind in (twin, ours))
    np.testing.assert_allclose(
        estimates(mine.test(ratings.testset)), estimates(theirs.test(ratings.testset)), atol=1e-10
    )


@pytest.mark.parametrize("name", KNN)
def test_neighbours_and_similarities_may_be_changed_after_the_fit(name: str, ratings: Drawn) -> None:
    results = []
    for algorithm in (twin(name), ours(name)):
        fitted = algorithm(**quiet(name)).fit(ratings.trainset)
        fitted.k, fitted.min_k = 4, 2
        tested = [fitted.test(ratings.testset)]
        fitted.sim = np.asfortranarray(np.random.default_rng(0).random(fitted.sim.shape))
        results.append(np.concatenate([estimates(each) for each in [*tested, fitted.test(ratings.testset)]]))
    np.testing.assert_allclose(results[1], results[0], atol=1e-10)


def test_the_number_of_neighbours_is_within_its_bounds(ratings: Drawn) -> None:
    predictions = ours("KNNBasic")(k=6, min_k=3, verbose=False).fit(ratings.trainset).test(ratings.testset)
    numbers = [one.details["actual_k"] for one in predictions if not one.details["was_impossible"]]
    assert min(numbers) >= 3
    assert max(numbers) == 6
    assert any(one.details["was_impossible"] for one in predictions)


# Cross-validation and searches -------------------------------------------------------------------------


@pytest.mark.parametrize("name", TWINS)
def test_cross_validation_in_two_processes_gives_the_scores_of_surprise(
    name: str, data: surprise.Dataset
) -> None:
    folds = KFold(2, random_state=0)
    scores = [
        cross_validate(
            algorithm(**quiet(name)), data, ["rmse", "mae"], folds, return_train_measures=True, n_jobs=2
        )
        for algorithm in (twin(name), ours(name))
    ]
    assert set(scores[0]) == set(scores[1])
    if name == "NormalPredictor":  # each process draws from a generator of its own
        return
    for key in scores[0].keys() - {"fit_time", "test_time"}:
        np.testing.assert_allclose(scores[1][key], scores[0][key], atol=TOLERANCE)


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
def test_a_grid_search_in_two_processes_is_that_of_surprise(name: str, data: surprise.Dataset) -> None:
    searches = []
    for algorithm in (twin(name), ours(name)):
        grid = {key: dict(value) if isinstance(value, dict) else value for key, value in GRIDS[name].items()}
        searches.append(GridSearchCV(algorithm, grid, cv=KFold(2, random_state=0), refit=True, n_jobs=2))
        searches[-1].fit(data)
    theirs, mine = searches
    assert mine.best_params == theirs.best_params
    for key in ("mean_test_rmse", "std_test_mae", "split1_test_rmse"):
        np.testing.assert_allclose(mine.cv_results[key], theirs.cv_results[key], atol=TOLERANCE)
    rows = [row[:3] for row in data.raw_ratings[:30]]
    np.testing.assert_allclose(estimates(mine.test(rows)), estimates(theirs.test(rows)), atol=1e-10)


def test_a_random_search_in_two_processes_is_that_of_surprise(data: surprise.Dataset) -> None:
    space = {
        "n_epochs": stats.randint(1, 4),
        "n_factors": stats.randint(2, 6),
        "reg_all": stats.uniform(0.01, 0.1),
        "random_state": [0],
    }
    searches = [
        RandomizedSearchCV(algorithm, space, n_iter=4, cv=KFold(2, random_state=0), n_jobs=2, random_state=3)
        for algorithm in (surprise.SVD, ours("SVD"))
    ]
    for search in searches:
        search.fit(data)
    theirs, mine = searches
    assert mine.best_params == theirs.best_params
    assert mine.best_score["rmse"] == pytest.approx(theirs.best_score["rmse"], abs=TOLERANCE)


# Errors and edge cases ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_unknown_similarity_is_a_name_error(n_jobs: int, data: surprise.Dataset) -> None:
    algorithm = ours("KNNBasic")(sim_options={"name": "euclid"}, verbose=False)
    with pytest.raises(
        NameError, match="name='euclid' must be one of cosine, msd, pearson, pearson_baseline"
    ) as got:
        cross_validate(algorithm, data, ["rmse"], cv=2, n_jobs=n_jobs)
    assert isinstance(got.value, UnknownSimilarityError)
    assert issubclass(UnknownSimilarityError, ParameterError)


def test_an_unknown_method_of_baselines_is_a_value_error(ratings: Drawn) -> None:
    with pytest.raises(ValueError, match="method='newton' must be one of als, sgd"):
        ours("BaselineOnly")({"method": "newton"}, verbose=False).fit(ratings.trainset)


def test_a_negative_initial_factor_is_a_value_error_at_construction() -> None:
    with pytest.raises(ValueError, match="init_low=-1"):
        ours("NMF")(init_low=-1)


@pytest.mark.parametrize("name", ["SVD", "SVDpp"])
def test_a_learning_rate_that_diverges_is_refused(name: str, ratings: Drawn) -> None:
    with pytest.raises(DivergedError, match="lower the learning rates"):
        ours(name)(n_factors=1, lr_all=5, random_state=1).fit(ratings.trainset)


@pytest.mark.parametrize("name", [name for name in TWINS if name != "NormalPredictor"])
def test_ratings_below_and_at_zero_are_predicted_as_in_surprise(name: str) -> None:
    frame = pd.DataFrame(
        {"user": list("abcddeeaf"), "item": list("xxxxyyxzz"), "rating": [-10, 10, 0, -5, 0, 5, 8, -3, 0]}
    )
    reader = surprise.Reader(rating_scale=(-10, 10))
    trainset = surprise.Dataset.load_from_df(frame, reader).build_full_trainset()
    pairs = [*trainset.build_testset(), ("nobody", "x", 1.0), ("a", "nothing", 1.0)]
    options = quiet(name)
    if name == "NMF":  # rounding errors grow with the epochs where factors may change their sign
        options["n_epochs"] = 2
    fits = [algorithm(**options).fit(trainset) for algorithm in (twin(name), ours(name))]
    theirs, mine = (estimates(fit.test(pairs)) for fit in fits)
    np.testing.assert_allclose(mine, theirs, atol=1e-10)
