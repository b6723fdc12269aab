"""Item models with sparse weights, and user k-NN: equality with plain formulas, memory, bad input."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from marquee.algorithms import array_allocation, product_ranker, slim
from marquee.algorithms.ease import EASE
from marquee.algorithms.edlae import EDLAE
from marquee.algorithms.item_knn import ItemKNN
from marquee.algorithms.neighbor_search import NeighborSearch
from marquee.algorithms.product_ranker import ProductRanker
from marquee.algorithms.ranking_base import Ranker
from marquee.algorithms.rp3beta import RP3beta
from marquee.algorithms.slim import SLIM
from marquee.algorithms.user_knn import UserKNN
from marquee.errors import DataError, DivergedError, ParameterError
from marquee.interactions.matrix import InteractionMatrix
from tests.support.rating_samples import sample_ratings

MATRIX = sample_ratings(3, n_users=40, n_items=30, n_ratings=500, allow_repeats=False).matrix
LARGE_CATALOG = sample_ratings(5, n_users=60, n_items=900, n_ratings=400, allow_repeats=False).matrix
MODELS: dict[str, Callable[..., ProductRanker]] = {
    "EASE": partial(EASE, n_weights=9),
    "EDLAE": EDLAE,
    "SLIM": SLIM,
    "item k-NN": partial(ItemKNN, k=9),
    "user k-NN": partial(UserKNN, k=9),
    "RP3beta": partial(RP3beta, k=9),
}
every_model = pytest.mark.parametrize("create", MODELS.values(), ids=MODELS)


def dense_weights(model: Ranker, matrix: InteractionMatrix) -> np.ndarray:
    values = model.build_weighting().weigh(matrix.values, matrix.feedback, matrix.scale)
    dense = np.zeros((matrix.n_users, matrix.n_items))
    dense[np.repeat(np.arange(matrix.n_users), np.diff(matrix.indptr)), matrix.items] = values
    return dense


def dense_matrix(model: ProductRanker) -> np.ndarray:
    """Return B of a fitted model, dense or not."""
    matrix = model.matrix
    return matrix if isinstance(matrix, np.ndarray) else np.asarray(matrix.toarray())


def plain_similarities(rows: np.ndarray, name: str, shrinkage: float) -> np.ndarray:
    """Compute the similarities of all pairs of rows as the docstring of the module defines them."""
    positive = np.maximum(rows, 0)
    idf = np.log(1 + len(rows) / np.maximum((rows != 0).sum(axis=0), 1))
    lengths = positive.sum(axis=1, keepdims=True)
    saturated = positive * 2.2 / (positive + 1.2 * (0.25 + 0.75 * lengths / lengths.mean()))
    values = {"tf_idf": np.sqrt(positive) * idf, "bm25": idf * saturated}.get(name, rows)
    products, squares = values @ values.T, (values**2).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        if name == "jaccard":
            products = products / (squares[:, None] + squares - products)
        elif name != "bm25":
            products = products / np.sqrt(squares[:, None] * squares)
        common = (rows != 0).astype(float) @ (rows != 0).T.astype(float)
        products = products * common / (common + shrinkage)
    np.fill_diagonal(products, 0)
    return np.asarray(np.nan_to_num(np.maximum(products, 0)))


@pytest.mark.parametrize("name", ["cosine", "jaccard", "tf_idf", "bm25"])
@pytest.mark.parametrize("shrinkage", [0, 3.5])
@pytest.mark.parametrize("weights", [{"threshold": 3}, {"weighting": "linear", "neutral": 2}])
@pytest.mark.parametrize("matrix", [MATRIX, LARGE_CATALOG], ids=["dense", "large catalog"])
def test_neighbors_are_those_of_the_plain_formula(
    name: str, shrinkage: float, weights: dict[str, Any], matrix: InteractionMatrix
) -> None:
    model = ItemKNN(k=7, similarity=name, shrinkage=shrinkage, **weights).fit(matrix)
    expected = plain_similarities(dense_weights(model, matrix).T, name, shrinkage)
    neighbors = dense_matrix(model).T  # of each item in a row
    kept = np.sort(neighbors, axis=1)[:, :-8:-1]
    np.testing.assert_allclose(kept, np.sort(expected, axis=1)[:, :-8:-1], rtol=1e-5, atol=1e-7)
    is_kept = neighbors > 0
    np.testing.assert_allclose(neighbors[is_kept], expected[is_kept], rtol=1e-5)


@pytest.mark.parametrize("similarity", ["cosine", "bm25"])
def test_user_knn_adds_what_the_most_similar_users_chose(similarity: str) -> None:
    model = UserKNN(k=5, similarity=similarity, shrinkage=2).fit(MATRIX)
    X = dense_weights(model, MATRIX)
    similarities = plain_similarities(X, similarity, 2)
    kept = np.where(similarities >= np.sort(similarities, axis=1)[:, [-5]] - 1e-9, similarities, 0)
    users = np.flatnonzero((kept > 0).sum(axis=1) <= 5)  # others have a tie of equally similar users
    assert len(users) > 25
    np.testing.assert_allclose(model.score_all_items(users), kept[users] @ X, rtol=1e-5, atol=1e-6)


def test_rp3beta_equals_the_formula() -> None:
    model = RP3beta(alpha=0.7, beta=0.4, k=100, weighting="linear", neutral=2).fit(MATRIX)
    X = np.maximum(dense_weights(model, MATRIX), 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        from_items = np.nan_to_num(X / X.sum(axis=0)) ** 0.7  # X_vj / d_j
        from_users = np.nan_to_num(X / X.sum(axis=1, keepdims=True)) ** 0.7  # X_vi / d_v
        expected = np.nan_to_num(from_items.T @ from_users / X.sum(axis=0) ** 0.4)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(dense_matrix(model), expected, rtol=1e-5)


def test_edlae_equals_the_closed_form() -> None:
    model = EDLAE(reg=7, dropout=0.25, dtype="float64", weighting="linear", neutral=2).fit(MATRIX)
    X = dense_weights(model, MATRIX)
    gram = X.T @ X
    inverse = np.linalg.inv(gram + np.diag(7 + np.diag(gram) / 3))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(model.weights, expected, atol=1e-12)


def test_edlae_without_dropout_is_ease() -> None:
    models = EDLAE(reg=20, dropout=0).fit(MATRIX), EASE(reg=20).fit(MATRIX)
    assert models[0].weights.tobytes() == models[1].weights.tobytes()


@pytest.mark.parametrize("k", [None, 12])
@pytest.mark.parametrize("nonnegative", [True, False])
def test_slim_fulfills_the_conditions_of_the_minimum(k: int | None, nonnegative: bool) -> None:
    l1, l2 = 0.5, 2.0
    model = SLIM(l1, l2, k, nonnegative, tolerance=1e-7, weighting="linear", neutral=2).fit(MATRIX)
    X, B = dense_weights(model, MATRIX), dense_matrix(model).astype(np.float64)
    gradient = X.T @ (X - X @ B) - l2 * B
    assert (B > 0).any()
    assert (B >= 0).all() if nonnegative else k or (B < 0).any()
    np.testing.assert_allclose(gradient[B > 0], l1, atol=1e-4)
    np.testing.assert_allclose(gradient[B < 0], -l1, atol=1e-4)
    assert (np.diag(B) == 0).all()
    candidates = ~np.eye(len(B), dtype=bool)
    if k is not None:
        items = NeighborSearch(model._weigh_matrix(MATRIX, "float64").T.tocsr(), "cosine", 0.0)
        candidates = items.find_neighbors(k).toarray().T > 0
        assert (candidates | (B == 0)).all()
    limits = gradient[(B == 0) & candidates]
    assert (limits if nonnegative else np.abs(limits)).max() <= l1 + 1e-4


def test_slim_without_memory_for_all_products_has_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments: dict[str, Any] = {"k": 12, "weighting": "linear", "neutral": 2}
    expected = SLIM(**arguments).fit(MATRIX)
    monkeypatch.setattr(slim, "MAX_MEMORY_SHARE", 0.0)
    model = SLIM(**arguments).fit(MATRIX)
    assert model.weights.tobytes() == expected.weights.tobytes()
    assert model.weight_items is not None
    assert expected.weight_items is not None
    assert model.weight_items.tolist() == expected.weight_items.tolist()


def test_largest_weights_of_each_row_are_kept() -> None:
    full, kept = EASE(reg=20).fit(MATRIX), EASE(reg=20, n_weights=6).fit(MATRIX)
    sizes = np.abs(full.weights)
    is_large = sizes >= np.sort(sizes, axis=1)[:, [-6]]
    assert dense_matrix(kept).tolist() == np.where(is_large, full.weights, 0).tolist()


def test_served_copy_scores_as_the_stored_scorer(monkeypatch: pytest.MonkeyPatch) -> None:
    model = EASE(reg=20).fit(MATRIX)
    assert model.build_served_copy() is None, "all weights are stored"
    monkeypatch.setattr(product_ranker, "N_ITEM_WEIGHTS", 6)
    served, stored = model.build_served_copy(), model.build_stored_scorer(None)
    assert served is not None
    items, ones = np.array([3, 8], np.int32), np.ones(2)
    expected = stored.score_items(items, ones)
    np.testing.assert_allclose(served.score_histories([0, 2], items, 5 * ones)[0], expected, rtol=1e-6)
    assert isinstance(model.matrix, np.ndarray), "the model itself keeps all weights"


def test_as_many_weights_as_items_give_the_same_scores() -> None:
    full, kept = EASE(reg=20).fit(MATRIX), EASE(reg=20, n_weights=1000).fit(MATRIX)
    users = np.arange(MATRIX.n_users)
    np.testing.assert_allclose(kept.score_all_items(users), full.score_all_items(users), atol=1e-5)


@pytest.mark.parametrize("create", [ItemKNN, UserKNN, RP3beta, SLIM])
def test_k_larger_than_the_catalog_means_all(create: Callable[..., ProductRanker]) -> None:
    limit = max(MATRIX.n_items, MATRIX.n_users)
    scores = [create(k=k).fit(MATRIX).score_all_items([0, 5]).tobytes() for k in (limit, 10**6)]
    assert scores[0] == scores[1]


@every_model
@pytest.mark.parametrize(
    ("items", "values"),
    [([999, -1], [5.0, 5.0]), ([1, 2], [1.0, 1.0]), (list(range(30)) * 334, [5.0] * 10_020), ([], [])],
    ids=["unknown items", "negative weights", "10,020 events", "nothing"],
)
def test_unusual_histories_have_finite_scores(
    create: Callable[..., ProductRanker], items: list[int], values: list[float]
) -> None:
    model = create(weighting="linear", neutral=3).fit(MATRIX)
    scores = model.score_histories([0, len(items)], items, values)
    assert scores.shape == (1, MATRIX.n_items)
    assert np.isfinite(scores).all()
    once = model.score_histories([0, len(set(items))], sorted(set(items)), [5.0] * len(set(items)))
    if len(items) > 1000:
        assert scores.tobytes() == once.tobytes(), "of repeated items, the largest weight counts"


@pytest.mark.parametrize("create", [SLIM, partial(SLIM, k=None), UserKNN])
def test_weights_too_large_for_float32_are_reported(create: Callable[..., ProductRanker]) -> None:
    plays = replace(MATRIX, values=MATRIX.values * 1e38, feedback="implicit")
    with pytest.raises(DivergedError, match="too large for float32; use weighting binary"):
        create(weighting="linear").fit(plays)


@every_model
def test_ratings_without_positives_are_rejected(create: Callable[..., ProductRanker]) -> None:
    dislikes = replace(MATRIX, values=np.full_like(MATRIX.values, 1.0))
    with pytest.raises(DataError, match="no rating counts as a positive with threshold=4"):
        create().fit(dislikes)


@pytest.mark.parametrize("similarity", ["cosine", "jaccard", "tf_idf", "bm25"])
def test_similarities_of_weights_that_overflow_are_finite(similarity: str) -> None:
    values = np.where(MATRIX.values > 4, 1e300, MATRIX.values)
    matrix = replace(MATRIX, values=values, feedback="implicit")
    model = ItemKNN(k=9, similarity=similarity, weighting="linear").fit(matrix)
    assert np.isfinite(model.weights).all()


@pytest.mark.parametrize(
    ("ranker_class", "arguments", "message"),
    [
        (ItemKNN, {"k": 0}, "k must be an integer of at least 1 (got 0)"),
        (
            ItemKNN,
            {"similarity": "pearson"},
            "similarity must be one of cosine, jaccard, tf_idf, bm25 (got 'pea",
        ),
        (UserKNN, {"shrinkage": -1}, "shrinkage must be a finite number of at least 0 (got -1)"),
        (RP3beta, {"alpha": np.nan}, "alpha must be a finite number of at least 0 (got nan)"),
        (SLIM, {"l1_reg": -1}, "l1_reg must be a finite number of at least 0 (got -1)"),
        (SLIM, {"k": 1.5}, "k must be an integer of at least 1 (got 1.5)"),
        (EDLAE, {"dropout": 1}, "dropout must be less than 1 (got 1)"),
        (EASE, {"n_weights": 0}, "n_weights must be an integer of at least 1 (got 0)"),
    ],
)
def test_invalid_argument_is_rejected(
    ranker_class: type[Ranker], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError, match=re.escape(f"{ranker_class.__name__}: {message}")):
        ranker_class(**arguments).fit(MATRIX)


@pytest.mark.parametrize("create", [EASE, EDLAE, partial(SLIM, k=None)])
def test_memory_error_says_what_would_fit(
    create: Callable[..., ProductRanker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(array_allocation, "physical_memory_bytes", lambda: 1000.0)
    message = r"weights of 31 items need 0\.0 GB.*; use item_knn, rp3beta or slim with k=100 \(0\.0 GB\)"
    with pytest.raises(DataError, match=message):
        create().fit(MATRIX)
