"""Every candidate of the catalogue keeps one contract, whatever its family."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import surprise

from marquee.algorithms.catalogue import CATALOGUE, candidate
from marquee.algorithms.scoring import item_space, score_all
from marquee.algorithms.state import load_state, model_bytes, save_state
from marquee.algorithms.trainset import trainset_of
from marquee.errors import ConfigError, ModelError
from marquee.ratings import CodedRatings

SCALE = (1.0, 5.0)
VARIANTS = [(name, {}) for name in CATALOGUE] + [
    ("svd", {"biased": False}),
    ("nmf", {"biased": True, "n_epochs": 5}),
    ("knn_basic", {"user_based": False, "k": 3, "similarity": "cosine"}),
    ("knn_basic", {"k": 2, "min_k": 2}),
    ("knn_with_means", {"user_based": False, "k": 2, "min_k": 2}),
    ("knn_with_z_score", {"user_based": False, "k": 4, "similarity": "pearson"}),
    ("knn_baseline", {"similarity": "pearson_baseline", "shrinkage": 10, "k": 3, "method": "sgd"}),
    ("knn_baseline", {"user_based": False, "k": 5}),
    ("baseline_only", {"method": "sgd", "learning_rate": 0.01}),
]


@pytest.fixture(scope="module")
def ratings() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    pairs = rng.choice(30 * 25, size=260, replace=False)
    return pd.DataFrame(
        {
            "user": [f"u{p // 25}" for p in pairs],
            "item": [f"i{p % 25}" for p in pairs],
            "rating": rng.integers(1, 6, size=260).astype(np.float32),
        }
    )


@pytest.fixture(scope="module")
def trainset(ratings: pd.DataFrame) -> surprise.Trainset:
    return trainset_of(CodedRatings.from_frame(ratings), SCALE)


def test_trainset_is_the_one_that_surprise_builds(ratings: pd.DataFrame, trainset: surprise.Trainset) -> None:
    theirs = surprise.Dataset.load_from_df(ratings, surprise.Reader(rating_scale=SCALE)).build_full_trainset()
    assert list(theirs.all_ratings()) == list(trainset.all_ratings())
    assert theirs.ir == trainset.ir
    assert list(theirs.ir) == list(trainset.ir)
    assert [theirs.to_raw_iid(i) for i in range(25)] == [trainset.to_raw_iid(i) for i in range(25)]
    assert theirs.global_mean == trainset.global_mean


@pytest.mark.parametrize(("name", "parameters"), VARIANTS)
def test_scores_of_all_items_are_the_estimates_of_surprise(
    name: str, parameters: dict[str, object], trainset: surprise.Trainset
) -> None:
    algorithm = candidate(name).make(parameters, seed=3).fit(trainset)
    users = np.arange(trainset.n_users, dtype=np.int32)
    scores = score_all(algorithm)(users)
    if name == "normal_predictor":
        assert scores.shape == (trainset.n_users, trainset.n_items)
        assert abs(scores.mean() - trainset.global_mean) < 0.3
        return
    expected = [
        [
            algorithm.predict(trainset.to_raw_uid(u), trainset.to_raw_iid(i), clip=False).est
            for i in range(trainset.n_items)
        ]
        for u in users
    ]
    np.testing.assert_allclose(scores, expected, atol=1e-9)


@pytest.mark.parametrize(("name", "parameters"), VARIANTS)
def test_a_saved_state_predicts_the_same_after_loading(
    name: str, parameters: dict[str, object], trainset: surprise.Trainset, tmp_path: Path
) -> None:
    pairs = [("u1", "i3", 4.0), ("u2", "i5", 3.0), ("stranger", "i5", 3.0), ("u2", "unheard of", 3.0)]
    fitted = candidate(name).make(parameters, seed=3).fit(trainset)
    save_state(fitted, tmp_path / "fit", name=name, parameters=parameters, seed=3)
    loaded, head = load_state(tmp_path / "fit", trainset)
    assert [p.est for p in loaded.test(pairs)] == [p.est for p in fitted.test(pairs)]
    assert head["algorithm"] == name
    assert model_bytes(loaded) == model_bytes(fitted)


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_same_seed_gives_the_same_predictions(name: str, trainset: surprise.Trainset) -> None:
    pairs = [(f"u{u}", f"i{i}", 3.0) for u in range(5) for i in range(5)]
    runs = [[p.est for p in candidate(name).make({}, seed=9).fit(trainset).test(pairs)] for _ in range(2)]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("name", CATALOGUE)
def test_predictions_stay_on_the_scale(name: str, trainset: surprise.Trainset) -> None:
    pairs = [(f"u{u}", f"i{i}", 3.0) for u in range(31) for i in range(26)]
    predictions = candidate(name).make({}, seed=9).fit(trainset).test(pairs)
    assert all(SCALE[0] <= p.est <= SCALE[1] for p in predictions)


def test_a_factor_model_exposes_its_item_space(trainset: surprise.Trainset) -> None:
    factors, biases = item_space(candidate("svd").make({"n_factors": 4}, 1).fit(trainset)) or (None, None)
    assert factors is not None
    assert factors.shape == (trainset.n_items, 4)
    assert biases is not None
    assert biases.shape == (trainset.n_items,)
    assert item_space(candidate("slope_one").make({}, 1).fit(trainset)) is None


def test_the_catalogue_holds_the_whole_benchmark_table_of_surprise() -> None:
    assert [c.factory.__name__ for c in CATALOGUE.values()] == [
        "SVD", "SVDpp", "NMF", "SlopeOne", "KNNBasic", "KNNWithMeans", "KNNWithZScore", "KNNBaseline",
        "CoClustering", "BaselineOnly", "NormalPredictor",
    ]  # fmt: skip


def test_an_unknown_algorithm_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="no algorithm 'svdp'; did you mean 'svdpp'"):
        candidate("svdp")


def test_an_unknown_parameter_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="svd has no parameter 'n_factor'; did you mean 'n_factors'"):
        candidate("svd").make({"n_factor": 3}, 1)


def test_a_folder_without_state_is_refused(trainset: surprise.Trainset, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="run the fit stage"):
        load_state(tmp_path, trainset)
