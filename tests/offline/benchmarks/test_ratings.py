"""Ratings and folds for the benchmarks."""

from math import ceil
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.fold_tables import N_FOLDS, generate_toy_ratings, read_fold, write_folds
from benchmarks.ratings import find_movielens, load_ratings
from marquee.errors import DataError
from marquee.interactions.columns import ITEM, RATING, USER


def test_fold_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_folds(generate_toy_ratings(), tmp_path, max_test_rows=5)
    train, test = read_fold(tmp_path, 0)
    assert len(test) == 5
    assert len(train) == len(generate_toy_ratings()) - ceil(len(generate_toy_ratings()) / N_FOLDS)
    assert list(train.columns) == [USER, ITEM, RATING]


def test_sample_keeps_rows_and_their_order(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    generate_toy_ratings().to_csv(path, index=False)
    sample = load_ratings(path, 50)
    assert sample.name == "50 ratings of ratings.csv"
    assert len(sample.ratings) == 50
    order = generate_toy_ratings().reset_index().merge(sample.ratings)
    assert len(order) == 50
    pd.testing.assert_frame_equal(order[[USER, ITEM, RATING]], sample.ratings)


def test_missing_columns_are_named_in_the_error(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    pd.DataFrame({"user": [1], "stars": [5]}).to_csv(path, index=False)
    with pytest.raises(DataError, match="lacks the columns item, rating"):
        load_ratings(path)


def test_movielens_is_read_from_csv_and_from_the_original_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARQUEE_DATA_DIR", str(tmp_path))
    assert find_movielens("ml-1m") is None
    for name in ("ml-1m", "ml-100k"):
        (tmp_path / name).mkdir()
    (tmp_path / "ml-100k" / "u.data").write_text("1\t2\t3\t881250949\n")
    table = pd.DataFrame({"user": [1], "item": [2], "rating": [3], "timestamp": [881250949]})
    table.to_csv(tmp_path / "ml-1m" / "ratings.csv.gz", index=False)
    for name in ("ml-1m", "ml-100k"):
        ratings = find_movielens(name)
        assert ratings is not None
        pd.testing.assert_frame_equal(ratings, table[[USER, ITEM, RATING]])
