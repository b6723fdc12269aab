"""Synthetic ratings are reproducible, similar to MovieLens, and consistent with the ground truth."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import surprise

from benchmarks.ratings import find_movielens
from marquee.errors import ConfigError, DataError
from marquee.metrics.beyond_accuracy import gini_of_counts
from marquee.synthetic import (
    SyntheticDataset,
    SyntheticSpec,
    draw_ground_truth,
    generate_dataset,
    generate_items,
    generate_rating_chunks,
)
from marquee.synthetic.genres import GENRE_NAMES
from marquee.synthetic.ground_truth import rating_noise
from marquee.synthetic.rating_log import _smallest_positions

ML_100K_HISTOGRAM = [0.061, 0.114, 0.271, 0.342, 0.212]  # shares of the ratings 1 to 5
ML_100K_ITEM_GINI = 0.63
SMALL = SyntheticSpec(n_ratings=10_000)


@pytest.fixture(scope="module")
def small() -> SyntheticDataset:
    return generate_dataset(SMALL, seed=7)


@pytest.fixture(scope="module")
def full() -> SyntheticDataset:
    return generate_dataset(SyntheticSpec(), seed=1)


def gini(counts: pd.Series) -> float:
    return gini_of_counts(counts.to_numpy())


def to_bytes(data: SyntheticDataset) -> bytes:
    return (data.ratings.to_csv() + data.items.to_csv()).encode()


def test_same_seed_gives_the_same_bytes(small: SyntheticDataset) -> None:
    assert to_bytes(generate_dataset(SMALL, seed=7)) == to_bytes(small)


def test_different_seed_gives_different_ratings(small: SyntheticDataset) -> None:
    assert to_bytes(generate_dataset(SMALL, seed=8)) != to_bytes(small)


def test_tables_have_the_columns_of_the_schema(small: SyntheticDataset) -> None:
    assert [*small.ratings.columns] == ["user", "item", "rating", "timestamp"]
    assert [*map(str, small.ratings.dtypes)] == ["str", "str", "float32", "int64"]
    assert [*small.items.columns] == ["item", "title", "genres"]


def test_number_of_ratings_is_exact_and_no_pair_repeats(
    small: SyntheticDataset, full: SyntheticDataset
) -> None:
    for data, n_ratings in ((small, 10_000), (full, 100_000)):
        assert len(data.ratings) == n_ratings
        assert not data.ratings.duplicated(["user", "item"]).any()


@pytest.mark.parametrize(
    ("spec", "stars"),
    [
        (SyntheticSpec(n_ratings=5_000), [1, 2, 3, 4, 5]),
        (SyntheticSpec(n_ratings=5_000, step=0.5), [0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5]),
        (SyntheticSpec(n_ratings=5_000, high=10), [*range(1, 11)]),
    ],
)
def test_ratings_cover_exactly_the_scale(spec: SyntheticSpec, stars: list[float]) -> None:
    assert sorted(generate_dataset(spec, seed=3).ratings["rating"].unique()) == stars


def test_ratings_are_within_the_period_of_the_log_and_after_the_item_appeared(full: SyntheticDataset) -> None:
    appeared = pd.Series(full.truth.item_appeared_at, index=full.truth.item_ids)
    assert (full.ratings["timestamp"] >= full.ratings["item"].map(appeared)).all()
    assert full.ratings["timestamp"].between(full.truth.spec.start, full.truth.spec.end).all()
    assert (full.truth.item_appeared_at > full.truth.spec.start).mean() == pytest.approx(0.3, abs=0.01)


def test_log_is_sorted_by_time(full: SyntheticDataset) -> None:
    assert full.ratings["timestamp"].is_monotonic_increasing


def test_users_rate_in_bursts_and_return(full: SyntheticDataset) -> None:
    gaps = full.ratings.groupby("user")["timestamp"].diff().dropna()
    assert (gaps < 3600).mean() > 0.8
    assert (gaps > 86_400).groupby(full.ratings["user"]).any().mean() > 0.5


@pytest.mark.parametrize("rows_per_chunk", [1, 3_000, 1_000_000])
def test_chunks_have_disjoint_users_and_add_up_to_the_whole(
    small: SyntheticDataset, rows_per_chunk: int
) -> None:
    chunks = list(generate_rating_chunks(SMALL, seed=7, rows_per_chunk=rows_per_chunk))
    joined = pd.concat(chunks).sort_values("timestamp", kind="stable", ignore_index=True)
    pd.testing.assert_frame_equal(joined, small.ratings)
    assert sum(chunk["user"].nunique() for chunk in chunks) == joined["user"].nunique()
    assert all(len(chunk) >= rows_per_chunk for chunk in chunks[:-1])


def test_every_user_rates_at_least_twenty_items(full: SyntheticDataset) -> None:
    counts = full.ratings["user"].value_counts()
    assert len(counts) == 943
    assert counts.min() >= 20


def test_histogram_is_close_to_movielens(full: SyntheticDataset) -> None:
    shares = full.ratings["rating"].value_counts(normalize=True).sort_index()
    assert shares.to_numpy() == pytest.approx(ML_100K_HISTOGRAM, abs=0.025)


def test_item_gini_is_close_to_movielens(full: SyntheticDataset) -> None:
    assert gini(full.ratings["item"].value_counts()) == pytest.approx(ML_100K_ITEM_GINI, abs=0.04)


def test_gini_and_moments_are_close_to_those_of_movielens(full: SyntheticDataset) -> None:
    real = find_movielens("ml-100k")
    if real is None:
        pytest.skip("set MARQUEE_DATA_DIR to a folder with ml-100k")
    for column in ("user", "item"):
        counts, real_counts = full.ratings[column].value_counts(), real[column].value_counts()
        assert gini(counts) == pytest.approx(gini(real_counts), abs=0.05)
    assert full.ratings["rating"].mean() == pytest.approx(real["rating"].mean(), abs=0.06)
    assert full.ratings["rating"].std() == pytest.approx(real["rating"].std(), abs=0.04)


def test_popular_items_are_rated_higher(full: SyntheticDataset) -> None:
    by_item = full.ratings.groupby("item")["rating"].agg(["count", "mean"])
    assert np.corrcoef(np.log(by_item["count"]), by_item["mean"])[0, 1] > 0.3


def test_titles_are_unique_and_end_with_a_year() -> None:
    titles = generate_items(draw_ground_truth(SyntheticSpec(n_items=30_000), seed=1))["title"]
    assert titles.is_unique
    assert titles.str.fullmatch(r"[A-Z].+ \((19|20)\d\d\)").all()
    assert titles.str.contains(r" [IVX]+ \(").mean() < 0.2


def test_release_year_is_not_after_the_first_appearance(full: SyntheticDataset) -> None:
    year = full.items["title"].str.extract(r"\((\d{4})\)$")[0].astype(int)
    appeared = pd.to_datetime(full.truth.item_appeared_at, unit="s").year
    assert (year.to_numpy() <= appeared).all()


def test_every_item_has_one_to_three_known_genres(full: SyntheticDataset) -> None:
    genres = full.items["genres"].str.split("|")
    assert set(genres.explode()) == set(GENRE_NAMES)
    assert genres.map(len).between(1, 3).all()
    assert genres.map(lambda names: len(set(names)) == len(names)).all()


def test_items_of_one_genre_have_similar_factors(full: SyntheticDataset) -> None:
    factors, first = full.truth.item_factors, full.truth.item_genres[:, 0]
    centers = np.stack([factors[first == code].mean(axis=0) for code in range(len(GENRE_NAMES))])
    within = ((factors - centers[first]) ** 2).sum()
    assert within < 0.8 * ((factors - factors.mean(axis=0)) ** 2).sum()


def test_expected_ratings_differ_from_the_log_by_the_noise_only(full: SyntheticDataset) -> None:
    log, truth = full.ratings, full.truth
    expected_ratings = truth.expected_ratings(log["user"], log["item"], log["timestamp"])
    rmse = np.sqrt(np.mean((np.clip(expected_ratings, 1, 5) - log["rating"]) ** 2))
    assert truth.spec.noise_std * 0.9 < rmse < truth.spec.noise_std + 0.06
    assert rmse < log["rating"].std() - 0.2


def test_simulated_ratings_equal_those_of_the_log(full: SyntheticDataset) -> None:
    sample = full.ratings.sample(500, random_state=0)
    simulated = full.truth.simulate_ratings(sample["user"], sample["item"], sample["timestamp"])
    np.testing.assert_array_equal(simulated, sample["rating"])


def test_simulated_rating_does_not_depend_on_other_requested_pairs(small: SyntheticDataset) -> None:
    truth = small.truth
    users, items = truth.user_ids.to_numpy()[:20], truth.item_ids.to_numpy()[:30]
    matrix = truth.simulate_ratings(users[:, None], items[None, :], seed=5)
    assert matrix.shape == (20, 30)
    assert matrix.dtype == np.float32
    assert truth.simulate_ratings("u3", "m9", seed=5) == matrix[2, 8]
    assert (truth.simulate_ratings(users[:, None], items[None, :], seed=6) != matrix).any()


def test_expected_ratings_drift_only_during_the_log(small: SyntheticDataset) -> None:
    truth, spec = small.truth, small.truth.spec
    begin, end, later = (
        truth.expected_ratings("u1", truth.item_ids, at) for at in (spec.start, spec.end, 2**33)
    )
    assert np.abs(end - begin).max() > 0.05
    np.testing.assert_array_equal(end, later)
    np.testing.assert_array_equal(end, truth.expected_ratings("u1", truth.item_ids))


def test_rating_noise_is_standard_normal() -> None:
    noise = rating_noise(11, np.arange(300)[:, None], np.arange(300)[None, :])
    assert noise.mean() == pytest.approx(0, abs=0.02)
    assert noise.std() == pytest.approx(1, abs=0.02)
    assert np.mean(np.abs(noise) > 1.96) == pytest.approx(0.05, abs=0.005)
    assert np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1] == pytest.approx(0, abs=0.02)


def test_smallest_positions_break_ties_by_position() -> None:
    keys = np.ones(400, np.float32)
    keys[350:] = 0.5
    assert _smallest_positions(keys, 53).tolist() == [0, 1, 2, *range(350, 400)]


def test_unknown_user_is_an_error(small: SyntheticDataset) -> None:
    with pytest.raises(DataError, match="user 'nobody' is not in this data set, whose users are u1 to u"):
        small.truth.expected_ratings("nobody", "m1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_ratings": 0}, r"n_ratings must be at least 1 \(got 0\)"),
        ({"n_users": 0}, r"n_users must be at least 1 \(got 0\)"),
        ({"n_items": -1}, r"n_items must be at least 1 \(got -1\)"),
        ({"n_ratings": 101, "n_users": 10, "n_items": 10}, "too many for 10 users and 10 items"),
        ({"n_ratings": 90, "n_users": 10, "n_items": 10}, "too many for 10 users and 10 items"),
        ({"n_ratings": 9, "n_users": 10, "n_items": 10}, "too few for 10 users"),
        ({"step": 0.25}, r"step must be 1.0 or 0.5 \(got 0.25\)"),
        ({"low": 5.0, "high": 5.0}, r"rating scale must .*\(got 5.0 to 5.0\)"),
        ({"high": 4.5}, r"rating scale must .*\(got 1.0 to 4.5\)"),
        ({"years": 0.0}, r"years must be between 0.01 and 100 \(got 0.0\)"),
        ({"n_factors": 65}, r"n_factors must be between 1 and 64 \(got 65\)"),
        ({"noise_std": float("nan")}, r"noise_std must be between 0 and 12 \(got nan\)"),
        (
            {"popularity_bias_correlation": 1.5},
            r"popularity_bias_correlation must be between -1 and 1 \(got 1.5\)",
        ),
    ],
)
def test_invalid_spec_is_reported_in_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        SyntheticSpec(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("n_ratings", "n_users", "n_items"), [(1, 1, 1), (60, 10, 14), (50, 50, 3), (600, 3, 2000)]
)
def test_extreme_sizes_can_be_generated(n_ratings: int, n_users: int, n_items: int) -> None:
    spec = SyntheticSpec(n_ratings=n_ratings, n_users=n_users, n_items=n_items)
    assert len(generate_dataset(spec, seed=1).ratings.drop_duplicates(["user", "item"])) == n_ratings


def test_default_numbers_of_users_and_items_grow_like_those_of_movielens() -> None:
    assert (SyntheticSpec().user_count, SyntheticSpec().item_count) == (943, 1682)
    large = SyntheticSpec(n_ratings=10_000_000)
    assert large.user_count == pytest.approx(69_878, rel=0.05)
    assert large.item_count == pytest.approx(10_677, rel=0.05)


@pytest.mark.slow
def test_algorithms_have_the_same_order_as_on_real_ratings() -> None:
    ratings = generate_dataset(SyntheticSpec(n_ratings=40_000), seed=1).ratings
    data = surprise.Dataset.load_from_df(ratings[["user", "item", "rating"]], surprise.Reader())
    train, test = next(surprise.model_selection.KFold(4, random_state=0).split(data))
    np.random.seed(0)  # noqa: NPY002 - NormalPredictor draws from the global state
    best_first = [
        # Few factors and epochs, for speed.
        surprise.SVDpp(n_factors=10, n_epochs=15, random_state=0, cache_ratings=True),
        surprise.SVD(random_state=0),
        surprise.KNNBaseline(verbose=False),
        surprise.BaselineOnly(verbose=False),
        surprise.NormalPredictor(),
    ]
    errors = [surprise.accuracy.rmse(algo.fit(train).test(test), verbose=False) for algo in best_first]
    assert errors == sorted(errors)
