"""Folding in: the place of a newcomer is the posterior mean, and it predicts better than the mean does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.algorithms.export import factor_space
from marquee.algorithms.registry import candidate
from marquee.interactions.matrix import RatingMatrix
from marquee.model.factor_space import FactorSpace
from marquee.synthetic import SyntheticSpec, generate


def space_of(rng: np.random.Generator, k: int = 3, noise: float = 0.5) -> FactorSpace:
    items, users = (
        (rng.normal(size=(8, k)), rng.normal(size=8)),
        (rng.normal(size=(20, k)), rng.normal(size=20)),
    )
    return FactorSpace.of(items, users, offset=3.5, noise=noise)


def test_by_hand_one_factor_one_rating() -> None:
    # Users at -1 and 1 without bias: mean 0, variance 2. One rating of 4.5 for an item of factor 1, bias 0.5:
    # surprise 4.5 - 3.5 - 0.5 = 0.5; place = 2 / (2 + 0.5) * 0.5 = 0.4.
    space = FactorSpace.of(
        (np.array([[1.0]]), np.array([0.5])), (np.array([[-1.0], [1.0]]), np.zeros(2)), offset=3.5, noise=0.5
    )
    place = space.fold_in(np.array([0], dtype=np.int32), np.array([4.5]))
    assert place.factors[0] == pytest.approx(0.4, abs=1e-5)
    assert place.bias == pytest.approx(0, abs=1e-5)
    assert space.scores(place)[0] == pytest.approx(3.5 + 0.5 + 0.4, abs=1e-5)


@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_both_ways_of_solving_are_the_posterior_mean(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    space = space_of(rng)
    items = rng.choice(8, n, replace=False).astype(np.int32)
    ratings = rng.uniform(1, 5, n)
    design = np.column_stack([np.ones(n), space.item_factors[items]])
    precision = np.linalg.inv(space.prior_covariance)
    rest = ratings - space.offset - space.item_biases[items]
    posterior = np.linalg.solve(
        precision + design.T @ design / space.noise,
        precision @ space.prior_mean + design.T @ rest / space.noise,
    )
    place = space.fold_in(items, ratings)
    np.testing.assert_allclose([place.bias, *place.factors], posterior, rtol=1e-6, atol=1e-8)


def test_nobody_to_learn_from_is_a_prior_of_zero_and_one() -> None:
    space = FactorSpace.of((np.ones((2, 2)), np.zeros(2)), (np.ones((1, 2)), np.zeros(1)), offset=0, noise=0)
    assert space.prior_mean.tolist() == [0, 0, 0]
    assert np.isfinite(space.fold_in(np.array([0], dtype=np.int32), np.array([5.0])).factors).all()


def test_an_unbiased_model_gives_nobody_a_bias() -> None:
    rng = np.random.default_rng(1)
    users = np.abs(rng.normal(size=(20, 3)))
    space = FactorSpace.of(
        (np.abs(rng.normal(size=(8, 3))), np.zeros(8)), (users, np.zeros(20)), offset=0, noise=0.5
    )
    assert abs(space.fold_in(np.arange(5, dtype=np.int32), np.full(5, 4.0)).bias) < 1e-3


def test_ten_ratings_of_strangers_predict_their_others_better_than_biases_do() -> None:
    """Half of the users train the model; the other half are folded in with ten ratings each."""
    frame = generate(SyntheticSpec(n_ratings=30_000), seed=5).ratings
    frame["known"] = frame["user"].astype(str).map(lambda user: hash_of(user) % 2 == 0)
    matrix = RatingMatrix.from_frame(frame[frame["known"]], (1.0, 5.0))
    space = factor_space(candidate("svd").make({"n_factors": 20}, 1).fit(matrix), noise=0.8)
    assert space is not None
    numbers = {item: number for number, item in enumerate(matrix.item_ids)}
    errors: list[tuple[float, float]] = []
    for _, rows in frame[~frame["known"]].groupby("user", sort=True):
        items = np.array([numbers.get(item, -1) for item in rows["item"]], dtype=np.int32)
        ratings = rows["rating"].to_numpy(np.float64)[items >= 0]
        items = items[items >= 0]
        folded = space.scores(space.fold_in(items[:10], ratings[:10]))[items[10:]]
        unfolded = space.offset + space.item_biases[items[10:]]
        errors += zip((folded - ratings[10:]) ** 2, (unfolded - ratings[10:]) ** 2, strict=True)
    ours, biases = np.sqrt(np.mean(errors, axis=0))
    assert ours < biases - 0.02


def hash_of(user: str) -> int:
    return sum(user.encode())
