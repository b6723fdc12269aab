"""Top-N lists from tiles and heaps equal those of `recommend_top_n`: the same items, scores and ties."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import surprise
from hypothesis import given, settings
from hypothesis import strategies as st

from marquee.algorithms import top_n_retrieval
from marquee.algorithms.registry import find_algorithm
from marquee.algorithms.scoring import build_block_scorer
from marquee.algorithms.threads import limit_threads
from marquee.algorithms.top_n_retrieval import (
    recommend_from_algorithm,
    recommend_from_factors,
    recommend_from_scorer,
)
from marquee.array_types import Int32Array, Int64Array
from marquee.errors import DivergedError
from marquee.top_n import PADDING, recommend_top_n
from tests.support.rating_samples import RatingSample, rating_samples, sample_ratings


def draw_seen_items(rng: np.random.Generator, n_users: int, n_items: int) -> tuple[Int64Array, Int32Array]:
    """Draw seen items of each user, any number of them; return `indptr` and items."""
    seen = [rng.permutation(n_items)[: rng.integers(0, n_items + 1)] for _ in range(n_users)]
    return np.cumsum([0, *map(len, seen)]), np.concatenate(seen).astype(np.int32)


@given(st.data())
def test_lists_of_tied_scores_equal_recommend_top_n(data: st.DataObject) -> None:
    n_users, n_items = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 14))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    table = rng.integers(0, 4, (n_users, n_items)).astype(float)
    seen = draw_seen_items(rng, n_users, n_items)
    n = data.draw(st.integers(1, 16))
    items, scores = recommend_from_scorer(lambda users: table[users], *seen, n_items, n)
    expected_items, expected_scores = recommend_top_n(lambda users: table[users], *seen, n_items, n)
    np.testing.assert_array_equal(items, expected_items)
    np.testing.assert_array_equal(scores, expected_scores)


@pytest.mark.parametrize("tile", [1, 3, 5, 1000])
def test_tile_size_does_not_change_lists(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top_n_retrieval, "ITEMS_PER_TILE", tile)
    monkeypatch.setattr(top_n_retrieval, "USERS_PER_BLOCK", 2)
    rng = np.random.default_rng(3)
    users, items = rng.integers(-2, 3, (7, 2)).astype(float), rng.integers(-2, 3, (11, 2)).astype(float)
    user_terms, item_terms = rng.integers(0, 3, 7).astype(float), rng.integers(0, 3, 11).astype(float)
    seen = draw_seen_items(rng, 7, 11)
    table = users @ items.T + (user_terms[:, None] + item_terms)
    lists = recommend_from_factors((users, user_terms), (items, item_terms), *seen, 4)
    expected_lists = recommend_top_n(lambda block: table[block], *seen, 11, 4)
    for actual, expected in zip(lists, expected_lists, strict=True):
        np.testing.assert_array_equal(actual, expected)


@settings(max_examples=20, deadline=None)
@given(data=rating_samples(), name=st.sampled_from(["svd", "pmf"]))
def test_lists_of_factor_model_equal_those_computed_from_its_scores(data: RatingSample, name: str) -> None:
    matrix = data.matrix
    algorithm = find_algorithm(name).create({"n_factors": 3, "n_epochs": 3}, 1).fit(matrix)
    items, scores = recommend_from_algorithm(algorithm, matrix.indptr, matrix.items, 5)
    expected_items, expected_scores = recommend_top_n(
        build_block_scorer(algorithm), matrix.indptr, matrix.items, matrix.n_items, 5
    )
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-6)
    gaps = np.diff(np.nan_to_num(expected_scores, nan=-9.0), axis=1)
    if (np.abs(gaps) > 1e-5).all():  # otherwise rounding may decide the order
        np.testing.assert_array_equal(items, expected_items)


@pytest.mark.parametrize("score", [np.nan, np.inf])
def test_scorer_may_exclude_items_but_its_scores_must_be_ordered(score: float) -> None:
    nothing_seen = np.zeros(2, np.int64), np.zeros(0, np.int32)
    items, _ = recommend_from_scorer(lambda _: np.array([[1.0, -np.inf, 3.0]]), *nothing_seen, 3, 3)
    assert items.tolist() == [[2, 0, PADDING]]
    with pytest.raises(DivergedError, match="scores must be finite"):
        recommend_from_scorer(lambda _: np.array([[1.0, score, 3.0]]), *nothing_seen, 3, 3)


@settings(max_examples=30, deadline=None)
@given(data=rating_samples(), dtype=st.sampled_from(["float32", "float64"]))
def test_lists_of_item_weights_equal_those_computed_from_their_scores(data: RatingSample, dtype: str) -> None:
    matrix = data.matrix
    algorithm = find_algorithm("ease").create({"dtype": dtype, "reg": 5.0, "threshold": 0.0}, 1)
    algorithm.fit(matrix)
    lists = recommend_from_algorithm(algorithm, matrix.indptr, matrix.items, 5)
    expected_lists = recommend_top_n(
        build_block_scorer(algorithm), matrix.indptr, matrix.items, matrix.n_items, 5
    )
    for actual, expected in zip(lists, expected_lists, strict=True):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize(("block", "chunk", "tile"), [(1, 1, 1), (2, 5, 3), (7, 100, 64), (3, 20, 1000)])
def test_block_sizes_do_not_change_lists_of_item_weights(
    block: int, chunk: int, tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = sample_ratings(7, n_users=40, n_items=90, n_ratings=600, allow_repeats=False).matrix
    algorithm = find_algorithm("ease").create({"reg": 5.0}, 1).fit(matrix)
    expected = recommend_from_algorithm(algorithm, matrix.indptr, matrix.items, 6)
    monkeypatch.setattr(top_n_retrieval, "ROWS_PER_BLOCK", block)
    monkeypatch.setattr(top_n_retrieval, "ROWS_PER_CHUNK", chunk)
    monkeypatch.setattr(top_n_retrieval, "ITEMS_PER_TILE", tile)
    lists = recommend_from_algorithm(algorithm, matrix.indptr, matrix.items, 6)
    for actual, wanted in zip(lists, expected, strict=True):
        np.testing.assert_array_equal(actual, wanted)


@pytest.mark.parametrize("name", ["svd", "ease", "popularity", "knn_basic", "implicit_als"])
def test_lists_of_some_users_are_those_of_all_users(name: str) -> None:
    matrix = sample_ratings(7, n_users=40, n_items=30, n_ratings=400, allow_repeats=False).matrix
    algorithm = find_algorithm(name).create({}, 1).fit(matrix)
    users = np.array([31, 0, 7, 8], dtype=np.int32)
    lists = recommend_from_algorithm(algorithm, matrix.indptr, matrix.items, 6, users=users)
    all_lists = recommend_from_algorithm(algorithm, matrix.indptr, matrix.items, 6)
    for actual, expected in zip(lists, all_lists, strict=True):
        np.testing.assert_array_equal(actual, expected[users])


@pytest.mark.parametrize("name", ["svd", "ease", "bayesian_mf"])
def test_model_with_scores_that_are_not_finite_gives_no_lists(name: str) -> None:
    matrix = sample_ratings(7, n_users=40, n_items=30, n_ratings=400).matrix
    algorithm: Any = find_algorithm(name).create({}, 1).fit(matrix)
    parameters = algorithm.weights if name == "ease" else algorithm.qi
    parameters[3, 1] = np.nan
    with pytest.raises(DivergedError, match="scores must be finite"):
        recommend_from_algorithm(algorithm, matrix.indptr, matrix.items, 6)


@pytest.mark.parametrize("name", ["svdpp", "nmf", "bayesian_mf", "slope_one", "knn_with_means", "popularity"])
def test_lists_of_any_algorithm_equal_those_computed_from_its_scores(name: str) -> None:
    matrix = sample_ratings(7, n_users=40, n_items=30, n_ratings=400, allow_repeats=False).matrix
    algorithm = find_algorithm(name).create({}, 1).fit(matrix)
    items, _ = recommend_from_algorithm(algorithm, matrix.indptr, matrix.items, 6)
    scorer = build_block_scorer(algorithm)
    expected, _ = recommend_top_n(scorer, matrix.indptr, matrix.items, matrix.n_items, 6)
    np.testing.assert_array_equal(items, expected)


def test_lists_of_surprise_algorithm_equal_those_of_its_twin() -> None:
    data = sample_ratings(7, n_users=10, n_items=8, n_ratings=40)
    matrix = data.matrix
    expected, _ = recommend_from_algorithm(
        surprise.SlopeOne().fit(data.trainset), matrix.indptr, matrix.items, 3
    )
    algorithm = find_algorithm("slope_one").create({}, 1).fit(matrix)
    items, _ = recommend_from_algorithm(algorithm, matrix.indptr, matrix.items, 3)
    np.testing.assert_array_equal(items, expected)


@pytest.mark.parametrize("name", ["svd", "ease", "popularity"])
def test_thread_count_does_not_change_lists(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top_n_retrieval, "ROWS_PER_BLOCK", 128)
    matrix = sample_ratings(7, n_users=700, n_items=50, n_ratings=5000).matrix
    algorithm = find_algorithm(name).create({}, 1).fit(matrix)
    results = []
    for n_threads in (1, 2):
        with limit_threads(n_threads):
            results.append(recommend_from_algorithm(algorithm, matrix.indptr, matrix.items, 10))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_lists_can_be_written_to_memory_mapped_files(tmp_path: Path) -> None:
    matrix = sample_ratings(7, n_users=20, n_items=15, n_ratings=100).matrix
    algorithm = find_algorithm("svd").create({"n_factors": 3}, 1).fit(matrix)
    shape = (matrix.n_users, 4)
    out = (
        np.lib.format.open_memmap(tmp_path / "items.npy", "w+", np.int32, shape),
        np.lib.format.open_memmap(tmp_path / "scores.npy", "w+", np.float32, shape),
    )
    recommend_from_algorithm(algorithm, matrix.indptr, matrix.items, 4, out)
    for array in out:
        array.flush()
    items, scores = recommend_from_algorithm(algorithm, matrix.indptr, matrix.items, 4)
    np.testing.assert_array_equal(np.load(tmp_path / "items.npy"), items)
    np.testing.assert_array_equal(np.load(tmp_path / "scores.npy"), scores)
