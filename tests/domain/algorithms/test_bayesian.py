"""Bayesian matrix factorisation: each draw against its formula, the average, and what it refuses."""

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from surprise.model_selection import GridSearchCV, KFold, cross_validate

from marquee.algorithms.baseline_only import BaselineOnly
from marquee.algorithms.bayesian import BayesianMF
from marquee.algorithms.gibbs import SHRINK, Sampler, Side, normal_wishart
from marquee.algorithms.kernels.bayesian import LANES, TOGETHER, draw_rows
from marquee.algorithms.low_rank import Draw, centred, compact
from marquee.algorithms.scoring import encode_pairs, predict_pairs
from marquee.algorithms.side_information import Link
from marquee.algorithms.svd import SVD
from marquee.errors import DivergedError, ParameterError
from marquee.interactions.matrix import InteractionMatrix, SparseRows
from marquee.interactions.splitting import split_at_random
from marquee.metrics.prediction import rmse
from marquee.synthetic import SyntheticSpec, generate
from tests.support.rating_samples import RatingSample, sample_ratings

SMALL: dict[str, Any] = {"n_factors": 4, "n_epochs": 8, "n_warm": 4, "random_state": 1}


@pytest.fixture(scope="module")
def data() -> RatingSample:
    return sample_ratings(2, n_users=40, n_items=30, n_ratings=400, allow_repeats=False)


def close(a: object, b: object, rtol: float = 1e-4) -> None:
    np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


# One vector: what the kernel draws is what the formula says.


@pytest.mark.parametrize("n_factors", [0, 1, 3, LANES - 1, LANES, 21])
@pytest.mark.parametrize("n_ratings", [0, 1, 7, TOGETHER, TOGETHER + 9])
@pytest.mark.slow
def test_a_vector_is_drawn_from_its_normal(n_factors: int, n_ratings: int) -> None:
    rng = np.random.default_rng(n_factors * 1000 + n_ratings)
    n_dims, alpha = n_factors + 1, 1.3
    theirs = rng.standard_normal((500, n_dims)).astype(np.float32)
    others = rng.choice(500, n_ratings, replace=False).astype(np.int32)
    residuals = rng.standard_normal(n_ratings).astype(np.float32)
    linear, white = rng.standard_normal((2, 1, n_dims)).astype(np.float32)
    prior = np.diag(rng.uniform(1, 2, n_dims)).astype(np.float32)
    mean, vector = np.empty((2, 1, n_dims), np.float32)
    errors = np.empty(1, np.float32)
    draw_rows(
        np.array([0, n_ratings]), others, residuals, theirs, prior, linear, np.float32(alpha), white,
        mean, vector, errors, 0, 1,
    )  # fmt: skip

    X = np.column_stack([np.ones(n_ratings), theirs[others, 1:]]).astype(np.float64)
    y = residuals - theirs[others, 0].astype(np.float64)
    A = prior + alpha * X.T @ X
    expected = np.linalg.solve(A, linear[0] + alpha * X.T @ y)
    close(mean[0], expected)
    close(vector[0] - mean[0], np.linalg.solve(np.linalg.cholesky(A).T, white[0]))  # covariance A^-1
    close(errors[0], np.square(y - X @ vector[0]).sum())


def test_a_worked_case_of_one_rating() -> None:
    # Only a bias: precision 1 + 2 * 1 = 3, mean (0.5 + 2 * (1 - 0.25)) / 3 = 2/3, draw 2/3 + 3/sqrt 3.
    mean, vector, errors = np.empty((1, 1), np.float32), np.empty((1, 1), np.float32), np.empty(1, np.float32)
    single = [np.full((1, 1), value, np.float32) for value in (0.25, 1.0, 0.5, 3.0)]
    theirs, precision, linear, white = single
    draw_rows(
        np.array([0, 1]), np.zeros(1, np.int32), np.ones(1, np.float32), theirs, precision, linear,
        np.float32(2), white, mean, vector, errors, 0, 1,
    )  # fmt: skip
    assert mean[0, 0] == pytest.approx(2 / 3)
    assert vector[0, 0] == pytest.approx(2 / 3 + 3**0.5)
    assert errors[0] == pytest.approx((0.75 - 2 / 3 - 3**0.5) ** 2, rel=1e-5)


# The hyperparameters: moments of many draws.


def test_precision_and_mean_have_the_moments_of_the_normal_wishart() -> None:
    rng = np.random.default_rng(0)
    rows = rng.multivariate_normal([1.0, -1.0], [[0.5, 0.2], [0.2, 0.3]], 50).astype(np.float32)
    scatter, weight = np.array([[2.0, 0.5], [0.5, 1.0]]), 10
    draws = [normal_wishart(rows, scatter, weight, rng) for _ in range(4000)]
    centre = rows.mean(axis=0)
    spread = (rows - centre).T @ (rows - centre)
    inverse = np.eye(2) + spread + np.outer(centre, centre) * SHRINK * 50 / (SHRINK + 50) + scatter
    mean = centre * 50 / (SHRINK + 50)
    close(np.mean([m for m, _ in draws], axis=0), mean, 0.01)
    close(np.mean([L for _, L in draws], axis=0) @ inverse / (2 + 50 + weight), np.eye(2), 0.02)
    # m given L is normal: its squared distance in units of L has mean n_dims
    distances = [(SHRINK + 50) * (m - mean) @ L @ (m - mean) for m, L in draws]
    assert np.mean(distances) == pytest.approx(2, rel=0.06)


# The links: exact draws, however the system is solved.


def links(n_rows: int, n_features: int, reg: float, largest: int = 10**6) -> tuple[Link, np.ndarray]:
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
    return Link(*sides, reg, largest), X


@pytest.mark.parametrize(("n_rows", "n_features"), [(12, 5), (5, 12)])
@pytest.mark.parametrize("largest", [10**6, 0])
@pytest.mark.slow
def test_a_link_is_drawn_from_its_posterior(n_rows: int, n_features: int, largest: int) -> None:
    reg, rng = 0.7, np.random.default_rng(3)
    link, X = links(n_rows, n_features, reg, largest)
    T = rng.standard_normal((n_rows, 2)).astype(np.float32)
    half = np.array([[0.5, 0.0], [0.3, 0.8]], np.float32)
    draws = [link.draw(T, half, rng) for _ in range(6000)]
    inverse = np.linalg.inv(
        X.T @ X + reg * np.eye(n_features)
    )  # of B's columns, times the covariance half'half
    close(np.mean([M for M, _ in draws], axis=0), X @ inverse @ X.T @ T, 0.03)
    covariance = half.T @ half
    spread = np.var([M for M, _ in draws], axis=0)
    close(spread, np.outer(np.diag(X @ inverse @ X.T), np.diag(covariance)), 0.05)
    B = inverse @ X.T @ T
    expected = reg * (B.T @ B + np.trace(inverse) * covariance)
    close(np.mean([scatter for _, scatter in draws], axis=0), expected, 0.05)


def test_steps_reach_what_factorising_gives() -> None:
    half = np.eye(3, dtype=np.float32)
    T = np.random.default_rng(0).standard_normal((30, 3)).astype(np.float32)
    drawn_by = [
        links(30, 20, 1.0, largest)[0].draw(T, half, np.random.default_rng(1))[0] for largest in (10**6, 0)
    ]
    np.testing.assert_allclose(*drawn_by, atol=5e-3)


def test_a_link_without_enough_regularisation_is_refused() -> None:
    alike = SparseRows.from_triplets(
        np.array([0, 0, 1, 1], np.int32), np.array([0, 1, 0, 1], np.int32), np.ones(4), 2
    )
    with pytest.raises(DivergedError, match="raise reg_user and reg_item"):
        Link(alike, alike, 0.0)


# The average of draws.


def test_centring_changes_no_prediction_and_leaves_no_mean() -> None:
    rng = np.random.default_rng(0)
    users, items = (rng.standard_normal((n, 4)).astype(np.float32) + 1 for n in (7, 5))
    weights = [np.full(7, 1 / 7), np.arange(1, 6) / 15]
    draw = centred(users, items, *weights)
    before = users[:, :1] + items[:, 0] + users[:, 1:] @ items[:, 1:].T
    close(draw.bu[:, None] + draw.bi + draw.pu @ draw.qi.T, before)
    close(weights[0] @ draw.pu, 0)
    close(weights[1] @ draw.qi, 0)
    close(weights[0] @ draw.bu, 0)


def test_the_compact_model_is_the_best_of_its_rank() -> None:
    rng = np.random.default_rng(0)
    decay = np.float32(0.6) ** np.arange(12, dtype=np.float32)
    draws = [
        Draw(
            np.zeros(60, np.float32),
            np.zeros(50, np.float32),
            rng.standard_normal((60, 12)).astype(np.float32) * decay,
            rng.standard_normal((50, 12)).astype(np.float32),
        )
        for _ in range(5)
    ]
    average = sum(draw.pu @ draw.qi.T for draw in draws) / 5
    sizes = np.linalg.svd(average, compute_uv=False)
    for rank in (1, 5, 20):
        P, Q = compact(draws, rank)
        assert (P.shape, Q.shape) == ((60, rank), (50, rank))
        missing = np.linalg.norm(average - P @ Q.T)
        assert missing == pytest.approx(np.sqrt(np.square(sizes[rank:]).sum()), rel=0.02)
    exact = compact(draws, 60)
    close(exact[0] @ exact[1].T, average)


# The whole model.


def test_it_predicts_better_than_one_best_model_and_than_biases() -> None:
    ratings = generate(SyntheticSpec(n_ratings=40_000), seed=5).ratings
    fold = split_at_random(len(ratings), 0.2, seed=0)
    matrix = InteractionMatrix.from_frame(ratings.iloc[fold.train])
    pairs = encode_pairs(ratings.iloc[fold.test], matrix)

    def error(algorithm: Any) -> float:
        predictions = predict_pairs(algorithm.fit(matrix), pairs)
        return rmse(predictions.actual, predictions.estimated)

    bayesian = error(BayesianMF(n_factors=16, n_epochs=40, random_state=0))
    tuned = error(SVD(n_factors=50, n_epochs=20, lr_all=0.01, reg_all=0.06, random_state=0))
    assert bayesian < tuned - 0.01
    assert bayesian < error(BaselineOnly(verbose=False)) - 0.03


def test_the_chain_learns_the_noise_of_the_ratings() -> None:
    """A rating's precision comes out as planted: 1 / 0.5 ** 2."""
    rng = np.random.default_rng(0)
    n, k, noise = 200, 2, 0.5
    P, Q = rng.standard_normal((2, n, k))
    users, items = (cells.astype(np.int32) for cells in np.nonzero(rng.random((n, n)) < 0.5))
    values = np.einsum("nk,nk->n", P[users], Q[items]) + noise * rng.standard_normal(len(users))
    by_user, by_item = (
        SparseRows.from_triplets(users, items, values, n),
        SparseRows.from_triplets(items, users, values, n),
    )
    sides = [
        Side(
            one, one.values.astype(np.float32), Link(one, other, 1.0),
            rng.standard_normal((n, 1 + k)).astype(np.float32),
        )
        for one, other in ((by_user, by_item), (by_item, by_user))
    ]  # fmt: skip
    sampler = Sampler(*sides, error=float(values @ values), n_ratings=len(values))
    errors = [sampler.sweep(rng) / len(values) for _ in range(60)]
    assert np.mean(errors[30:]) == pytest.approx(noise**2, rel=0.03)


def test_a_user_without_ratings_gets_the_items_biases(data: RatingSample) -> None:
    model = BayesianMF(**SMALL).fit(data.matrix)
    item = data.matrix.item_ids[0]
    estimate = model.predict("nobody", item, clip=False).est
    assert estimate == pytest.approx(model.trainset.global_mean + model.bi[0])
    assert model.predict("nobody", "nothing").est == pytest.approx(model.trainset.global_mean)


@pytest.mark.parametrize(("n_factors", "n_epochs"), [(0, 5), (3, 0), (0, 0), (3, 1)])
def test_it_can_do_without_factors_and_without_sweeps(
    n_factors: int, n_epochs: int, data: RatingSample
) -> None:
    model = BayesianMF(**SMALL | {"n_factors": n_factors, "n_epochs": n_epochs}).fit(data.matrix)
    assert model.pu.shape == (data.matrix.n_users, n_factors)
    assert all(np.isfinite(p.est) for p in model.test(data.testset))


def test_the_served_factors_are_no_more_than_rank(data: RatingSample) -> None:
    model = BayesianMF(**SMALL | {"rank": 5}).fit(data.matrix)
    assert model.pu.shape == (data.matrix.n_users, 5)
    assert model.qi.shape == (data.matrix.n_items, 5)


@pytest.mark.parametrize("rating", [3.0, 0.0])
def test_constant_ratings_are_predicted_as_they_are(rating: float) -> None:
    frame = pd.DataFrame({"user": list("aabbc"), "item": list("xyxzz"), "rating": rating})
    model = BayesianMF(**SMALL).fit(InteractionMatrix.from_frame(frame, (0.0, 5.0)))
    for prediction in model.test([("a", "z", rating), ("c", "x", rating), ("new", "new", rating)]):
        assert prediction.est == pytest.approx(rating, abs=0.75)  # the noise of eight draws of a unit of 1


def test_the_first_sweeps_are_left_out_of_the_average(data: RatingSample) -> None:
    kept = []
    for n_burn in (0, 3, 100):
        model = BayesianMF(**SMALL | {"n_burn": n_burn})
        for _ in model.epochs(data.matrix):
            last = len(model._draws or ())
        kept.append(last)
    assert kept == [8, 5, 4]  # at most the first half


def test_leaving_off_leaves_the_model_of_that_epoch_and_nothing_else(data: RatingSample) -> None:
    left_off = BayesianMF(**SMALL)
    for epoch in left_off.epochs(data.matrix):
        assert epoch.train_rmse is not None
        if epoch.number == 3:
            break
    whole = BayesianMF(**SMALL | {"n_epochs": 3}).fit(data.matrix)
    assert left_off.test(data.testset) == whole.test(data.testset)


def test_a_pickle_taken_between_epochs_predicts_the_same(data: RatingSample) -> None:
    model = BayesianMF(**SMALL)
    epochs = model.epochs(data.matrix)
    for _ in range(4):
        next(epochs)
    again = pickle.loads(pickle.dumps(model))
    assert again.test(data.testset) == model.test(data.testset)
    assert again._draws is None


def test_surprise_cross_validates_and_searches_it(data: RatingSample) -> None:
    import surprise

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
def test_arguments_that_cannot_be_used_are_refused(name: str, value: object, data: RatingSample) -> None:
    with pytest.raises(ParameterError, match=f"BayesianMF: {name} must be"):
        BayesianMF(**SMALL | {name: value}).fit(data.matrix)


def test_a_warm_start_that_diverges_names_its_rates(data: RatingSample) -> None:
    with pytest.raises(DivergedError, match=r"BayesianMF diverged in epoch 0 with lr_warm=50"):
        BayesianMF(**SMALL | {"lr_warm": 50.0}).fit(data.matrix)
