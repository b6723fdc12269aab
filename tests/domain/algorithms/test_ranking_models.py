"""Ranking models: worked cases, parity with `implicit`, and that none of them predicts a rating."""

import io
import pickle
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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

from marquee.algorithms import ease, memory
from marquee.algorithms.base import UNKNOWN
from marquee.algorithms.ease import EASE
from marquee.algorithms.implicit_feedback import ImplicitALS, ImplicitBPR
from marquee.algorithms.popularity import Popularity
from marquee.algorithms.ranking_base import Ranker
from marquee.algorithms.threads import ONE_BLAS_THREAD, limit_threads
from marquee.algorithms.trainset import MatrixTrainset
from marquee.errors import DataError, DivergedError, ParameterError
from marquee.interactions.matrix import InteractionMatrix
from marquee.metrics.ranking import RelevantItems, evaluate_lists, ndcg
from marquee.top_n import recommend_top_n

N_USERS, N_ITEMS = 300, 80  # more users than a block
BPR: dict[str, Any] = {"n_factors": 8, "n_epochs": 40, "lr_all": 0.1, "random_state": 1}
RANKERS: list[Callable[..., Ranker]] = [
    Popularity,
    EASE,
    lambda **options: EASE(dtype="float32", **options),
    lambda **options: ImplicitALS(**{"n_factors": 8, "n_epochs": 5, "random_state": 1} | options),
    lambda **options: ImplicitALS(
        **{"n_factors": 8, "n_epochs": 5, "random_state": 1, "dtype": "float64"} | options
    ),
    lambda **options: ImplicitBPR(**BPR | options),
    lambda **options: ImplicitBPR(**BPR | {"dtype": "float64"} | options),
]
NAMES = ["Popularity", "EASE", "EASE32", "ALS", "ALS64", "BPR", "BPR64"]
every_ranker = pytest.mark.parametrize("make", RANKERS, ids=NAMES)
LEARNERS = [ImplicitALS, ImplicitBPR]


def table(rows: list[tuple[Any, Any, float]]) -> InteractionMatrix:
    return InteractionMatrix.from_frame(pd.DataFrame(rows, columns=["user", "item", "rating"]))


def two_tastes() -> tuple[InteractionMatrix, RelevantItems]:
    """Users like one half of the items; most of what they like is rated, some of it held out."""
    rng = np.random.default_rng(0)
    rows, held_out = [], []
    for user in range(N_USERS):
        for item in rng.choice(N_ITEMS, size=30, replace=False).tolist():
            liked = (user + item) % 2 == 0
            (held_out if liked and rng.random() < 0.3 else rows).append((user, item, 5.0 if liked else 2.0))
    matrix = table(rows)
    users = np.array([matrix.user_ids.index(user) for user, _, _ in held_out], dtype=np.int32)
    items = np.array([matrix.item_ids.index(item) for _, item, _ in held_out], dtype=np.int32)
    return matrix, RelevantItems.from_pairs(users, items, matrix.n_users)


MATRIX, RELEVANT = two_tastes()
USERS = np.arange(N_USERS, dtype=np.int32)


def quality(algorithm: Ranker) -> float:
    lists, _ = recommend_top_n(algorithm.score_all, MATRIX.indptr, MATRIX.items, N_ITEMS, 10)
    return float(ndcg(evaluate_lists(lists, RELEVANT), 10).mean())


def positives(matrix: InteractionMatrix, threshold: float) -> scipy.sparse.csr_matrix:
    dense = np.zeros((matrix.n_users, matrix.n_items), dtype=np.float32)
    users = np.repeat(np.arange(matrix.n_users), np.diff(matrix.indptr))
    dense[users, matrix.items] = matrix.values >= threshold
    return scipy.sparse.csr_matrix(dense)


def learned(algorithm: Ranker) -> dict[str, np.ndarray]:
    return {name: value for name, value in vars(algorithm).items() if isinstance(value, np.ndarray)}


# --- worked cases ---


def test_popularity_counts_positives_and_ties_go_to_the_item_seen_first() -> None:
    matrix = table([(1, "a", 2), (1, "b", 5), (2, "b", 4), (2, "c", 4), (3, "d", 3), (3, "c", 1)])
    everything, liked = Popularity().fit(matrix), Popularity(threshold=4).fit(matrix)
    assert everything.counts.tolist() == [1, 2, 2, 1]
    assert liked.counts.tolist() == [0, 2, 1, 0]
    none_seen = np.zeros(4, dtype=np.int64)
    lists, _ = recommend_top_n(everything.score_all, none_seen, np.zeros(0, np.int32), 4, 4)
    assert lists.tolist() == [[1, 2, 0, 3]] * 3


def test_ease_of_three_items_is_the_closed_form() -> None:
    # X = [[1, 1, 0], [1, 1, 1], [0, 1, 1]], so X'X has 2, 3, 2 on its diagonal
    rows = [(1, "a", 3), (1, "b", 3), (2, "a", 3), (2, "b", 3), (2, "c", 3), (3, "b", 3), (3, "c", 3)]
    inverse = np.linalg.inv(np.array([[3.0, 2, 1], [2, 4, 2], [1, 2, 3]]))
    assert inverse == pytest.approx(np.array([[8, -4, 0], [-4, 8, -4], [0, -4, 8]]) / 16)
    expected = [[0, 1 / 2, 0], [1 / 2, 0, 1 / 2], [0, 1 / 2, 0]]  # -P_ji / P_ii
    model = EASE(reg=1).fit(table(rows))
    assert model.weights == pytest.approx(np.array(expected))
    assert model.score_all(np.array([0, 1, 2])) == pytest.approx(
        np.array([[0.5, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 0.5]])
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("rows", [7, 256], ids=["in blocks", "in one block"])
def test_ease_is_the_closed_form(
    dtype: str, tolerance: float, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ease, "ROWS", rows)
    x = positives(MATRIX, 4).toarray().astype(np.float64)
    inverse = np.linalg.inv(x.T @ x + 20 * np.eye(N_ITEMS))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    model = EASE(reg=20, threshold=4, dtype=dtype).fit(MATRIX)
    assert model.weights.dtype == dtype
    np.testing.assert_allclose(model.weights, weights, atol=tolerance)
    np.testing.assert_allclose(model.score_all(USERS), x @ weights, atol=20 * tolerance)


def test_a_rating_given_twice_is_one_positive() -> None:
    once = [(1, "a", 3), (1, "b", 3), (2, "b", 3)]
    twice = [*once, (1, "a", 4)]
    assert EASE().fit(table(twice)).weights.tolist() == EASE().fit(table(once)).weights.tolist()
    assert Popularity().fit(table(twice)).counts.tolist() == [1, 2]


# --- parity with implicit ---


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_als_is_the_fit_of_implicit(dtype: str) -> None:
    ours = ImplicitALS(8, 5, 0.1, alpha=3, threshold=4, random_state=7, dtype=dtype).fit(MATRIX)
    x = positives(MATRIX, 4)
    with threadpool_limits(1, "blas"):
        theirs = AlternatingLeastSquares(8, 0.1, alpha=4, dtype=dtype, iterations=5, random_state=7)
        theirs.fit(x, show_progress=False)
    assert np.array_equal(ours.pu, theirs.user_factors)
    assert np.array_equal(ours.qi, theirs.item_factors)
    same_lists(ours, theirs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bpr_is_the_fit_of_implicit_on_one_thread(dtype: str) -> None:
    ours = ImplicitBPR(8, 5, 0.05, 0.02, threshold=4, random_state=7, dtype=dtype).fit(MATRIX)
    theirs = BayesianPersonalizedRanking(
        8, 0.05, 0.02, dtype=np.dtype(dtype).type, iterations=5, num_threads=1, random_state=7
    )
    theirs.fit(positives(MATRIX, 4), show_progress=False)
    assert np.array_equal(ours.pu, theirs.user_factors[:, :-1])
    assert np.array_equal(np.column_stack([ours.qi, ours.bi]), theirs.item_factors)
    same_lists(ours, theirs)


def same_lists(ours: Ranker, theirs: Any) -> None:
    """Those of `recommend`: the same items but for ties within rounding."""
    seen = positives(MATRIX, -np.inf)
    lists, scores = recommend_top_n(ours.score_all, MATRIX.indptr, MATRIX.items, N_ITEMS, 10)
    their_lists, their_scores = theirs.recommend(USERS, seen, N=10)
    np.testing.assert_allclose(scores, their_scores, rtol=1e-4, atol=1e-5)
    assert (lists == their_lists).mean() > 0.99


# --- the contract of a ranker ---


@every_ranker
def test_it_ranks_better_than_chance(make: Callable[..., Ranker]) -> None:
    chance = Popularity().fit(MATRIX)
    chance.counts = np.random.default_rng(0).permutation(N_ITEMS)
    model = make(threshold=4).fit(MATRIX)
    assert model.is_ranker
    assert quality(model) > quality(chance) + (0.0 if isinstance(model, Popularity) else 0.1)


@every_ranker
def test_scores_of_pairs_are_those_of_all_items(make: Callable[..., Ranker]) -> None:
    model = make().fit(MATRIX)
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, N_USERS, 2000), rng.integers(0, N_ITEMS, 2000)
    all_scores = model.score_all(USERS)
    assert all_scores.shape == (N_USERS, N_ITEMS)
    assert all_scores.dtype == np.float64
    np.testing.assert_allclose(model.score(users, items), all_scores[users, items], rtol=1e-5, atol=1e-6)
    assert model.score([], []).shape == (0,)


@every_ranker
def test_what_training_did_not_see_has_no_history(make: Callable[..., Ranker]) -> None:
    model = make(threshold=4).fit(MATRIX)
    stranger = model.score_all([UNKNOWN])[0]
    left = model.counts if isinstance(model, Popularity) else getattr(model, "bi", None)
    assert stranger.tolist() == (np.zeros(N_ITEMS) if left is None else left).tolist()
    assert model.score([UNKNOWN, 0, UNKNOWN], [2, UNKNOWN, UNKNOWN]).tolist() == [stranger[2], 0, 0]


@every_ranker
def test_it_predicts_no_rating_and_says_so(make: Callable[..., Ranker]) -> None:
    model = make().fit(MATRIX)
    reason = f"{type(model).__name__} ranks items and predicts no rating."
    one = model.predict(0, 1)
    assert one.est == pytest.approx(MATRIX.values.mean())
    assert one.details == {"was_impossible": True, "reason": reason}
    assert model.test([(0, 1, 4.0)]) == [model.predict(0, 1, 4.0)]
    estimates = model.estimates(USERS[:2], USERS[:2])
    assert estimates.impossible is not None
    assert estimates.impossible.all()
    assert estimates.values.tolist() == [one.est] * 2


@every_ranker
def test_surprise_trains_it_and_dumps_it(make: Callable[..., Ranker], tmp_path: Any) -> None:
    rows = pd.DataFrame([(u, i, r) for u, i, r in MatrixTrainset(MATRIX).all_ratings()])
    data = surprise.Dataset.load_from_df(rows, surprise.Reader())
    errors = cross_validate(make(threshold=4), data, cv=2, measures=["rmse"])["test_rmse"]
    assert errors == pytest.approx(MATRIX.values.std(), rel=0.05)
    model = make(threshold=4).fit(data.build_full_trainset())
    dump.dump(str(tmp_path / "model"), algo=model)
    again = dump.load(str(tmp_path / "model"))[1]
    assert again.score_all(USERS).tobytes() == model.score_all(USERS).tobytes()


@every_ranker
def test_arrays_alone_restore_it(make: Callable[..., Ranker]) -> None:
    model = make(threshold=4).fit(MATRIX)
    assert not {type(value).__module__.split(".")[0] for value in vars(model).values()} & {
        "implicit",
        "scipy",
    }
    fresh = make(threshold=4)
    surprise.AlgoBase.fit(fresh, MatrixTrainset(MATRIX))
    for name, array in learned(model).items():
        file = io.BytesIO()
        np.save(file, array, allow_pickle=False)
        file.seek(0)
        setattr(fresh, name, np.load(file, allow_pickle=False))
    assert fresh.score_all(USERS).tobytes() == model.score_all(USERS).tobytes()


@every_ranker
def test_the_same_bytes_whatever_the_number_of_threads(make: Callable[..., Ranker]) -> None:
    made = []
    for number in (1, 2, 3):
        with limit_threads(number), threadpool_limits(number, "blas"):
            model = make().fit(MATRIX)
            made.append(pickle.dumps([learned(model), model.score_all(USERS)]))
    assert made[0] == made[1] == made[2]


@every_ranker
def test_nothing_is_printed_or_warned_of(
    make: Callable[..., Ranker], capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make().fit(MATRIX).score_all(USERS)
    assert capfd.readouterr() == ("", "")


@every_ranker
def test_one_user_with_one_item_can_be_learned_from(make: Callable[..., Ranker]) -> None:
    scores = make().fit(table([("u", "i", 3)])).score_all([0, UNKNOWN])
    assert scores.shape == (2, 1)
    assert np.isfinite(scores).all()


# --- epochs ---


@pytest.mark.parametrize("kind", LEARNERS)
def test_each_epoch_is_the_model_with_that_many(kind: type[Ranker]) -> None:
    looking = kind(n_factors=4, n_epochs=3, random_state=5)
    for epoch in looking.epochs(MATRIX):
        short = kind(n_factors=4, n_epochs=epoch.number, random_state=5).fit(MATRIX)
        assert pickle.dumps(learned(looking)) == pickle.dumps(learned(short))
        assert epoch.train_rmse is None
    assert epoch.number == 3


@pytest.mark.parametrize("kind", LEARNERS)
def test_seeds_decide(kind: type[Ranker]) -> None:
    def factors(state: int | np.random.RandomState | None) -> bytes:
        return kind(n_factors=3, n_epochs=2, random_state=state).fit(MATRIX).qi.tobytes()

    assert factors(1) == factors(1) != factors(2)
    assert factors(np.random.RandomState(1)) == factors(np.random.RandomState(1)) != factors(1)
    np.random.seed(3)  # noqa: NPY002  None is NumPy's global state, as in Surprise
    drawn = factors(None)
    np.random.seed(3)  # noqa: NPY002
    assert drawn == factors(None)


def test_als_improves_by_epochs() -> None:
    model = ImplicitALS(n_factors=8, n_epochs=5, threshold=4, random_state=0)
    path = [quality(model) for _ in model.epochs(MATRIX)]
    assert path[-1] > path[0]


# --- what is refused ---


@every_ranker
def test_a_threshold_that_no_rating_reaches_is_refused(make: Callable[..., Ranker]) -> None:
    with pytest.raises(DataError, match=r"no rating reaches threshold=6, the highest is 5: lower"):
        make(threshold=6).fit(MATRIX)


@every_ranker
@pytest.mark.parametrize("threshold", [np.nan, np.inf, "4", True])
def test_a_threshold_that_is_no_number_is_refused(make: Callable[..., Ranker], threshold: object) -> None:
    with pytest.raises(ParameterError, match="threshold="):
        make(threshold=threshold).fit(MATRIX)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (EASE(reg=-1), "EASE: reg=-1 must"),
        (EASE(reg=np.nan), "EASE: reg=nan must"),
        (EASE(dtype="float16"), "EASE: dtype='float16' must be one of float64, float32"),
        (ImplicitALS(n_factors=0), "ImplicitALS: n_factors=0 must be a whole number of 1 or more"),
        (ImplicitALS(n_epochs=-1), "ImplicitALS: n_epochs=-1 must"),
        (ImplicitALS(alpha=-0.5), "ImplicitALS: alpha=-0.5 must"),
        (ImplicitALS(reg_all=np.inf), "ImplicitALS: reg_all=inf must"),
        (ImplicitBPR(n_factors=2.5), "ImplicitBPR: n_factors=2.5 must"),
        (ImplicitBPR(lr_all=-1), "ImplicitBPR: lr_all=-1 must"),
        (ImplicitBPR(dtype="int32"), "ImplicitBPR: dtype='int32' must"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(model: Ranker, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        model.fit(MATRIX)


def test_ease_without_an_inverse_says_what_to_raise() -> None:
    same = table([(1, "a", 3), (1, "b", 3), (2, "a", 3), (2, "b", 3)])
    with pytest.raises(DivergedError, match=r"reg=0 have no inverse in float64: raise reg"):
        EASE(reg=0).fit(same)


def test_ease_of_more_items_than_memory_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "physical_memory", lambda: 1000.0)
    with pytest.raises(DataError, match=r"EASE: the weights of 80 items take 0\.0 GB"):
        EASE().fit(MATRIX)


@pytest.mark.parametrize("model", [ImplicitALS(alpha=1e300), ImplicitBPR(lr_all=1e30)])
def test_divergence_names_the_parameters(model: Ranker) -> None:
    with pytest.raises(
        DivergedError, match=rf"{type(model).__name__} diverged in epoch \d+ with .*reg_all=0.01"
    ):
        model.fit(MATRIX)


def test_models_side_by_side_give_the_blas_threads_back() -> None:
    def numbers() -> list[int]:
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    before = numbers()
    alone = ImplicitALS(8, 5, random_state=1).fit(MATRIX).qi.tobytes()
    with ThreadPoolExecutor(4) as pool:
        fits = [pool.submit(ImplicitALS(8, 5, random_state=1).fit, MATRIX) for _ in range(8)]
        assert {fit.result().qi.tobytes() for fit in fits} == {alone}
    with ONE_BLAS_THREAD, ONE_BLAS_THREAD:
        assert set(numbers()) == {1}
    assert numbers() == before
