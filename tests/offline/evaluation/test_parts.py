"""Validation parts: rows are cut before they are aggregated, and held-out pairs are new to the user."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.evaluation.parts import Part, PartSource
from marquee.algorithms.base import UNKNOWN
from marquee.interactions.parts import PART, Cut
from tests.support.newcomers import add_newcomers
from tests.support.part_files import write_part_files

PLAYS = pd.DataFrame(
    [
        ("ann", "x", 1.0, -1), ("ann", "y", 2.0, -1), ("ann", "x", 4.0, 0), ("bob", "y", 8.0, -1),
        ("ann", "z", 16.0, 0), ("bob", "z", 32.0, 1), ("ann", "z", 64.0, 1), ("bob", "x", 128.0, 2),
        ("cyd", "w", 256.0, 2),
    ],
    columns=["user", "item", "weight", "part"],
)  # fmt: skip


def make_cut(strategy: str, history: tuple[int, ...] = ()) -> Cut:
    frame = PLAYS.assign(is_history=PLAYS.index.isin(history))
    return Cut.from_frame(frame, strategy)  # type: ignore[arg-type]  # a literal


def load_parts(folder: Path, cut: Cut, repeat: str = "exclude") -> list[Part]:
    rows = PLAYS.drop(columns=PART)
    return list(write_part_files(rows, folder, cut=cut, repeat=repeat).load())  # type: ignore[arg-type]


def training_table(part: Part) -> dict[tuple[str, str], float]:
    matrix = part.train
    return {
        (matrix.user_ids[user], matrix.item_ids[matrix.items[position]]): float(matrix.values[position])
        for user in range(matrix.n_users)
        for position in range(matrix.indptr[user], matrix.indptr[user + 1])
    }


def held_out_table(part: Part) -> dict[tuple[str | None, str | None], float]:
    pairs, matrix = part.held_out, part.train
    return {
        (
            None if user == UNKNOWN else matrix.user_ids[user],
            None if item == UNKNOWN else matrix.item_ids[item],
        ): value
        for user, item, value in zip(
            pairs.users.tolist(), pairs.items.tolist(), pairs.actual.tolist(), strict=True
        )
    }


def test_part_of_a_random_split_is_held_out_from_all_other_rows(tmp_path: Path) -> None:
    first, *_ = load_parts(tmp_path, make_cut("random"))
    assert training_table(first) == {
        ("ann", "x"): 1.0, ("ann", "y"): 2.0, ("ann", "z"): 64.0,
        ("bob", "y"): 8.0, ("bob", "z"): 32.0, ("bob", "x"): 128.0, ("cyd", "w"): 256.0,
    }  # fmt: skip
    assert held_out_table(first) == {}, "ann has x and z in training"


def test_part_of_a_time_split_is_held_out_from_earlier_rows(tmp_path: Path) -> None:
    first, second, third = load_parts(tmp_path, make_cut("time"))
    assert training_table(first) == {("ann", "x"): 1.0, ("ann", "y"): 2.0, ("bob", "y"): 8.0}
    assert held_out_table(first) == {("ann", None): 16.0}
    assert training_table(second)["ann", "x"] == 5.0, "rows of the first part are aggregated"
    assert held_out_table(second) == {("bob", "z"): 32.0}
    assert held_out_table(third) == {("bob", "x"): 128.0, (None, None): 256.0}


def test_training_matrix_has_the_latest_time_of_each_pair(tmp_path: Path) -> None:
    rows = PLAYS.drop(columns=PART).assign(timestamp=100 + np.arange(len(PLAYS)))
    _, second, _ = write_part_files(rows, tmp_path, cut=make_cut("time")).load()
    assert second.train.items.tolist() == [0, 1, 2, 1]  # ann: x, y, z; bob: y
    assert second.train.times is not None
    assert second.train.times.tolist() == [102, 101, 104, 103]  # ann's rows of x are at 100 and 102
    assert load_parts(tmp_path, make_cut("time"))[0].train.times is None


def test_history_of_a_newcomer_is_not_in_training(tmp_path: Path) -> None:
    *_, third = load_parts(tmp_path, make_cut("time", history=(8,)))
    assert third.train.user_ids == ("ann", "bob")
    assert third.train.item_ids == ("x", "y", "z"), "nobody had w before"
    assert held_out_table(third) == {("bob", "x"): 128.0}
    assert third.user_numbers.tolist() == [0, 1, 2]
    assert third.audience.is_newcomer.tolist() == [False, False, True]
    assert third.histories.counts.tolist() == [0], "w is unknown to training"


def test_newcomers_are_numbered_after_the_training_users(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        [("new", "x", 1.0, 0, True), ("old", "y", 2.0, -1, False), ("old", "x", 3.0, -1, False),
         ("new", "x", 4.0, 0, True), ("new", "y", 5.0, 0, False)],
        columns=["user", "item", "weight", "part", "is_history"],
    )  # fmt: skip
    cut = Cut.from_frame(rows, "time")
    first = write_part_files(rows[["user", "item", "weight"]], tmp_path, cut=cut).load()[0]
    assert first.train.user_ids == ("old",)
    assert first.user_numbers.tolist() == [1, 0]
    assert (first.histories.indices.tolist(), first.histories.values.tolist()) == ([1], [5.0])  # x: 1 + 4
    assert (first.held_out.users.tolist(), first.held_out.items.tolist()) == ([1], [0])
    assert first.seen.indptr.tolist() == [0, 2, 3]
    assert first.seen.items.tolist() == [0, 1, 1]


def test_held_out_pairs_may_repeat_training_pairs_if_allowed(tmp_path: Path) -> None:
    first, second, _ = load_parts(tmp_path, make_cut("time"), repeat="allow")
    assert held_out_table(first) == {("ann", "x"): 4.0, ("ann", None): 16.0}
    assert held_out_table(second)["ann", "z"] == 64.0
    indptr, items = first.seen
    assert indptr.tolist() == [0] * (first.train.n_users + 1)
    assert len(items) == 0


def test_training_items_must_not_be_recommended_unless_repeats_are_allowed(tmp_path: Path) -> None:
    first, *_ = load_parts(tmp_path, make_cut("time"))
    assert first.seen == (first.train.indptr, first.train.items)


def test_user_has_the_same_number_in_every_part(tmp_path: Path) -> None:
    numbers = {"ann": 0, "bob": 1, "cyd": 2}
    for part in load_parts(tmp_path, make_cut("random")):
        assert part.user_numbers.tolist() == [numbers[user] for user in part.train.user_ids]


def test_inner_ids_follow_the_order_of_first_appearance(ratings: pd.DataFrame, tmp_path: Path) -> None:
    source = write_part_files(ratings, tmp_path)
    rows = pd.read_parquet(source.rows)
    for number, part in enumerate(source.load()):
        train = rows[rows[PART] != number]
        assert part.train.user_ids == tuple(train["user"].unique())
        assert part.train.item_ids == tuple(train["item"].unique())


@pytest.mark.parametrize("strategy", ["random", "time", "user_last"])
def test_held_out_values_are_those_of_the_built_part(
    ratings: pd.DataFrame, tmp_path: Path, strategy: str
) -> None:
    rows = ratings.assign(timestamp=np.arange(len(ratings)))
    parts = write_part_files(rows, tmp_path, strategy=strategy).load()  # type: ignore[arg-type]
    for number, part in enumerate(parts):
        users, values = parts.held_out_values(number)
        is_known = part.held_out.users != UNKNOWN
        assert users.tolist() == part.user_numbers[part.held_out.users[is_known]].tolist()
        assert values.tolist() == part.held_out.actual[is_known].tolist()


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("strategy", ["time", "user_last"])
def test_rows_after_the_cut_change_no_byte_of_the_training_matrix(
    ratings: pd.DataFrame, tmp_path: Path, strategy: str, number: int
) -> None:
    """All held-out rows change, among them the histories of newcomers: items, ratings and users."""
    rows = add_newcomers(ratings)
    source = write_part_files(rows, tmp_path, strategy=strategy)  # type: ignore[arg-type]
    before = source.load()[number]
    table = pd.read_parquet(source.rows)
    is_later = (table[PART] >= number).to_numpy()
    assert (table["is_history"] & is_later).any() == (strategy == "time")
    table.loc[is_later, "item"] = np.random.default_rng(3).permutation(table["item"][is_later])
    table.loc[is_later, "rating"] = 1.0
    is_newcomer = (table["user"].str.startswith("new") & is_later).to_numpy()
    table.loc[is_newcomer, "user"] = "other " + table["user"][is_newcomer]
    table.to_parquet(source.rows, index=False)
    after = source.load()[number]
    assert (before.train.user_ids, before.train.item_ids) == (after.train.user_ids, after.train.item_ids)
    for name in ("indptr", "items", "values"):
        assert getattr(before.train, name).tobytes() == getattr(after.train, name).tobytes()


def test_source_can_be_sent_to_another_process(ratings: pd.DataFrame, tmp_path: Path) -> None:
    import pickle

    source = write_part_files(ratings, tmp_path)
    copy: PartSource = pickle.loads(pickle.dumps(source))
    assert copy == source
    assert len(copy.load()) == 3


def test_number_outside_the_parts_is_an_index_error(ratings: pd.DataFrame, tmp_path: Path) -> None:
    parts = write_part_files(ratings, tmp_path).load()
    with pytest.raises(IndexError):
        parts[3]
