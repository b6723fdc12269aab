"""Similarities: bit-identical to those of Surprise, hand-computed cases, invalid options."""

import re
from dataclasses import replace
from math import sqrt
from typing import TypeAlias

import numpy as np
import pandas as pd
import pytest
import surprise
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marquee.algorithms import array_allocation, similarities
from marquee.algorithms.similarities import (
    MEASURES,
    SimilarityOptions,
    compute_similarity_matrices_by_name,
    compute_similarity_matrix,
)
from marquee.algorithms.threads import limit_threads
from marquee.array_types import Float64Array, FloatArray
from marquee.errors import DataError, ParameterError
from marquee.interactions.matrix import InteractionMatrix
from tests.support.rating_samples import RatingSample, rating_samples, sample_ratings

FAST = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


Baselines: TypeAlias = tuple[Float64Array, Float64Array]


def surprise_similarities(
    data: RatingSample, options: SimilarityOptions, baselines: Baselines
) -> Float64Array:
    """Return the matrix of Surprise, with 0 where rounding gives NaN."""
    n_x, yr = data.trainset.n_users, data.trainset.ir
    if not options.user_based:
        n_x, yr, baselines = data.trainset.n_items, data.trainset.ur, baselines[::-1]
    arguments = [n_x, yr, options.min_support]
    if options.needs_baselines:
        arguments += [data.trainset.global_mean, *baselines, options.shrinkage]
    sim: Float64Array = np.nan_to_num(getattr(surprise.similarities, options.name)(*arguments))
    return sim


def marquee_similarities(
    data: RatingSample, options: SimilarityOptions, baselines: Baselines, dtype: str = "float64"
) -> FloatArray:
    mean = data.trainset.global_mean
    return compute_similarity_matrix(data.matrix, options, mean=mean, baselines=baselines, dtype=dtype)


def make_sums_inexact(data: RatingSample) -> RatingSample:
    """Replace the ratings with numbers whose sums need rounding."""
    frame = data.frame.assign(rating=np.sin(data.frame["rating"] * 7) + 2)
    reader = surprise.Reader(rating_scale=(1, 3))
    trainset = surprise.Dataset.load_from_df(frame, reader).build_full_trainset()
    return RatingSample(frame, trainset, InteractionMatrix.from_frame(frame), data.testset)


def draw_baselines(data: RatingSample) -> Baselines:
    rng = np.random.default_rng(5)
    return rng.normal(size=data.trainset.n_users), rng.normal(size=data.trainset.n_items)


@FAST
@given(
    data=rating_samples() | rating_samples().map(make_sums_inexact),
    name=st.sampled_from(list(MEASURES)),
    user_based=st.booleans(),
    min_support=st.integers(0, 4),
    shrinkage=st.sampled_from([0, 1, 100.0]),
)
def test_matrix_is_bit_identical_to_that_of_surprise(
    data: RatingSample, name: str, user_based: bool, min_support: int, shrinkage: float
) -> None:
    options = SimilarityOptions(name, user_based, min_support, shrinkage)
    baselines = draw_baselines(data)
    sim = marquee_similarities(data, options, baselines)
    assert np.isfinite(sim).all()
    assert (sim == sim.T).all()
    assert (np.diag(sim) == 1).all()
    np.testing.assert_array_equal(
        marquee_similarities(data, options, baselines, "float32"), sim.astype(np.float32)
    )
    try:
        expected = surprise_similarities(data, options, baselines)
    except ZeroDivisionError:  # Surprise fails where a similarity is undefined; Marquee returns 0
        return
    np.testing.assert_array_equal(sim, expected)


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("n_threads", [1, 4])
def test_matrix_is_bit_identical_for_any_tiles_and_threads(
    name: str, n_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(similarities, "SUMS_PER_TILE_ROW", 300)
    data = make_sums_inexact(sample_ratings(3, n_users=700, n_items=12, n_ratings=4000))
    options = SimilarityOptions(name)
    with limit_threads(n_threads):
        sim = marquee_similarities(data, options, draw_baselines(data))
    np.testing.assert_array_equal(sim, surprise_similarities(data, options, draw_baselines(data)))


@pytest.fixture
def three_users() -> InteractionMatrix:
    """Users a, b and c; a and b rated all three items, c rated x and y."""
    rows = [("a", "x", 1), ("a", "y", 2), ("a", "z", 3), ("b", "x", 2), ("b", "y", 2), ("b", "z", 5)]
    rows += [("c", "x", 4), ("c", "y", 1)]
    return InteractionMatrix.from_frame(pd.DataFrame(rows, columns=["user", "item", "rating"]))


@pytest.mark.parametrize(
    ("name", "ab", "ac", "bc"),
    [
        ("cosine", 21 / sqrt(14 * 33), 6 / sqrt(5 * 17), 10 / sqrt(8 * 17)),
        ("msd", 1 / (1 + 5 / 3), 1 / (1 + 10 / 2), 1 / (1 + 5 / 2)),
        ("pearson", 3 / sqrt(2 * 6), -1, 0),
        # deviations from a baseline of 2: a (-1, 0, 1), b (0, 0, 3), c (2, -1)
        ("pearson_baseline", 2 / (2 + 10) * 3 / sqrt(2 * 9), 1 / (1 + 10) * -2 / sqrt(1 * 5), 0),
    ],
)
def test_user_similarities_match_hand_computation(
    three_users: InteractionMatrix, name: str, ab: float, ac: float, bc: float
) -> None:
    options = SimilarityOptions(name, shrinkage=10)
    sim = compute_similarity_matrix(three_users, options, mean=2.0, baselines=(np.zeros(3), np.zeros(3)))
    np.testing.assert_allclose(sim, [[1, ab, ac], [ab, 1, bc], [ac, bc, 1]], atol=1e-15)


def test_item_similarities_match_hand_computation(three_users: InteractionMatrix) -> None:
    sim = compute_similarity_matrix(three_users, SimilarityOptions("msd", user_based=False))
    xy, xz, yz = 1 / (1 + (1 + 0 + 9) / 3), 1 / (1 + (4 + 9) / 2), 1 / (1 + (1 + 9) / 2)
    np.testing.assert_allclose(sim, [[1, xy, xz], [xy, 1, yz], [xz, yz, 1]], atol=1e-15)


def test_similarity_below_min_support_is_zero(three_users: InteractionMatrix) -> None:
    sim = compute_similarity_matrix(three_users, SimilarityOptions("msd", min_support=3))
    assert sim[0, 1] > 0
    assert sim[0, 2] == sim[1, 2] == 0


@pytest.mark.parametrize("name", MEASURES)
def test_undefined_similarity_is_zero(name: str) -> None:
    """All ratings of a and b are zero, as are their baselines; c has rated no item that a or b has rated."""
    rows = [("a", "x", 0), ("a", "y", 0), ("b", "x", 0), ("b", "y", 0), ("c", "z", 0)]
    matrix = InteractionMatrix.from_frame(pd.DataFrame(rows, columns=["user", "item", "rating"]))
    options = SimilarityOptions(name, min_support=0, shrinkage=0)
    sim = compute_similarity_matrix(matrix, options, baselines=(np.zeros(3), np.zeros(3)))
    assert sim[0, 1] == (name == "msd")
    assert sim[0, 2] == sim[1, 2] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"name": "jaccard"},
            "name must be one of cosine, msd, pearson, pearson_baseline (got 'jaccard')",
        ),
        ({"user_based": "yes"}, "user_based must be one of True, False (got 'yes')"),
        ({"min_support": 1.5}, "min_support must be an integer of at least 0 (got 1.5)"),
        ({"min_support": True}, "min_support must be an integer of at least 0 (got True)"),
        ({"shrinkage": -1}, "shrinkage must be a finite number of at least 0 (got -1)"),
        ({"shrinkage": float("nan")}, "shrinkage must be a finite number of at least 0 (got nan)"),
        (
            {"similarity": "msd"},
            "unknown option 'similarity' (expected one of name, user_based, min_support, shrinkage)",
        ),
    ],
)
def test_invalid_option_is_rejected(options: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=re.escape(f"sim_options: {message}")):
        SimilarityOptions.parse(options)


def test_defaults_and_case_of_names_are_those_of_surprise() -> None:
    assert SimilarityOptions.parse({}) == SimilarityOptions("msd", True, 1, 100)
    assert SimilarityOptions.parse({"name": "Pearson_Baseline"}).needs_baselines


def test_pearson_baseline_needs_baselines(three_users: InteractionMatrix) -> None:
    with pytest.raises(ParameterError, match="pearson_baseline requires baselines"):
        compute_similarity_matrix(three_users, SimilarityOptions("pearson_baseline"))


def test_matrix_larger_than_memory_is_rejected_with_its_size(
    three_users: InteractionMatrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(array_allocation, "physical_memory_bytes", lambda: 71)
    with pytest.raises(
        DataError, match=r"similarities of 3 users need 0\.0 GB, more than this machine's memory"
    ):
        compute_similarity_matrix(three_users, SimilarityOptions("msd"))
    assert compute_similarity_matrix(three_users, SimilarityOptions("msd"), dtype="float32").nbytes == 36


@pytest.mark.parametrize("step", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("user_based", [True, False])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_matrices_of_one_pass_are_bit_identical_to_those_of_separate_passes(
    step: float, user_based: bool, dtype: str
) -> None:
    rng = np.random.default_rng(7)
    cells = rng.choice(60 * 45, size=1200, replace=False)
    frame = pd.DataFrame(
        {"user": cells // 45, "item": cells % 45, "rating": step * rng.integers(1, 11, 1200)}
    )
    matrix = InteractionMatrix.from_frame(frame)
    options = SimilarityOptions(user_based=user_based, min_support=3)
    names = ("cosine", "msd", "pearson")
    shared = compute_similarity_matrices_by_name(matrix, names, options, dtype=dtype)
    assert tuple(shared) == names
    for name in names:
        separate = compute_similarity_matrix(matrix, replace(options, name=name), dtype=dtype)
        np.testing.assert_array_equal(shared[name], separate)
    assert list(compute_similarity_matrices_by_name(matrix, ["msd"], options)) == ["msd"]
