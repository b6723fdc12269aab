"""Ranking models: hand-computed cases, parity with `implicit`, contract of rankers, invalid arguments."""

import io
import pickle
import re
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import surprise
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking
from surprise import dump
from surprise.model_selection import cross_validate
from threadpoolctl import threadpool_info, threadpool_limits

from marquee.algorithms import array_allocation, gram_matrix
from marquee.algorithms.base import UNKNOWN
from marquee.algorithms.bpr import BPR
from marquee.algorithms.ease import EASE
from marquee.algorithms.edlae import EDLAE
from marquee.algorithms.ials import IALS
from marquee.algorithms.implicit_feedback import ImplicitALS, ImplicitBPR
from marquee.algorithms.item_knn import ItemKNN
from marquee.algorithms.popularity import Popularity
from marquee.algorithms.product_ranker import LinearItemModel
from marquee.algorithms.ranking_base import Ranker
from marquee.algorithms.rp3beta import RP3beta
from marquee.algorithms.slim import SLIM
from marquee.algorithms.threads import ONE_BLAS_THREAD, limit_threads
from marquee.algorithms.trainset import MatrixTrainset
from marquee.algorithms.user_knn import UserKNN
from marquee.errors import DataError, DivergedError, ParameterError
from marquee.interactions.matrix import InteractionMatrix
from marquee.metrics.ranking import RelevantItems, find_hits, ndcg
from marquee.top_n import recommend_top_n

N_USERS, N_ITEMS = 300, 80  # more users than `USERS_PER_BLOCK`
ALS_OPTIONS: dict[str, Any] = {"n_factors": 8, "n_epochs": 5, "random_state": 1}
BPR_OPTIONS: dict[str, Any] = {"n_factors": 8, "n_epochs": 40, "lr_all": 0.1, "random_state": 1}
RankerFactory: TypeAlias = Callable[..., Ranker]
FACTORIES: dict[str, RankerFactory] = {
    "Popularity": Popularity,
    "EASE": EASE,
    "EASE64": partial(EASE, dtype="float64"),
    "EASE linear": partial(EASE, weighting="linear"),
    "iALS": partial(IALS, **ALS_OPTIONS),
    "iALS blocks": partial(IALS, **ALS_OPTIONS, solver="block", block_size=3),
    "EASE sparse": partial(EASE, n_weights=40),
    "EDLAE": partial(EDLAE, dropout=0.2),
    "SLIM": SLIM,
    "SLIM all linear": partial(SLIM, k=None, nonnegative=False, weighting="linear", neutral=3),
    "item k-NN": partial(ItemKNN, k=30),
    "item k-NN linear": partial(ItemKNN, k=30, weighting="linear", neutral=3),
    "user k-NN": partial(UserKNN, k=50, similarity="bm25"),
    "RP3beta": partial(RP3beta, k=30),
    "ALS": partial(ImplicitALS, **ALS_OPTIONS),
    "ALS64": partial(ImplicitALS, **ALS_OPTIONS, dtype="float64"),
    "ALS linear": partial(ImplicitALS, **ALS_OPTIONS, weighting="linear", neutral=3),
    "BPR": partial(BPR, **BPR_OPTIONS),
    "twin of BPR": partial(ImplicitBPR, **BPR_OPTIONS),
    "twin of BPR64": partial(ImplicitBPR, **BPR_OPTIONS, dtype="float64"),
}
every_ranker = pytest.mark.parametrize("create", FACTORIES.values(), ids=FACTORIES.keys())
BINARY_FACTORIES = {name: create for name, create in FACTORIES.items() if "linear" not in name}
every_binary_ranker = pytest.mark.parametrize(
    "create", BINARY_FACTORIES.values(), ids=BINARY_FACTORIES.keys()
)
EPOCH_RANKERS = [ImplicitALS, ImplicitBPR]


def make_matrix(rows: Sequence[tuple[Any, Any, float]]) -> InteractionMatrix:
    return InteractionMatrix.from_frame(pd.DataFrame(rows, columns=["user", "item", "rating"]))


def make_implicit_matrix(rows: Sequence[tuple[Any, Any, float]]) -> InteractionMatrix:
    return replace(make_matrix(rows), feedback="implicit")


def make_two_taste_groups() -> tuple[InteractionMatrix, RelevantItems]:
    """Return ratings of users who each like half of the items, and held-out items that they like."""
    rng = np.random.default_rng(0)
    rows: list[tuple[int, int, float]] = []
    held_out: list[tuple[int, int, float]] = []
    for user in range(N_USERS):
        for item in rng.choice(N_ITEMS, size=30, replace=False).tolist():
            is_liked = (user + item) % 2 == 0
            is_held_out = is_liked and rng.random() < 0.3
            (held_out if is_held_out else rows).append((user, item, 5.0 if is_liked else 2.0))
    matrix = make_matrix(rows)
    users = np.array([matrix.user_ids.index(user) for user, _, _ in held_out], dtype=np.int32)
    items = np.array([matrix.item_ids.index(item) for _, item, _ in held_out], dtype=np.int32)
    return matrix, RelevantItems.from_pairs(users, items, matrix.n_users)


MATRIX, RELEVANT = make_two_taste_groups()
USERS = np.arange(N_USERS, dtype=np.int32)


def mean_ndcg(algorithm: Ranker) -> float:
    lists, _ = recommend_top_n(algorithm.score_all_items, MATRIX.indptr, MATRIX.items, N_ITEMS, 10)
    return float(ndcg(find_hits(lists, RELEVANT), 10).mean())


def dense_matrix(matrix: InteractionMatrix, values: np.ndarray) -> np.ndarray:
    dense = np.zeros((matrix.n_users, matrix.n_items))
    dense[np.repeat(np.arange(matrix.n_users), np.diff(matrix.indptr)), matrix.items] = values
    return dense


def positives_matrix(matrix: InteractionMatrix, threshold: float) -> scipy.sparse.csr_matrix:
    return scipy.sparse.csr_matrix(dense_matrix(matrix, matrix.values >= threshold), dtype=np.float32)


def array_attributes(algorithm: Ranker) -> dict[str, np.ndarray]:
    return {name: value for name, value in vars(algorithm).items() if isinstance(value, np.ndarray)}


# Hand-computed cases


RATINGS = [(1, "a", 2), (1, "b", 5), (2, "b", 4), (2, "c", 4), (3, "d", 3), (3, "c", 1)]  # of 1 to 5
WEIGHTS = [(1, "a", 2), (1, "b", 0), (2, "b", 1), (2, "c", 7), (3, "d", 0.5), (3, "c", 1)]


@pytest.mark.parametrize(
    ("arguments", "counts"),
    [
        ({}, [0, 2, 1, 0]),  # from 4
        ({"threshold": 1}, [1, 2, 2, 1]),
        ({"weighting": "linear"}, [1 / 4, 1 + 3 / 4, 3 / 4, 2 / 4]),  # 1 star weighs 0
        ({"weighting": "linear", "neutral": 3}, [-1 / 2, 1 + 1 / 2, 1 / 2 - 1 / 2, 0]),  # at least -1/2
    ],
)
def test_popularity_sums_weights_of_ratings(arguments: dict[str, Any], counts: list[float]) -> None:
    assert Popularity(**arguments).fit(make_matrix(RATINGS)).counts.tolist() == counts


@pytest.mark.parametrize(
    ("arguments", "counts"),
    [
        ({}, [1, 1, 2, 1]),
        ({"threshold": 2}, [1, 0, 1, 0]),
        ({"weighting": "linear"}, [2, 1, 8, 0.5]),
        ({"weighting": "log"}, [np.log(3), np.log(2), np.log(8) + np.log(2), np.log(1.5)]),
    ],
)
def test_popularity_sums_implicit_weights(arguments: dict[str, Any], counts: list[float]) -> None:
    model = Popularity(**arguments).fit(make_implicit_matrix(WEIGHTS))
    assert model.counts.tolist() == pytest.approx(counts, abs=1e-12)


DAYS = [0, 10, 30, 20, 30, 30]  # of `RATINGS`


@pytest.mark.parametrize(
    ("arguments", "counts"),
    [
        ({"half_life": 10}, [0, 1 / 4 + 1, 1 / 2, 0]),  # from 4
        ({"half_life": 10, "weighting": "linear", "neutral": 3}, [-1 / 16, 1 / 4 + 1 / 2, 1 / 4 - 1 / 2, 0]),
        ({"half_life": 0.001}, [0, 1, 0, 0]),
    ],
)
def test_popularity_halves_weights_with_every_half_life(
    arguments: dict[str, Any], counts: list[float]
) -> None:
    matrix = replace(make_matrix(RATINGS), times=np.array(DAYS) * 86_400 + 10**9)
    assert Popularity(**arguments).fit(matrix).counts.tolist() == pytest.approx(counts, abs=1e-12)


def test_half_life_requires_timestamps_and_days() -> None:
    with pytest.raises(DataError, match="Popularity: half_life requires timestamps"):
        Popularity(half_life=30).fit(make_matrix(RATINGS))
    invalid: tuple[Any, ...] = (-1, 0, np.inf, "30")
    for value in invalid:
        with pytest.raises(ParameterError, match="Popularity: half_life must be"):
            Popularity(half_life=value).fit(make_matrix(RATINGS))


def test_ease_of_three_items_matches_hand_computation() -> None:
    # X = [[1, 1, 0], [1, 1, 1], [0, 1, 1]], so X'X has 2, 3, 2 on its diagonal
    rows = [(1, "a", 5), (1, "b", 5), (2, "a", 5), (2, "b", 5), (2, "c", 5), (3, "b", 5), (3, "c", 5)]
    inverse = np.linalg.inv(np.array([[3.0, 2, 1], [2, 4, 2], [1, 2, 3]]))
    assert inverse == pytest.approx(np.array([[8, -4, 0], [-4, 8, -4], [0, -4, 8]]) / 16)
    expected = [[0, 1 / 2, 0], [1 / 2, 0, 1 / 2], [0, 1 / 2, 0]]  # -P_ji / P_ii
    model = EASE(reg=1, dtype="float64").fit(make_matrix(rows))
    assert model.weights == pytest.approx(np.array(expected))
    assert model.score_all_items(np.array([0, 1, 2])) == pytest.approx(
        np.array([[0.5, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 0.5]])
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize(
    ("arguments", "x"),
    [
        ({"threshold": 4}, positives_matrix(MATRIX, 4).toarray()),
        ({"weighting": "linear", "neutral": 2.5}, dense_matrix(MATRIX, (MATRIX.values - 2.5) / 2.5)),
    ],
    ids=["binary", "linear"],
)
def test_ease_equals_closed_form(
    dtype: str, tolerance: float, arguments: dict[str, Any], x: np.ndarray
) -> None:
    inverse = np.linalg.inv(x.T.astype(np.float64) @ x + 20 * np.eye(N_ITEMS))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    model = EASE(reg=20, dtype=dtype, **arguments).fit(MATRIX)
    assert model.weights.dtype == dtype
    np.testing.assert_allclose(model.weights, weights, atol=tolerance)
    np.testing.assert_allclose(model.score_all_items(USERS), x @ weights, atol=20 * tolerance)


def test_highest_of_repeated_ratings_counts() -> None:
    once = [(1, "a", 5), (1, "b", 4), (2, "b", 4)]
    twice = [*once, (1, "a", 4), (2, "b", 1)]
    model = Popularity(weighting="linear").fit(make_matrix([*twice, (2, "c", 2)]))
    assert model.counts.tolist() == [1, 3 / 4 + 3 / 4, 1 / 4]
    assert EASE().fit(make_matrix(twice)).weights.tolist() == EASE().fit(make_matrix(once)).weights.tolist()
    assert Popularity().fit(make_matrix(twice)).counts.tolist() == [1, 2]


def test_blocks_of_items_have_no_influence_on_ease(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = EASE().fit(MATRIX).weights.tobytes()
    monkeypatch.setattr(gram_matrix, "ITEMS_PER_BLOCK", 7)
    assert EASE().fit(MATRIX).weights.tobytes() == expected


# Parity with implicit


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_als_equals_that_of_implicit(dtype: str) -> None:
    model = ImplicitALS(8, 5, 0.1, alpha=3, threshold=4, random_state=7, dtype=dtype).fit(MATRIX)
    x = positives_matrix(MATRIX, 4)
    with threadpool_limits(1, "blas"):
        twin = AlternatingLeastSquares(8, 0.1, alpha=4, dtype=dtype, iterations=5, random_state=7)
        twin.fit(x, show_progress=False)
    assert np.array_equal(model.pu, twin.user_factors)
    assert np.array_equal(model.qi, twin.item_factors)
    assert_same_lists(model, twin)


@pytest.mark.parametrize(
    ("values", "feedback", "weighting", "confidences"),
    [
        (MATRIX.values, "implicit", "linear", 1 + 3 * MATRIX.values),
        (MATRIX.values, "implicit", "log", 1 + 3 * np.log(1 + MATRIX.values)),
        # 2 stars weigh -1/2: a confidence of 1 + 3/2 in preference 0, which the twin expects as -5/2
        (MATRIX.values, "explicit", "linear", np.where(MATRIX.values == 5, 4.0, -2.5)),
    ],
)
def test_als_on_weights_equals_that_of_implicit_on_confidences(
    values: np.ndarray, feedback: Any, weighting: str, confidences: np.ndarray
) -> None:
    matrix = replace(MATRIX, values=values, feedback=feedback)
    neutral = None if feedback == "implicit" else 3.0
    model = ImplicitALS(8, 5, 0.1, alpha=3, weighting=weighting, neutral=neutral, random_state=7).fit(matrix)
    x = scipy.sparse.csr_matrix(dense_matrix(matrix, confidences), dtype=np.float32)
    with threadpool_limits(1, "blas"):
        twin = AlternatingLeastSquares(8, 0.1, alpha=1, iterations=5, random_state=7)
        twin.fit(x, show_progress=False)
    assert np.array_equal(model.pu, twin.user_factors)
    assert np.array_equal(model.qi, twin.item_factors)


def test_size_of_weights_has_no_influence_on_bpr() -> None:
    matrices = [
        replace(MATRIX, feedback="implicit", values=values) for values in (MATRIX.values, MATRIX.values**2)
    ]
    fits = [ImplicitBPR(**BPR_OPTIONS).fit(matrix).qi.tobytes() for matrix in matrices]
    assert fits[0] == fits[1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bpr_equals_that_of_implicit_with_one_thread(dtype: str) -> None:
    model = ImplicitBPR(8, 5, 0.05, 0.02, threshold=4, random_state=7, dtype=dtype).fit(MATRIX)
    twin = BayesianPersonalizedRanking(
        8, 0.05, 0.02, dtype=np.dtype(dtype).type, iterations=5, num_threads=1, random_state=7
    )
    twin.fit(positives_matrix(MATRIX, 4), show_progress=False)
    assert np.array_equal(model.pu, twin.user_factors[:, :-1])
    assert np.array_equal(np.column_stack([model.qi, model.bi]), twin.item_factors)
    assert_same_lists(model, twin)


def assert_same_lists(model: Ranker, twin: Any) -> None:
    """Assert that the twin's `recommend` gives the same lists, except where rounding decides a tie."""
    seen = positives_matrix(MATRIX, -np.inf)
    lists, scores = recommend_top_n(model.score_all_items, MATRIX.indptr, MATRIX.items, N_ITEMS, 10)
    twin_lists, twin_scores = twin.recommend(USERS, seen, N=10)
    np.testing.assert_allclose(scores, twin_scores, rtol=1e-4, atol=1e-5)
    assert (lists == twin_lists).mean() > 0.99


# Contract of every ranker


@every_ranker
def test_ranker_is_better_than_chance(create: RankerFactory) -> None:
    chance = Popularity().fit(MATRIX)
    chance.counts = np.random.default_rng(0).permutation(N_ITEMS).astype(np.float64)
    model = create().fit(MATRIX)
    assert model.is_ranker
    assert mean_ndcg(model) > mean_ndcg(chance) + (0.0 if isinstance(model, Popularity) else 0.1)


@every_ranker
def test_scores_of_pairs_equal_scores_of_all_items(create: RankerFactory) -> None:
    model = create().fit(MATRIX)
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, N_USERS, 2000), rng.integers(0, N_ITEMS, 2000)
    all_scores = model.score_all_items(USERS)
    assert all_scores.shape == (N_USERS, N_ITEMS)
    assert all_scores.dtype == np.float64
    np.testing.assert_allclose(
        model.score_pairs(users, items), all_scores[users, items], rtol=1e-5, atol=1e-6
    )
    assert model.score_pairs([], []).shape == (0,)


@every_ranker
def test_unknown_users_and_items_get_scores_without_history(create: RankerFactory) -> None:
    model = create(threshold=4).fit(MATRIX)
    scores = model.score_all_items([UNKNOWN])[0]
    popularity = model.counts if isinstance(model, Popularity) else getattr(model, "bi", None)
    assert scores.tolist() == (np.zeros(N_ITEMS) if popularity is None else popularity).tolist()
    assert model.score_pairs([UNKNOWN, 0, UNKNOWN], [2, UNKNOWN, UNKNOWN]).tolist() == [scores[2], 0, 0]


@every_ranker
def test_rating_predictions_are_impossible_and_state_the_reason(create: RankerFactory) -> None:
    model = create().fit(MATRIX)
    reason = f"{type(model).__name__} ranks items and does not predict ratings."
    prediction = model.predict(0, 1)
    assert prediction.est == pytest.approx(MATRIX.values.mean())
    assert prediction.details == {"was_impossible": True, "reason": reason}
    assert model.test([(0, 1, 4.0)]) == [model.predict(0, 1, 4.0)]
    estimates = model.estimate_pairs(USERS[:2], USERS[:2])
    assert estimates.impossible is not None
    assert estimates.impossible.all()
    assert estimates.values.tolist() == [prediction.est] * 2


@every_ranker
def test_surprise_tools_accept_ranker(create: RankerFactory, tmp_path: Path) -> None:
    rows = pd.DataFrame([(u, i, r) for u, i, r in MatrixTrainset(MATRIX).all_ratings()])
    data = surprise.Dataset.load_from_df(rows, surprise.Reader())
    errors = cross_validate(create(threshold=4), data, cv=2, measures=["rmse"])["test_rmse"]
    assert errors == pytest.approx(MATRIX.values.std(), rel=0.05)
    model = create(threshold=4).fit(data.build_full_trainset())
    dump.dump(str(tmp_path / "model"), algo=model)
    loaded = dump.load(str(tmp_path / "model"))[1]
    assert loaded.score_all_items(USERS).tobytes() == model.score_all_items(USERS).tobytes()


@every_ranker
def test_array_attributes_are_enough_to_restore_the_model(create: RankerFactory) -> None:
    model = create(threshold=4).fit(MATRIX)
    packages = {type(value).__module__.split(".")[0] for value in vars(model).values()}
    assert not packages & {"implicit", "scipy"}
    restored = create(threshold=4)
    surprise.AlgoBase.fit(restored, MatrixTrainset(MATRIX))
    for name, array in array_attributes(model).items():
        file = io.BytesIO()
        np.save(file, array, allow_pickle=False)
        file.seek(0)
        setattr(restored, name, np.load(file, allow_pickle=False))
    assert restored.score_all_items(USERS).tobytes() == model.score_all_items(USERS).tobytes()


@every_ranker
def test_model_is_byte_identical_for_any_thread_count(create: RankerFactory) -> None:
    results = []
    for n_threads in (1, 2, 3):
        with limit_threads(n_threads), threadpool_limits(n_threads, "blas"):
            model = create().fit(MATRIX)
            results.append(pickle.dumps([array_attributes(model), model.score_all_items(USERS)]))
    assert results[0] == results[1] == results[2]


def _has_equal_equations(model: Ranker) -> bool:
    """Return True if a training user and their history are scored by the same computation.

    The factors of ALS are those before the last update of the items, those of BPR are learned one by one, and
    a user is a neighbor of their own history.
    """
    return isinstance(model, LinearItemModel) or (isinstance(model, IALS) and model.solver == "exact")


@every_ranker
def test_scores_of_training_histories_rank_like_those_of_the_users(create: RankerFactory) -> None:
    model = create().fit(MATRIX)
    scores = model.score_histories(MATRIX.indptr, MATRIX.items, MATRIX.values)
    if _has_equal_equations(model):
        assert scores.tobytes() == model.score_all_items(USERS).tobytes()
    elif model.uses_histories:
        assert np.corrcoef(scores.ravel(), model.score_all_items(USERS).ravel())[0, 1] > 0.95
    else:
        assert (scores == model.score_all_items([UNKNOWN])).all()


def test_als_scores_of_a_history_solve_the_equation_of_the_user() -> None:
    model = ImplicitALS(8, 5, 0.1, alpha=3, weighting="linear", neutral=3, random_state=7).fit(MATRIX)
    items, q = np.array([3, 10, 11]), model.qi.astype(np.float64)
    # 5, 4 and 2 stars weigh 1, 1/2 and -1/2
    confidences, preferences = np.array([4.0, 2.5, 2.5]), np.array([1.0, 1.0, 0.0])
    system = q.T @ q + 0.1 * np.eye(8) + (q[items].T * (confidences - 1)) @ q[items]
    factors = np.linalg.solve(system, q[items].T @ (confidences * preferences))
    scores = model.score_histories([0, 3], items, [5.0, 4.0, 2.0])
    np.testing.assert_allclose(scores, [q @ factors], atol=1e-12)


@every_ranker
def test_fit_prints_nothing_and_raises_no_warning(
    create: RankerFactory, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        create().fit(MATRIX).score_all_items(USERS)
    assert capfd.readouterr() == ("", "")


@every_ranker
def test_ranker_can_be_fitted_to_one_interaction(create: RankerFactory) -> None:
    scores = create().fit(make_matrix([("u", "i", 5)])).score_all_items([0, UNKNOWN])
    assert scores.shape == (2, 1)
    assert np.isfinite(scores).all()


@every_ranker
@pytest.mark.parametrize(
    "rows",
    [
        [("u", item, 5) for item in range(20)],
        [(user, "i", 5) for user in range(20)],
        [(user, item, 5) for user in range(6) for item in range(5)],
        [(1, "a", 5), (1, "b", 1), (2, "b", 1), (2, "a", 4), (3, "b", 2)],
    ],
    ids=["one user", "one item", "users with everything", "item without positives"],
)
@pytest.mark.parametrize("feedback", ["explicit", "implicit"])
def test_degenerate_data_gives_finite_scores(
    create: RankerFactory, rows: list[tuple[Any, Any, float]], feedback: Any
) -> None:
    model = create().fit(replace(make_matrix(rows), feedback=feedback))
    assert np.isfinite(model.score_all_items([0, UNKNOWN])).all()
    assert np.isfinite(model.score_histories([0, 1, 1], [0], [5.0])).all()


# Epochs


@pytest.mark.parametrize("ranker_class", EPOCH_RANKERS)
def test_model_after_each_epoch_equals_shorter_fit(ranker_class: type[ImplicitALS | ImplicitBPR]) -> None:
    model = ranker_class(n_factors=4, n_epochs=3, random_state=5)
    for epoch in model.fit_by_epoch(MATRIX):
        shorter = ranker_class(n_factors=4, n_epochs=epoch.number, random_state=5).fit(MATRIX)
        assert pickle.dumps(array_attributes(model)) == pickle.dumps(array_attributes(shorter))
        assert epoch.train_rmse is None
    assert epoch.number == 3


@pytest.mark.parametrize("ranker_class", EPOCH_RANKERS)
def test_seed_determines_the_factors(ranker_class: type[ImplicitALS | ImplicitBPR]) -> None:
    def factors(state: int | np.random.RandomState | None) -> bytes:
        return ranker_class(n_factors=3, n_epochs=2, random_state=state).fit(MATRIX).qi.tobytes()

    assert factors(1) == factors(1) != factors(2)
    assert factors(np.random.RandomState(1)) == factors(np.random.RandomState(1)) != factors(1)
    np.random.seed(3)  # noqa: NPY002  None means NumPy's global generator, as in Surprise
    expected = factors(None)
    np.random.seed(3)  # noqa: NPY002
    assert expected == factors(None)


def test_als_improves_with_epochs() -> None:
    model = ImplicitALS(n_factors=8, n_epochs=5, threshold=4, random_state=0)
    values = [mean_ndcg(model) for _ in model.fit_by_epoch(MATRIX)]
    assert values[-1] > values[0]


# Invalid arguments and data


@every_binary_ranker
def test_threshold_above_all_ratings_is_rejected(create: RankerFactory) -> None:
    message = "no rating counts as a positive with threshold=6 (the highest rating is 5); lower threshold"
    with pytest.raises(DataError, match=re.escape(message)):
        create(threshold=6).fit(MATRIX)


@every_binary_ranker
def test_ratings_below_the_default_threshold_are_rejected(create: RankerFactory) -> None:
    with pytest.raises(DataError, match="no rating counts as a positive with threshold=4"):
        create().fit(make_matrix([("u", "i", 3.9)]))


@pytest.mark.parametrize("neutral", [5, 7])
def test_neutral_rating_at_or_above_all_ratings_is_rejected(neutral: float) -> None:
    with pytest.raises(
        DataError, match=f"no rating counts as a positive with neutral={neutral} .*; lower neutral"
    ):
        EASE(weighting="linear", neutral=neutral).fit(MATRIX)


def test_implicit_weights_of_zero_are_rejected() -> None:
    message = "no weight counts as a positive with threshold=0 (the highest weight is 0)"
    with pytest.raises(DataError, match=re.escape(message)):
        Popularity().fit(make_implicit_matrix([("u", "i", 0)]))


def test_log_of_ratings_is_rejected() -> None:
    with pytest.raises(ParameterError, match="weighting log is defined for implicit weights only"):
        EASE(weighting="log").fit(MATRIX)


@pytest.mark.parametrize("ranker", [EASE(weighting="linear"), ImplicitALS(weighting="linear", n_factors=4)])
def test_weights_that_overflow_are_reported_as_divergence(ranker: Ranker) -> None:
    matrix = make_implicit_matrix([(1, "a", 1e300), (1, "b", 1), (2, "b", 1)])
    remedy = "raise reg, or use weighting binary" if isinstance(ranker, EASE) else "raise the regularization"
    with pytest.raises(DivergedError, match=remedy):
        ranker.fit(matrix)
    assert np.isfinite(type(ranker)(weighting="log").fit(matrix).score_all_items([0, 1])).all()


@every_ranker
@pytest.mark.parametrize("threshold", [np.nan, np.inf, "4", True])
def test_non_numeric_threshold_is_rejected(create: RankerFactory, threshold: object) -> None:
    with pytest.raises(ParameterError, match="threshold must be a finite number"):
        create(threshold=threshold).fit(MATRIX)


@pytest.mark.parametrize(
    ("ranker_class", "arguments", "message"),
    [
        (EASE, {"reg": -1}, "reg must be a finite number of at least 0 (got -1)"),
        (EASE, {"reg": np.nan}, "reg must be a finite number of at least 0 (got nan)"),
        (EASE, {"dtype": "float16"}, "dtype must be one of float64, float32 (got 'float16')"),
        (EASE, {"weighting": "square"}, "weighting must be one of binary, linear, log (got 'square')"),
        (Popularity, {"neutral": np.nan}, "neutral must be a finite number (got nan)"),
        (ImplicitALS, {"n_factors": 0}, "n_factors must be an integer of at least 1 (got 0)"),
        (ImplicitALS, {"n_epochs": -1}, "n_epochs must be an integer of at least 0 (got -1)"),
        (ImplicitALS, {"alpha": -0.5}, "alpha must be a finite number of at least 0 (got -0.5)"),
        (ImplicitALS, {"reg_all": np.inf}, "reg_all must be a finite number of at least 0 (got inf)"),
        (ImplicitBPR, {"n_factors": 2.5}, "n_factors must be an integer of at least 1 (got 2.5)"),
        (ImplicitBPR, {"lr_all": -1}, "lr_all must be a finite number of at least 0 (got -1)"),
        (ImplicitBPR, {"dtype": "int32"}, "dtype must be one of float64, float32 (got 'int32')"),
    ],
)
def test_invalid_argument_is_rejected(
    ranker_class: type[Ranker], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError, match=re.escape(f"{ranker_class.__name__}: {message}")):
        ranker_class(**arguments).fit(MATRIX)


def test_singular_ease_error_says_to_raise_reg() -> None:
    matrix = make_matrix([(1, "a", 5), (1, "b", 5), (2, "a", 5), (2, "b", 5)])
    with pytest.raises(DivergedError, match=r"reg=0 have no inverse in float32; raise reg"):
        EASE(reg=0).fit(matrix)


def test_ease_weights_larger_than_memory_are_rejected_with_their_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(array_allocation, "physical_memory_bytes", lambda: 1000.0)
    with pytest.raises(DataError, match=r"EASE: weights of 80 items need 0\.0 GB"):
        EASE().fit(MATRIX)


@pytest.mark.parametrize("model", [ImplicitALS(alpha=1e300), ImplicitBPR(lr_all=1e30)])
def test_divergence_error_names_the_parameters(model: Ranker) -> None:
    with pytest.raises(
        DivergedError, match=rf"{type(model).__name__} diverged in epoch \d+ with .*reg_all=0.01"
    ):
        model.fit(MATRIX)


def test_parallel_fits_restore_the_blas_thread_limit() -> None:
    def blas_thread_counts() -> list[int]:
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    counts = blas_thread_counts()
    expected = ImplicitALS(8, 5, random_state=1).fit(MATRIX).qi.tobytes()
    with ThreadPoolExecutor(4) as pool:
        fits = [pool.submit(ImplicitALS(8, 5, random_state=1).fit, MATRIX) for _ in range(8)]
        assert {fit.result().qi.tobytes() for fit in fits} == {expected}
    with ONE_BLAS_THREAD, ONE_BLAS_THREAD:
        assert set(blas_thread_counts()) == {1}
    assert blas_thread_counts() == counts
