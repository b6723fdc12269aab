"""BayesianMF: each draw compared with its formula, the averaged model, and invalid parameters."""

import pickle
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import surprise
from surprise.model_selection import GridSearchCV, KFold, cross_validate

from marquee.algorithms.base import Algorithm
from marquee.algorithms.baseline_only import BaselineOnly
from marquee.algorithms.bayesian import BayesianMF
from marquee.algorithms.gibbs_sampler import PRIOR_ROWS, GibbsSampler, SamplerSide, draw_normal_wishart
from marquee.algorithms.kernels.bayesian import LANES, RATINGS_PER_BATCH, draw_vectors
from marquee.algorithms.low_rank import PosteriorDraw, center_factors, compress_draws
from marquee.algorithms.scoring import encode_pairs, predict_pairs
from marquee.algorithms.side_information import FeatureRegression
from marquee.algorithms.svd import SVD
from marquee.array_types import Float64Array
from marquee.errors import DivergedError, ParameterError
from marquee.interactions.matrix import InteractionMatrix, SparseRows
from marquee.interactions.splitting import split_at_random
from marquee.metrics.prediction import rmse
from marquee.synthetic import SyntheticSpec, generate_dataset
from tests.support.rating_samples import RatingSample, sample_ratings

SMALL: dict[str, Any] = {"n_factors": 4, "n_epochs": 8, "n_warm": 4, "random_state": 1}


@pytest.fixture(scope="module")
def data() -> RatingSample:
    return sample_ratings(2, n_users=40, n_items=30, n_ratings=400, allow_repeats=False)


def assert_close(actual: npt.ArrayLike, expected: npt.ArrayLike, tolerance: float = 1e-4) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=tolerance, atol=tolerance)


# Kernel that draws one vector


@pytest.mark.parametrize("n_factors", [0, 1, 3, LANES - 1, LANES, 21])
@pytest.mark.parametrize("n_ratings", [0, 1, 7, RATINGS_PER_BATCH, RATINGS_PER_BATCH + 9])
@pytest.mark.slow
def test_vector_is_drawn_from_its_normal_distribution(n_factors: int, n_ratings: int) -> None:
    rng = np.random.default_rng(n_factors * 1000 + n_ratings)
    n_dims, alpha = n_factors + 1, 1.3
    other_vectors = rng.standard_normal((500, n_dims)).astype(np.float32)
    others = rng.choice(500, n_ratings, replace=False).astype(np.int32)
    residuals = rng.standard_normal(n_ratings).astype(np.float32)
    linear, white = rng.standard_normal((2, 1, n_dims)).astype(np.float32)
    prior = np.diag(rng.uniform(1, 2, n_dims)).astype(np.float32)
    mean, vector = np.empty((2, 1, n_dims), np.float32)
    errors = np.empty(1, np.float32)
    draw_vectors(
        np.array([0, n_ratings]), others, residuals, other_vectors, prior, linear, np.float32(alpha), white,
        mean, vector, errors, 0, 1,
    )  # fmt: skip

    X = np.column_stack([np.ones(n_ratings), other_vectors[others, 1:]]).astype(np.float64)
    y = residuals - other_vectors[others, 0].astype(np.float64)
    A = prior + alpha * X.T @ X
    expected = np.linalg.solve(A, linear[0] + alpha * X.T @ y)
    assert_close(mean[0], expected)
    deviation = np.linalg.solve(np.linalg.cholesky(A).T, white[0])  # has covariance A^-1
    assert_close(vector[0] - mean[0], deviation)
    assert_close(errors[0], np.square(y - X @ vector[0]).sum())


def test_draw_with_one_rating_matches_hand_computation() -> None:
    # A bias only: precision 1 + 2 * 1 = 3, mean (0.5 + 2 * (1 - 0.25)) / 3 = 2/3, draw 2/3 + 3/sqrt(3).
    mean, vector, errors = np.empty((1, 1), np.float32), np.empty((1, 1), np.float32), np.empty(1, np.float32)
    other_vectors, precision, linear, white = (
        np.full((1, 1), value, np.float32) for value in (0.25, 1.0, 0.5, 3.0)
    )
    draw_vectors(
        np.array([0, 1]), np.zeros(1, np.int32), np.ones(1, np.float32), other_vectors, precision, linear,
        np.float32(2), white, mean, vector, errors, 0, 1,
    )  # fmt: skip
    assert mean[0, 0] == pytest.approx(2 / 3)
    assert vector[0, 0] == pytest.approx(2 / 3 + 3**0.5)
    assert errors[0] == pytest.approx((0.75 - 2 / 3 - 3**0.5) ** 2, rel=1e-5)


# Hyperparameters


def test_precision_and_mean_have_the_moments_of_their_normal_wishart() -> None:
    rng = np.random.default_rng(0)
    rows = rng.multivariate_normal([1.0, -1.0], [[0.5, 0.2], [0.2, 0.3]], 50).astype(np.float32)
    scatter, weight = np.array([[2.0, 0.5], [0.5, 1.0]]), 10
    draws = [draw_normal_wishart(rows, scatter, weight, rng) for _ in range(4000)]
    center = rows.mean(axis=0)
    row_scatter = (rows - center).T @ (rows - center)
    inverse = (
        np.eye(2) + row_scatter + np.outer(center, center) * PRIOR_ROWS * 50 / (PRIOR_ROWS + 50) + scatter
    )
    mean = center * 50 / (PRIOR_ROWS + 50)
    assert_close(np.mean([m for m, _ in draws], axis=0), mean, 0.01)
    assert_close(np.mean([L for _, L in draws], axis=0) @ inverse / (2 + 50 + weight), np.eye(2), 0.02)
    # Given L, m is normal: the mean of its squared Mahalanobis distance is the number of dimensions.
    distances = [(PRIOR_ROWS + 50) * (m - mean) @ L @ (m - mean) for m, L in draws]
    assert np.mean(distances) == pytest.approx(2, rel=0.06)


# Regression on features


def make_regression(
    n_rows: int, n_features: int, reg: float, max_factorized_rows: int = 10**6
) -> tuple[FeatureRegression, Float64Array]:
    """Return a regression on random features, and its matrix X."""
    rng = np.random.default_rng(n_rows)
    dense = rng.random((n_rows, n_features)) < 0.3
    dense[:, 0], dense[0, :] = True, True
    rows, features = (array.astype(np.int32) for array in np.nonzero(dense))
    ones = np.ones(len(rows))
    sides = (
        SparseRows.from_triplets(rows, features, ones, n_rows),
        SparseRows.from_triplets(features, rows, ones, n_features),
    )
    X = dense / np.sqrt(dense.sum(axis=1, keepdims=True))
    return FeatureRegression(*sides, reg, max_factorized_rows), X


@pytest.mark.parametrize(("n_rows", "n_features"), [(12, 5), (5, 12)])
@pytest.mark.parametrize("max_factorized_rows", [10**6, 0])
@pytest.mark.slow
def test_regression_is_drawn_from_its_posterior(
    n_rows: int, n_features: int, max_factorized_rows: int
) -> None:
    reg, rng = 0.7, np.random.default_rng(3)
    regression, X = make_regression(n_rows, n_features, reg, max_factorized_rows)
    T = rng.standard_normal((n_rows, 2)).astype(np.float32)
    root = np.array([[0.5, 0.0], [0.3, 0.8]], np.float32)
    draws = [regression.draw_prior_means(T, root, rng) for _ in range(6000)]
    # The covariance of B is the Kronecker product of this inverse and root'root.
    inverse = np.linalg.inv(X.T @ X + reg * np.eye(n_features))
    assert_close(np.mean([M for M, _ in draws], axis=0), X @ inverse @ X.T @ T, 0.03)
    covariance = root.T @ root
    variance = np.var([M for M, _ in draws], axis=0)
    assert_close(variance, np.outer(np.diag(X @ inverse @ X.T), np.diag(covariance)), 0.05)
    B = inverse @ X.T @ T
    expected = reg * (B.T @ B + np.trace(inverse) * covariance)
    assert_close(np.mean([scatter for _, scatter in draws], axis=0), expected, 0.05)


def test_conjugate_gradients_agree_with_factorization() -> None:
    root = np.eye(3, dtype=np.float32)
    T = np.random.default_rng(0).standard_normal((30, 3)).astype(np.float32)
    factorized, iterative = (
        make_regression(30, 20, 1.0, max_factorized_rows)[0].draw_prior_means(
            T, root, np.random.default_rng(1)
        )[0]
        for max_factorized_rows in (10**6, 0)
    )
    np.testing.assert_allclose(factorized, iterative, atol=5e-3)


def test_singular_regression_error_says_to_raise_regularization() -> None:
    identical_rows = SparseRows.from_triplets(
        np.array([0, 0, 1, 1], np.int32), np.array([0, 1, 0, 1], np.int32), np.ones(4), 2
    )
    with pytest.raises(DivergedError, match="raise reg_user and reg_item"):
        FeatureRegression(identical_rows, identical_rows, 0.0)


# Average of draws


def test_centering_keeps_predictions_and_removes_means() -> None:
    rng = np.random.default_rng(0)
    users, items = (rng.standard_normal((n, 4)).astype(np.float32) + 1 for n in (7, 5))
    weights = [np.full(7, 1 / 7), np.arange(1, 6) / 15]
    draw = center_factors(users, items, *weights)
    before = users[:, :1] + items[:, 0] + users[:, 1:] @ items[:, 1:].T
    assert_close(draw.bu[:, None] + draw.bi + draw.pu @ draw.qi.T, before)
    assert_close(weights[0] @ draw.pu, 0)
    assert_close(weights[1] @ draw.qi, 0)
    assert_close(weights[0] @ draw.bu, 0)


def test_compressed_model_is_the_best_approximation_of_its_rank() -> None:
    rng = np.random.default_rng(0)
    decay = np.float32(0.6) ** np.arange(12, dtype=np.float32)
    draws = [
        PosteriorDraw(
            np.zeros(60, np.float32),
            np.zeros(50, np.float32),
            rng.standard_normal((60, 12)).astype(np.float32) * decay,
            rng.standard_normal((50, 12)).astype(np.float32),
        )
        for _ in range(5)
    ]
    average = np.mean([draw.pu @ draw.qi.T for draw in draws], axis=0)
    singular_values = np.linalg.svd(average, compute_uv=False)
    for rank in (1, 5, 20):
        P, Q = compress_draws(draws, rank)
        assert (P.shape, Q.shape) == ((60, rank), (50, rank))
        residual_norm = np.linalg.norm(average - P @ Q.T)
        assert residual_norm == pytest.approx(np.sqrt(np.square(singular_values[rank:]).sum()), rel=0.02)
    exact = compress_draws(draws, 60)
    assert_close(exact[0] @ exact[1].T, average)


# Model


def test_model_is_more_accurate_than_svd_and_biases() -> None:
    ratings = generate_dataset(SyntheticSpec(n_ratings=40_000), seed=5).ratings
    fold = split_at_random(len(ratings), 0.2, seed=0)
    matrix = InteractionMatrix.from_frame(ratings.iloc[fold.train])
    pairs = encode_pairs(ratings.iloc[fold.test], matrix)

    def rmse_on_test_set(algorithm: Algorithm) -> float:
        predictions = predict_pairs(algorithm.fit(matrix), pairs)
        return rmse(predictions.actual, predictions.estimated)

    bayesian = rmse_on_test_set(BayesianMF(n_factors=16, n_epochs=40, random_state=0))
    tuned_svd = rmse_on_test_set(SVD(n_factors=50, n_epochs=20, lr_all=0.01, reg_all=0.06, random_state=0))
    assert bayesian < tuned_svd - 0.01
    assert bayesian < rmse_on_test_set(BaselineOnly(verbose=False)) - 0.03


def test_sampler_learns_the_noise_of_the_ratings() -> None:
    """The mean squared error of the chain is close to the variance of the planted noise, 0.5 ** 2."""
    rng = np.random.default_rng(0)
    n, k, noise = 200, 2, 0.5
    P, Q = rng.standard_normal((2, n, k))
    users, items = (cells.astype(np.int32) for cells in np.nonzero(rng.random((n, n)) < 0.5))
    values = np.einsum("nk,nk->n", P[users], Q[items]) + noise * rng.standard_normal(len(users))
    by_user, by_item = (
        SparseRows.from_triplets(users, items, values, n),
        SparseRows.from_triplets(items, users, values, n),
    )
    users_side, items_side = (
        SamplerSide(
            one, one.values.astype(np.float32), FeatureRegression(one, other, 1.0),
            rng.standard_normal((n, 1 + k)).astype(np.float32),
        )
        for one, other in ((by_user, by_item), (by_item, by_user))
    )  # fmt: skip
    sampler = GibbsSampler(users_side, items_side, error=float(values @ values), n_ratings=len(values))
    errors = [sampler.sweep(rng) / len(values) for _ in range(60)]
    assert np.mean(errors[30:]) == pytest.approx(noise**2, rel=0.03)


def test_unknown_user_gets_mean_and_item_bias(data: RatingSample) -> None:
    model = BayesianMF(**SMALL).fit(data.matrix)
    item = data.matrix.item_ids[0]
    estimate = model.predict("nobody", item, clip=False).est
    assert estimate == pytest.approx(model.trainset.global_mean + model.bi[0])
    assert model.predict("nobody", "nothing").est == pytest.approx(model.trainset.global_mean)


@pytest.mark.parametrize(("n_factors", "n_epochs"), [(0, 5), (3, 0), (0, 0), (3, 1)])
def test_zero_factors_and_zero_epochs_are_allowed(n_factors: int, n_epochs: int, data: RatingSample) -> None:
    model = BayesianMF(**SMALL | {"n_factors": n_factors, "n_epochs": n_epochs}).fit(data.matrix)
    assert model.pu.shape == (data.matrix.n_users, n_factors)
    assert all(np.isfinite(p.est) for p in model.test(data.testset))


def test_rank_is_the_number_of_factors_of_the_averaged_model(data: RatingSample) -> None:
    model = BayesianMF(**SMALL | {"rank": 5}).fit(data.matrix)
    assert model.pu.shape == (data.matrix.n_users, 5)
    assert model.qi.shape == (data.matrix.n_items, 5)


@pytest.mark.parametrize("rating", [3.0, 0.0])
def test_constant_ratings_are_predicted(rating: float) -> None:
    frame = pd.DataFrame({"user": list("aabbc"), "item": list("xyxzz"), "rating": rating})
    model = BayesianMF(**SMALL).fit(InteractionMatrix.from_frame(frame, (0.0, 5.0)))
    for prediction in model.test([("a", "z", rating), ("c", "x", rating), ("new", "new", rating)]):
        # The tolerance covers the noise of the few draws; constant ratings are not scaled.
        assert prediction.est == pytest.approx(rating, abs=0.75)


def test_burn_in_sweeps_are_excluded_from_the_average(data: RatingSample) -> None:
    n_averaged = []
    for n_burn in (0, 3, 100):
        model = BayesianMF(**SMALL | {"n_burn": n_burn})
        for _ in model.fit_by_epoch(data.matrix):
            last = len(model._draws or ())
        n_averaged.append(last)
    assert n_averaged == [8, 5, 4]  # burn-in is at most the first half of the epochs


def test_abandoned_training_leaves_the_model_of_its_last_epoch(data: RatingSample) -> None:
    abandoned = BayesianMF(**SMALL)
    for epoch in abandoned.fit_by_epoch(data.matrix):
        assert epoch.train_rmse is not None
        if epoch.number == 3:
            break
    shorter = BayesianMF(**SMALL | {"n_epochs": 3}).fit(data.matrix)
    assert abandoned.test(data.testset) == shorter.test(data.testset)


def test_pickle_between_epochs_predicts_the_same(data: RatingSample) -> None:
    model = BayesianMF(**SMALL)
    epochs = model.fit_by_epoch(data.matrix)
    for _ in range(4):
        next(epochs)
    loaded = pickle.loads(pickle.dumps(model))
    assert loaded.test(data.testset) == model.test(data.testset)
    assert loaded._draws is None


def test_surprise_tools_accept_bayesian_mf(data: RatingSample) -> None:
    dataset = surprise.Dataset.load_from_df(data.frame, surprise.Reader(rating_scale=data.matrix.scale))
    scores = cross_validate(BayesianMF(**SMALL), dataset, cv=KFold(2, random_state=0), verbose=False)
    assert len(scores["test_rmse"]) == 2
    grid = {"n_factors": [2, 3], "n_epochs": [2], "n_warm": [2], "random_state": [0]}
    search = GridSearchCV(BayesianMF, grid, cv=2, measures=["rmse"])
    search.fit(dataset)
    assert search.best_params["rmse"]["n_factors"] in {2, 3}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_factors", -1),
        ("n_factors", 2.5),
        ("n_epochs", -1),
        ("n_burn", -2),
        ("n_warm", "ten"),
        ("rank", 0),
        ("reg_user", 0),
        ("reg_item", -1.0),
        ("reg_item", float("nan")),
        ("lr_warm", -0.1),
        ("reg_warm", float("inf")),
        ("init_std_dev", -1),
        ("dtype", "float16"),
    ],
)
def test_invalid_parameter_is_rejected(name: str, value: object, data: RatingSample) -> None:
    message = rf"BayesianMF: {name} must be .*\(got {re.escape(repr(value))}\)"
    with pytest.raises(ParameterError, match=message):
        BayesianMF(**SMALL | {name: value}).fit(data.matrix)


def test_divergence_error_of_warm_start_names_the_parameters(data: RatingSample) -> None:
    with pytest.raises(DivergedError, match=r"BayesianMF diverged in epoch 0 with lr_warm=50"):
        BayesianMF(**SMALL | {"lr_warm": 50.0}).fit(data.matrix)
