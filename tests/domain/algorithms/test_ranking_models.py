"""Ranking models: hand-computed cases, parity with `implicit`, contract of rankers, invalid arguments."""

import io
import pickle
import re
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
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

from marquee.algorithms import array_allocation, ease
from marquee.algorithms.base import UNKNOWN
from marquee.algorithms.ease import EASE
from marquee.algorithms.implicit_feedback import ImplicitALS, ImplicitBPR
from marquee.algorithms.popularity import Popularity
from marquee.algorithms.ranking_base import Ranker
from marquee.algorithms.threads import ONE_BLAS_THREAD, limit_threads
from marquee.algorithms.trainset import MatrixTrainset
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
    "EASE32": partial(EASE, dtype="float32"),
    "ALS": partial(ImplicitALS, **ALS_OPTIONS),
    "ALS64": partial(ImplicitALS, **ALS_OPTIONS, dtype="float64"),
    "BPR": partial(ImplicitBPR, **BPR_OPTIONS),
    "BPR64": partial(ImplicitBPR, **BPR_OPTIONS, dtype="float64"),
}
every_ranker = pytest.mark.parametrize("create", FACTORIES.values(), ids=FACTORIES.keys())
EPOCH_RANKERS = [ImplicitALS, ImplicitBPR]


def make_matrix(rows: Sequence[tuple[Any, Any, float]]) -> InteractionMatrix:
    return InteractionMatrix.from_frame(pd.DataFrame(rows, columns=["user", "item", "rating"]))


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


def positives_matrix(matrix: InteractionMatrix, threshold: float) -> scipy.sparse.csr_matrix:
    dense = np.zeros((matrix.n_users, matrix.n_items), dtype=np.float32)
    users = np.repeat(np.arange(matrix.n_users), np.diff(matrix.indptr))
    dense[users, matrix.items] = matrix.values >= threshold
    return scipy.sparse.csr_matrix(dense)


def array_attributes(algorithm: Ranker) -> dict[str, np.ndarray]:
    return {name: value for name, value in vars(algorithm).items() if isinstance(value, np.ndarray)}


# Hand-computed cases


def test_popularity_counts_positives_and_breaks_ties_by_first_appearance() -> None:
    matrix = make_matrix([(1, "a", 2), (1, "b", 5), (2, "b", 4), (2, "c", 4), (3, "d", 3), (3, "c", 1)])
    model = Popularity().fit(matrix)
    assert model.counts.tolist() == [1, 2, 2, 1]
    assert Popularity(threshold=4).fit(matrix).counts.tolist() == [0, 2, 1, 0]
    seen_indptr = np.zeros(4, dtype=np.int64)
    lists, _ = recommend_top_n(model.score_all_items, seen_indptr, np.zeros(0, np.int32), 4, 4)
    assert lists.tolist() == [[1, 2, 0, 3]] * 3


def test_ease_of_three_items_matches_hand_computation() -> None:
    # X = [[1, 1, 0], [1, 1, 1], [0, 1, 1]], so X'X has 2, 3, 2 on its diagonal
    rows = [(1, "a", 3), (1, "b", 3), (2, "a", 3), (2, "b", 3), (2, "c", 3), (3, "b", 3), (3, "c", 3)]
    inverse = np.linalg.inv(np.array([[3.0, 2, 1], [2, 4, 2], [1, 2, 3]]))
    assert inverse == pytest.approx(np.array([[8, -4, 0], [-4, 8, -4], [0, -4, 8]]) / 16)
    expected = [[0, 1 / 2, 0], [1 / 2, 0, 1 / 2], [0, 1 / 2, 0]]  # -P_ji / P_ii
    model = EASE(reg=1).fit(make_matrix(rows))
    assert model.weights == pytest.approx(np.array(expected))
    assert model.score_all_items(np.array([0, 1, 2])) == pytest.approx(
        np.array([[0.5, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 0.5]])
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("rows_per_block", [7, 256], ids=["in blocks", "in one block"])
def test_ease_equals_closed_form(
    dtype: str, tolerance: float, rows_per_block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ease, "ROWS_PER_BLOCK", rows_per_block)
    x = positives_matrix(MATRIX, 4).toarray().astype(np.float64)
    inverse = np.linalg.inv(x.T @ x + 20 * np.eye(N_ITEMS))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    model = EASE(reg=20, threshold=4, dtype=dtype).fit(MATRIX)
    assert model.weights.dtype == dtype
    np.testing.assert_allclose(model.weights, weights, atol=tolerance)
    np.testing.assert_allclose(model.score_all_items(USERS), x @ weights, atol=20 * tolerance)


def test_repeated_rating_counts_as_one_positive() -> None:
    once = [(1, "a", 3), (1, "b", 3), (2, "b", 3)]
    twice = [*once, (1, "a", 4)]
    assert EASE().fit(make_matrix(twice)).weights.tolist() == EASE().fit(make_matrix(once)).weights.tolist()
    assert Popularity().fit(make_matrix(twice)).counts.tolist() == [1, 2]


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
    chance.counts = np.random.default_rng(0).permutation(N_ITEMS)
    model = create(threshold=4).fit(MATRIX)
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
    scores = create().fit(make_matrix([("u", "i", 3)])).score_all_items([0, UNKNOWN])
    assert scores.shape == (2, 1)
    assert np.isfinite(scores).all()


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


@every_ranker
def test_threshold_above_all_ratings_is_rejected(create: RankerFactory) -> None:
    with pytest.raises(DataError, match=r"no rating reaches threshold=6 \(the highest rating is 5\); lower"):
        create(threshold=6).fit(MATRIX)


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
    matrix = make_matrix([(1, "a", 3), (1, "b", 3), (2, "a", 3), (2, "b", 3)])
    with pytest.raises(DivergedError, match=r"reg=0 have no inverse in float64; raise reg"):
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
