"""Fold-in returns the posterior mean of a user's factors, and predicts better than item biases do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.algorithms.registry import find_algorithm
from marquee.interactions.matrix import InteractionMatrix
from marquee.model.factor_scoring import FactorSpace
from marquee.synthetic import SyntheticSpec, generate_dataset


def random_space(rng: np.random.Generator) -> FactorSpace:
    """Return a space of 8 items, 20 users and 3 factors."""
    items = (rng.normal(size=(8, 3)), rng.normal(size=8))
    users = (rng.normal(size=(20, 3)), rng.normal(size=20))
    return FactorSpace.from_parameters(items, users, offset=3.5, noise=0.5)


def test_fold_in_of_one_rating_equals_value_computed_by_hand() -> None:
    # Users at -1 and 1 without bias: mean 0, variance 2. One rating of 4.5 for an item with factor 1 and
    # bias 0.5: residual 4.5 - 3.5 - 0.5 = 0.5, so the factor is 2 / (2 + 0.5) * 0.5 = 0.4.
    space = FactorSpace.from_parameters(
        (np.array([[1.0]]), np.array([0.5])), (np.array([[-1.0], [1.0]]), np.zeros(2)), offset=3.5, noise=0.5
    )
    user = space.fold_in(np.array([0], dtype=np.int32), np.array([4.5]))
    assert user.factors[0] == pytest.approx(0.4, abs=1e-5)
    assert user.bias == pytest.approx(0, abs=1e-5)
    assert space.score_items(user)[0] == pytest.approx(3.5 + 0.5 + 0.4, abs=1e-5)


@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_fold_in_equals_posterior_mean_with_few_and_many_ratings(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    space = random_space(rng)
    items = rng.choice(8, n, replace=False).astype(np.int32)
    ratings = rng.uniform(1, 5, n)
    design = np.column_stack([np.ones(n), space.item_factors[items]])
    precision = np.linalg.inv(space.prior_covariance)
    residuals = ratings - space.offset - space.item_biases[items]
    posterior_mean = np.linalg.solve(
        precision + design.T @ design / space.noise,
        precision @ space.prior_mean + design.T @ residuals / space.noise,
    )
    user = space.fold_in(items, ratings)
    np.testing.assert_allclose([user.bias, *user.factors], posterior_mean, rtol=1e-6, atol=1e-8)


@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_rating_with_precision_2_counts_as_two_ratings(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    space = random_space(rng)
    items, ratings = rng.choice(8, n, replace=False).astype(np.int32), rng.uniform(1, 5, n)
    weighted = space.fold_in(items, ratings, np.full(n, 2.0))
    doubled = space.fold_in(np.tile(items, 2), np.tile(ratings, 2))
    np.testing.assert_allclose(weighted.factors, doubled.factors, rtol=1e-6, atol=1e-8)


def test_score_of_one_item_equals_that_among_all() -> None:
    space = random_space(np.random.default_rng(0))
    user = space.trained_user_factors(4)
    scores = space.score_items(user)
    np.testing.assert_allclose([space.score_item(user, item) for item in range(8)], scores, rtol=1e-5)


def test_prior_of_single_user_has_zero_mean() -> None:
    space = FactorSpace.from_parameters(
        (np.ones((2, 2)), np.zeros(2)), (np.ones((1, 2)), np.zeros(1)), offset=0, noise=0
    )
    assert space.prior_mean.tolist() == [0, 0, 0]
    assert np.isfinite(space.fold_in(np.array([0], dtype=np.int32), np.array([5.0])).factors).all()


def test_unbiased_model_folds_in_without_bias() -> None:
    rng = np.random.default_rng(1)
    users = (np.abs(rng.normal(size=(20, 3))), np.zeros(20))
    items = (np.abs(rng.normal(size=(8, 3))), np.zeros(8))
    space = FactorSpace.from_parameters(items, users, offset=0, noise=0.5)
    assert abs(space.fold_in(np.arange(5, dtype=np.int32), np.full(5, 4.0)).bias) < 1e-3


def test_fold_in_of_ten_ratings_predicts_the_rest_better_than_biases() -> None:
    """Every second user trains the model; the others are folded in."""
    ratings = generate_dataset(SyntheticSpec(n_ratings=30_000), seed=5).ratings
    is_trained = ratings["user"].isin(ratings["user"].unique()[::2])
    matrix = InteractionMatrix.from_frame(ratings[is_trained], (1.0, 5.0))
    space = find_algorithm("svd").create({"n_factors": 20}, 1).fit(matrix).build_factor_space(noise=0.8)
    assert space is not None
    inner_ids = {item: inner_id for inner_id, item in enumerate(matrix.item_ids)}
    squared_errors: list[tuple[float, float]] = []
    for _, rows in ratings[~is_trained].groupby("user", sort=True):
        items = np.array([inner_ids.get(item, -1) for item in rows["item"]], dtype=np.int32)
        values = rows["rating"].to_numpy(np.float64)[items >= 0]
        items = items[items >= 0]
        by_fold_in = space.score_items(space.fold_in(items[:10], values[:10]))[items[10:]]
        by_biases = space.offset + space.item_biases[items[10:]]
        squared_errors += zip((by_fold_in - values[10:]) ** 2, (by_biases - values[10:]) ** 2, strict=True)
    fold_in_rmse, bias_rmse = np.sqrt(np.mean(squared_errors, axis=0))
    assert fold_in_rmse < bias_rmse - 0.02
