"""Similarities: the bits of Surprise's, hand-worked cases, and what is refused."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import surprise
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marquee.algorithms import memory
from marquee.algorithms import similarities as module
from marquee.algorithms.similarities import (
    MEASURES,
    SimilarityOptions,
    shared_similarities,
    similarities,
)
from marquee.algorithms.threads import threads
from marquee.arrays import Floats
from marquee.errors import DataError, ParameterError
from marquee.interactions.matrix import RatingMatrix
from tests.support.sampled_data import Drawn, drawn, rating_sets

QUICK = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
SQRT = np.sqrt


def theirs(data: Drawn, options: SimilarityOptions, baselines: tuple[Floats, Floats]) -> Floats:
    """What Surprise computes; 0 where that is the root of a rounding error below zero."""
    n_x, yr = data.trainset.n_users, data.trainset.ir
    if not options.user_based:
        n_x, yr, baselines = data.trainset.n_items, data.trainset.ur, baselines[::-1]
    arguments = [n_x, yr, options.min_support]
    if options.needs_baselines:
        arguments += [data.trainset.global_mean, *baselines, options.shrinkage]
    sim: Floats = np.nan_to_num(getattr(surprise.similarities, options.name)(*arguments))
    return sim


def ours(
    data: Drawn, options: SimilarityOptions, baselines: tuple[Floats, Floats], dtype: str = "float64"
) -> Floats:
    mean = data.trainset.global_mean
    return similarities(data.matrix, options, mean=mean, baselines=baselines, dtype=dtype)


def uneven(data: Drawn) -> Drawn:
    """The same with ratings that no sum of is exact."""
    frame = data.frame.assign(rating=np.sin(data.frame["rating"] * 7) + 2)
    reader = surprise.Reader(rating_scale=(1, 3))
    trainset = surprise.Dataset.load_from_df(frame, reader).build_full_trainset()
    return Drawn(frame, trainset, RatingMatrix.from_frame(frame), data.testset)


def some_baselines(data: Drawn) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(5)
    return rng.normal(size=data.trainset.n_users), rng.normal(size=data.trainset.n_items)


@QUICK
@given(
    data=rating_sets() | rating_sets().map(uneven),
    name=st.sampled_from(list(MEASURES)),
    user_based=st.booleans(),
    min_support=st.integers(0, 4),
    shrinkage=st.sampled_from([0, 1, 100.0]),
)
def test_they_are_those_of_surprise_to_the_bit(
    data: Drawn, name: str, user_based: bool, min_support: int, shrinkage: float
) -> None:
    options = SimilarityOptions(name, user_based, min_support, shrinkage)
    baselines = some_baselines(data)
    sim = ours(data, options, baselines)
    assert np.isfinite(sim).all()
    assert (sim == sim.T).all()
    assert (np.diag(sim) == 1).all()
    np.testing.assert_array_equal(ours(data, options, baselines, "float32"), sim.astype(np.float32))
    try:
        expected = theirs(data, options, baselines)
    except ZeroDivisionError:  # theirs stops where ours is 0
        return
    np.testing.assert_array_equal(sim, expected)


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("n_threads", [1, 4])
def test_they_are_the_same_over_many_tiles_and_threads(
    name: str, n_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROOM", 300)
    data = uneven(drawn(3, n_users=700, n_items=12, n_ratings=4000))
    options = SimilarityOptions(name)
    with threads(n_threads):
        sim = ours(data, options, some_baselines(data))
    np.testing.assert_array_equal(sim, theirs(data, options, some_baselines(data)))


@pytest.fixture
def three() -> RatingMatrix:
    """Three users a, b, c on three items; a and b share all, c shares x and y."""
    rows = [("a", "x", 1), ("a", "y", 2), ("a", "z", 3), ("b", "x", 2), ("b", "y", 2), ("b", "z", 5)]
    rows += [("c", "x", 4), ("c", "y", 1)]
    return RatingMatrix.from_frame(pd.DataFrame(rows, columns=["user", "item", "rating"]))


@pytest.mark.parametrize(
    ("name", "ab", "ac", "bc"),
    [
        ("cosine", 21 / SQRT(14 * 33), 6 / SQRT(5 * 17), 10 / SQRT(8 * 17)),
        ("msd", 1 / (1 + 5 / 3), 1 / (1 + 10 / 2), 1 / (1 + 5 / 2)),
        ("pearson", 3 / SQRT(2 * 6), -1, 0),
        # distances from a baseline of 2: a (-1, 0, 1), b (0, 0, 3), c (2, -1)
        ("pearson_baseline", 2 / (2 + 10) * 3 / SQRT(2 * 9), 1 / (1 + 10) * -2 / SQRT(1 * 5), 0),
    ],
)
def test_three_users_by_hand(three: RatingMatrix, name: str, ab: float, ac: float, bc: float) -> None:
    options = SimilarityOptions(name, shrinkage=10)
    sim = similarities(three, options, mean=2.0, baselines=(np.zeros(3), np.zeros(3)))
    np.testing.assert_allclose(sim, [[1, ab, ac], [ab, 1, bc], [ac, bc, 1]], atol=1e-15)


def test_three_items_by_hand(three: RatingMatrix) -> None:
    sim = similarities(three, SimilarityOptions("msd", user_based=False))
    xy, xz, yz = 1 / (1 + (1 + 0 + 9) / 3), 1 / (1 + (4 + 9) / 2), 1 / (1 + (1 + 9) / 2)
    np.testing.assert_allclose(sim, [[1, xy, xz], [xy, 1, yz], [xz, yz, 1]], atol=1e-15)


def test_too_little_in_common_is_no_similarity(three: RatingMatrix) -> None:
    sim = similarities(three, SimilarityOptions("msd", min_support=3))
    assert sim[0, 1] > 0
    assert sim[0, 2] == sim[1, 2] == 0


@pytest.mark.parametrize("name", MEASURES)
def test_where_a_formula_divides_by_zero_the_similarity_is_zero(name: str) -> None:
    """Users a and b rate all alike, at zero and on the baseline; c has nothing in common with them."""
    rows = [("a", "x", 0), ("a", "y", 0), ("b", "x", 0), ("b", "y", 0), ("c", "z", 0)]
    matrix = RatingMatrix.from_frame(pd.DataFrame(rows, columns=["user", "item", "rating"]))
    options = SimilarityOptions(name, min_support=0, shrinkage=0)
    sim = similarities(matrix, options, baselines=(np.zeros(3), np.zeros(3)))
    assert sim[0, 1] == (name == "msd")
    assert sim[0, 2] == sim[1, 2] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "jaccard"}, "name='jaccard' must be one of cosine, msd, pearson, pearson_baseline"),
        ({"user_based": "yes"}, "user_based='yes' must be one of True, False"),
        ({"min_support": 1.5}, "min_support=1.5 must be a whole number of 0 or more"),
        ({"min_support": True}, "min_support=True must be a whole number"),
        ({"shrinkage": -1}, "shrinkage=-1 must be a number of 0 or more"),
        ({"shrinkage": float("nan")}, "shrinkage=nan must be a number"),
        ({"similarity": "msd"}, "sim_options has no 'similarity': there are name, user_based, min_support"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        SimilarityOptions.read(options)


def test_defaults_and_names_in_any_case_are_those_of_the_twin() -> None:
    assert SimilarityOptions.read({}) == SimilarityOptions("msd", True, 1, 100)
    assert SimilarityOptions.read({"name": "Pearson_Baseline"}).needs_baselines


def test_pearson_baseline_needs_baselines(three: RatingMatrix) -> None:
    with pytest.raises(ParameterError, match="none were given"):
        similarities(three, SimilarityOptions("pearson_baseline"))


def test_a_matrix_that_cannot_be_held_is_refused_with_its_size(
    three: RatingMatrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "physical_memory", lambda: 71)
    with pytest.raises(DataError, match=r"similarities of 3 users take 0\.0 GB, more memory than there is"):
        similarities(three, SimilarityOptions("msd"))
    assert similarities(three, SimilarityOptions("msd"), dtype="float32").nbytes == 36


@pytest.mark.parametrize("step", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("user_based", [True, False])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_one_pass_for_several_measures_gives_the_same_bits(step: float, user_based: bool, dtype: str) -> None:
    rng = np.random.default_rng(7)
    cells = rng.choice(60 * 45, size=1200, replace=False)
    frame = pd.DataFrame(
        {"user": cells // 45, "item": cells % 45, "rating": step * rng.integers(1, 11, 1200)}
    )
    matrix = RatingMatrix.from_frame(frame)
    options = SimilarityOptions(user_based=user_based, min_support=3)
    names = ("cosine", "msd", "pearson")
    shared = shared_similarities(matrix, names, options, dtype=dtype)
    assert tuple(shared) == names
    for name in names:
        alone = similarities(matrix, replace(options, name=name), dtype=dtype)
        np.testing.assert_array_equal(shared[name], alone)
    assert list(shared_similarities(matrix, ["msd"], options)) == ["msd"]
