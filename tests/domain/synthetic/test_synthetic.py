"""The synthetic ratings are reproducible, well formed, near MovieLens, and know their own truth."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import surprise

from marquee.errors import ConfigError, DataError
from marquee.synthetic import (
    SyntheticRatings,
    SyntheticSpec,
    generate,
    generate_in_pieces,
    item_table,
    plant,
)
from marquee.synthetic.genres import GENRE_NAMES
from marquee.synthetic.ground_truth import pair_noise

ML_100K_HISTOGRAM = [0.061, 0.114, 0.271, 0.342, 0.212]  # of 1 to 5 stars, as its README and papers give it
ML_100K_ITEM_GINI = 0.63
SMALL = SyntheticSpec(n_ratings=10_000)


@pytest.fixture(scope="module")
def small() -> SyntheticRatings:
    return generate(SMALL, seed=7)


@pytest.fixture(scope="module")
def full() -> SyntheticRatings:
    return generate(SyntheticSpec(), seed=1)


def gini(counts: pd.Series) -> float:
    ordered = np.sort(counts.to_numpy(dtype=float))
    rank = np.arange(1, len(ordered) + 1)
    return float(2 * (rank @ ordered) / (len(ordered) * ordered.sum()) - (len(ordered) + 1) / len(ordered))


def bytes_of(made: SyntheticRatings) -> bytes:
    return (made.ratings.to_csv() + made.items.to_csv()).encode()


def test_same_seed_gives_the_same_bytes(small: SyntheticRatings) -> None:
    assert bytes_of(generate(SMALL, seed=7)) == bytes_of(small)


def test_another_seed_gives_other_ratings(small: SyntheticRatings) -> None:
    assert bytes_of(generate(SMALL, seed=8)) != bytes_of(small)


def test_table_has_the_agreed_columns(small: SyntheticRatings) -> None:
    assert [*small.ratings.columns] == ["user", "item", "rating", "timestamp"]
    assert [*map(str, small.ratings.dtypes)] == ["str", "str", "float32", "int64"]
    assert [*small.items.columns] == ["item", "title", "genres"]


def test_as_many_ratings_as_asked_and_no_pair_twice(small: SyntheticRatings, full: SyntheticRatings) -> None:
    for made, n_ratings in ((small, 10_000), (full, 100_000)):
        assert len(made.ratings) == n_ratings
        assert not made.ratings.duplicated(["user", "item"]).any()


@pytest.mark.parametrize(
    ("spec", "stars"),
    [
        (SyntheticSpec(n_ratings=5_000), [1, 2, 3, 4, 5]),
        (SyntheticSpec(n_ratings=5_000, step=0.5), [0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5]),
        (SyntheticSpec(n_ratings=5_000, high=10), [*range(1, 11)]),
    ],
)
def test_ratings_use_the_whole_scale_and_nothing_else(spec: SyntheticSpec, stars: list[float]) -> None:
    assert sorted(generate(spec, seed=3).ratings["rating"].unique()) == stars


def test_nobody_rates_before_the_item_appeared_or_outside_the_log(full: SyntheticRatings) -> None:
    appeared = pd.Series(full.truth.item_appeared, index=full.truth.item_ids)
    assert (full.ratings["timestamp"] >= full.ratings["item"].map(appeared)).all()
    assert full.ratings["timestamp"].between(full.truth.spec.start, full.truth.spec.end).all()
    assert (full.truth.item_appeared > full.truth.spec.start).mean() == pytest.approx(0.3, abs=0.01)


def test_log_is_in_order_of_time(full: SyntheticRatings) -> None:
    assert full.ratings["timestamp"].is_monotonic_increasing


def test_users_come_in_bursts_and_come_back(full: SyntheticRatings) -> None:
    gaps = full.ratings.groupby("user")["timestamp"].diff().dropna()
    assert (gaps < 3600).mean() > 0.8
    assert (gaps > 86_400).groupby(full.ratings["user"]).any().mean() > 0.5


@pytest.mark.parametrize("rows_per_piece", [1, 3_000, 1_000_000])
def test_pieces_are_disjoint_in_users_and_together_the_whole(
    small: SyntheticRatings, rows_per_piece: int
) -> None:
    pieces = list(generate_in_pieces(SMALL, seed=7, rows_per_piece=rows_per_piece))
    together = pd.concat(pieces).sort_values("timestamp", kind="stable", ignore_index=True)
    pd.testing.assert_frame_equal(together, small.ratings)
    assert sum(piece["user"].nunique() for piece in pieces) == together["user"].nunique()
    assert all(len(piece) >= rows_per_piece for piece in pieces[:-1])


def test_every_user_rates_at_least_twenty_items(full: SyntheticRatings) -> None:
    counts = full.ratings["user"].value_counts()
    assert len(counts) == 943
    assert counts.min() >= 20


def test_histogram_is_near_that_of_movielens(full: SyntheticRatings) -> None:
    shares = full.ratings["rating"].value_counts(normalize=True).sort_index()
    assert shares.to_numpy() == pytest.approx(ML_100K_HISTOGRAM, abs=0.025)


def test_inequality_of_items_is_near_that_of_movielens(full: SyntheticRatings) -> None:
    assert gini(full.ratings["item"].value_counts()) == pytest.approx(ML_100K_ITEM_GINI, abs=0.04)


def test_shape_is_near_the_real_ratings(full: SyntheticRatings) -> None:
    path = Path(os.environ.get("MARQUEE_DATA_DIR", "")) / "ml-100k" / "u.data"
    if not path.exists():
        pytest.skip("MARQUEE_DATA_DIR does not name a folder that holds ml-100k/u.data")
    real = pd.read_csv(path, sep="\t", names=["user", "item", "rating", "timestamp"])
    for column in ("user", "item"):
        ours, theirs = full.ratings[column].value_counts(), real[column].value_counts()
        assert gini(ours) == pytest.approx(gini(theirs), abs=0.05)
    assert full.ratings["rating"].mean() == pytest.approx(real["rating"].mean(), abs=0.06)
    assert full.ratings["rating"].std() == pytest.approx(real["rating"].std(), abs=0.04)


def test_popular_items_are_rated_higher(full: SyntheticRatings) -> None:
    of_item = full.ratings.groupby("item")["rating"].agg(["count", "mean"])
    assert np.corrcoef(np.log(of_item["count"]), of_item["mean"])[0, 1] > 0.3


def test_titles_are_unique_and_end_with_a_year() -> None:
    titles = item_table(plant(SyntheticSpec(n_items=30_000), seed=1))["title"]
    assert titles.is_unique
    assert titles.str.fullmatch(r"[A-Z].+ \((19|20)\d\d\)").all()
    assert titles.str.contains(r" [IVX]+ \(").mean() < 0.2


def test_film_is_not_younger_than_its_appearance(full: SyntheticRatings) -> None:
    year = full.items["title"].str.extract(r"\((\d{4})\)$")[0].astype(int)
    appeared = pd.to_datetime(full.truth.item_appeared, unit="s").year
    assert (year.to_numpy() <= appeared).all()


def test_every_item_has_one_to_three_known_genres(full: SyntheticRatings) -> None:
    genres = full.items["genres"].str.split("|")
    assert set(genres.explode()) == set(GENRE_NAMES)
    assert genres.map(len).between(1, 3).all()
    assert genres.map(lambda names: len(set(names)) == len(names)).all()


def test_items_of_one_genre_please_the_same_people(full: SyntheticRatings) -> None:
    factors, first = full.truth.item_factors, full.truth.item_genres[:, 0]
    centres = np.stack([factors[first == code].mean(axis=0) for code in range(len(GENRE_NAMES))])
    within = ((factors - centres[first]) ** 2).sum()
    assert within < 0.8 * ((factors - factors.mean(axis=0)) ** 2).sum()


def test_truth_predicts_to_within_the_noise(full: SyntheticRatings) -> None:
    log, truth = full.ratings, full.truth
    expected = truth.expected(log["user"], log["item"], log["timestamp"])
    rmse = np.sqrt(np.mean((np.clip(expected, 1, 5) - log["rating"]) ** 2))
    assert truth.spec.noise_std * 0.9 < rmse < truth.spec.noise_std + 0.06
    assert rmse < log["rating"].std() - 0.2


def test_log_holds_what_users_would_rate(full: SyntheticRatings) -> None:
    some = full.ratings.sample(500, random_state=0)
    again = full.truth.would_rate(some["user"], some["item"], some["timestamp"])
    np.testing.assert_array_equal(again, some["rating"])


def test_rating_of_a_pair_does_not_depend_on_what_else_is_asked(small: SyntheticRatings) -> None:
    truth = small.truth
    users, items = truth.user_ids.to_numpy()[:20], truth.item_ids.to_numpy()[:30]
    matrix = truth.would_rate(users[:, None], items[None, :], seed=5)
    assert matrix.shape == (20, 30)
    assert matrix.dtype == np.float32
    assert truth.would_rate("u3", "m9", seed=5) == matrix[2, 8]
    assert (truth.would_rate(users[:, None], items[None, :], seed=6) != matrix).any()


def test_tastes_drift_and_stand_still_after_the_end(small: SyntheticRatings) -> None:
    truth, spec = small.truth, small.truth.spec
    begin, end, later = (truth.expected("u1", truth.item_ids, at) for at in (spec.start, spec.end, 2**33))
    assert np.abs(end - begin).max() > 0.05
    np.testing.assert_array_equal(end, later)
    np.testing.assert_array_equal(end, truth.expected("u1", truth.item_ids))


def test_noise_of_pairs_is_standard_normal() -> None:
    noise = pair_noise(11, np.arange(300)[:, None], np.arange(300)[None, :])
    assert noise.mean() == pytest.approx(0, abs=0.02)
    assert noise.std() == pytest.approx(1, abs=0.02)
    assert np.mean(np.abs(noise) > 1.96) == pytest.approx(0.05, abs=0.005)
    assert np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1] == pytest.approx(0, abs=0.02)


def test_unknown_user_is_refused(small: SyntheticRatings) -> None:
    with pytest.raises(DataError, match="user 'nobody' is not of this dataset"):
        small.truth.expected("nobody", "m1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_ratings": 0}, "n_ratings is 0"),
        ({"n_users": 0}, "n_users is 0"),
        ({"n_items": -1}, "n_items is -1"),
        ({"n_ratings": 101, "n_users": 10, "n_items": 10}, "too dense"),
        ({"n_ratings": 90, "n_users": 10, "n_items": 10}, "too dense"),
        ({"n_ratings": 9, "n_users": 10, "n_items": 10}, "too few for 10 users"),
        ({"step": 0.25}, "step is 0.25"),
        ({"low": 5.0, "high": 5.0}, "the scale 5.0 to 5.0"),
        ({"high": 4.5}, "the scale 1.0 to 4.5"),
        ({"years": 0.0}, "0.0 years"),
        ({"n_factors": 65}, "n_factors is 65"),
        ({"noise_std": float("nan")}, "noise_std is nan"),
        ({"acclaim": 1.5}, "acclaim is 1.5"),
    ],
)
def test_bad_spec_is_refused_in_one_line(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        SyntheticSpec(**arguments)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("n_ratings", "n_users", "n_items"), [(1, 1, 1), (60, 10, 14), (50, 50, 3), (600, 3, 2000)]
)
def test_odd_sizes_are_made_too(n_ratings: int, n_users: int, n_items: int) -> None:
    spec = SyntheticSpec(n_ratings=n_ratings, n_users=n_users, n_items=n_items)
    assert len(generate(spec, seed=1).ratings.drop_duplicates(["user", "item"])) == n_ratings


def test_sizes_grow_in_the_proportion_of_movielens() -> None:
    assert (SyntheticSpec().users, SyntheticSpec().items) == (943, 1682)
    large = SyntheticSpec(n_ratings=10_000_000)
    assert large.users == pytest.approx(69_878, rel=0.05)
    assert large.items == pytest.approx(10_677, rel=0.05)


def test_algorithms_rank_as_on_real_ratings() -> None:
    ratings = generate(SyntheticSpec(n_ratings=40_000), seed=1).ratings
    data = surprise.Dataset.load_from_df(ratings[["user", "item", "rating"]], surprise.Reader())
    train, test = next(surprise.model_selection.KFold(4, random_state=0).split(data))
    np.random.seed(0)  # noqa: NPY002 - NormalPredictor draws from the global state
    ranked = [
        surprise.SVDpp(n_factors=10, n_epochs=15, random_state=0, cache_ratings=True),  # smaller: it is slow
        surprise.SVD(random_state=0),
        surprise.KNNBaseline(verbose=False),
        surprise.BaselineOnly(verbose=False),
        surprise.NormalPredictor(),
    ]
    errors = [surprise.accuracy.rmse(algo.fit(train).test(test), verbose=False) for algo in ranked]
    assert errors == sorted(errors)
