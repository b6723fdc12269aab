"""The fast lists are the plain ones: the same items, the same scores, the same way with ties."""

from pathlib import Path

import numpy as np
import pytest
import surprise
from hypothesis import given, settings
from hypothesis import strategies as st

from marquee.algorithms import retrieval
from marquee.algorithms.registry import candidate
from marquee.algorithms.retrieval import best_lists, block_lists, factor_lists
from marquee.algorithms.scoring import score_all
from marquee.algorithms.threads import threads
from marquee.top_n import top_n
from tests.support.sampled_data import Drawn, drawn, rating_sets


@given(st.data())
def test_lists_of_tied_scores_are_those_of_the_plain_way(data: st.DataObject) -> None:
    n_users, n_items = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 14))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    table = rng.integers(0, 4, (n_users, n_items)).astype(float)
    seen = [rng.permutation(n_items)[: rng.integers(0, n_items + 1)] for _ in range(n_users)]
    index = np.cumsum([0, *map(len, seen)]), np.concatenate(seen).astype(np.int32)
    n = data.draw(st.integers(1, 16))
    items, scores = block_lists(lambda users: table[users], *index, n_items, n)
    plain_items, plain_scores = top_n(lambda users: table[users], *index, n_items, n)
    np.testing.assert_array_equal(items, plain_items)
    np.testing.assert_array_equal(scores, plain_scores)


@pytest.mark.parametrize("tile", [1, 3, 5, 1000])
def test_tiles_of_any_size_give_the_same_lists(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "ITEMS", tile)
    monkeypatch.setattr(retrieval, "USERS", 2)
    rng = np.random.default_rng(3)
    users, items = rng.integers(-2, 3, (7, 2)).astype(float), rng.integers(-2, 3, (11, 2)).astype(float)
    user_terms, item_terms = rng.integers(0, 3, 7).astype(float), rng.integers(0, 3, 11).astype(float)
    seen = [rng.permutation(11)[: rng.integers(0, 11)] for _ in range(7)]
    index = np.cumsum([0, *map(len, seen)]), np.concatenate(seen).astype(np.int32)
    table = users @ items.T + (user_terms[:, None] + item_terms)
    found = factor_lists((users, user_terms), (items, item_terms), *index, 4)
    for ours, plain in zip(found, top_n(lambda block: table[block], *index, 11, 4), strict=True):
        np.testing.assert_array_equal(ours, plain)


@settings(max_examples=20, deadline=None)
@given(rating_sets())
def test_lists_of_a_factor_model_are_those_of_its_scores(data: Drawn) -> None:
    matrix = data.matrix
    for name in ("svd", "pmf"):
        algorithm = candidate(name).make({"n_factors": 3, "n_epochs": 3}, 1).fit(matrix)
        items, scores = best_lists(algorithm, matrix.indptr, matrix.items, 5)
        plain_items, plain_scores = top_n(
            score_all(algorithm), matrix.indptr, matrix.items, matrix.n_items, 5
        )
        np.testing.assert_allclose(scores, plain_scores, rtol=1e-6)
        gaps = np.diff(np.nan_to_num(plain_scores, nan=-9.0), axis=1)
        if (np.abs(gaps) > 1e-5).all():  # where no two are so near that the last bit may order them
            np.testing.assert_array_equal(items, plain_items)


@pytest.mark.parametrize("name", ["svdpp", "nmf", "bayesian_mf", "slope_one", "knn_with_means", "popularity"])
def test_lists_of_any_algorithm_are_those_of_its_scores(name: str) -> None:
    matrix = drawn(7, n_users=40, n_items=30, n_ratings=400, twice=False).matrix
    algorithm = candidate(name).make({}, 1).fit(matrix)
    items, _ = best_lists(algorithm, matrix.indptr, matrix.items, 6)
    plain, _ = top_n(score_all(algorithm), matrix.indptr, matrix.items, matrix.n_items, 6)
    np.testing.assert_array_equal(items, plain)


def test_an_algorithm_of_which_only_estimate_is_known_has_lists_too() -> None:
    data = drawn(7, n_users=10, n_items=8, n_ratings=40)
    matrix = data.matrix
    items, _ = best_lists(surprise.SlopeOne().fit(data.trainset), matrix.indptr, matrix.items, 3)
    ours = candidate("slope_one").make({}, 1).fit(matrix)
    np.testing.assert_array_equal(items, best_lists(ours, matrix.indptr, matrix.items, 3)[0])


def test_lists_do_not_depend_on_the_number_of_threads() -> None:
    matrix = drawn(7, n_users=700, n_items=50, n_ratings=5000).matrix
    algorithm = candidate("svd").make({"n_factors": 8}, 1).fit(matrix)
    with threads(1):
        one = best_lists(algorithm, matrix.indptr, matrix.items, 10)
    with threads(2):
        two = best_lists(algorithm, matrix.indptr, matrix.items, 10)
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])


def test_lists_are_written_where_one_says(tmp_path: Path) -> None:
    matrix = drawn(7, n_users=20, n_items=15, n_ratings=100).matrix
    algorithm = candidate("svd").make({"n_factors": 3}, 1).fit(matrix)
    shape = (matrix.n_users, 4)
    out = (
        np.lib.format.open_memmap(tmp_path / "items.npy", "w+", np.int32, shape),
        np.lib.format.open_memmap(tmp_path / "scores.npy", "w+", np.float32, shape),
    )
    best_lists(algorithm, matrix.indptr, matrix.items, 4, out)
    out[0].flush()
    items, _ = best_lists(algorithm, matrix.indptr, matrix.items, 4)
    np.testing.assert_array_equal(np.load(tmp_path / "items.npy"), items)
