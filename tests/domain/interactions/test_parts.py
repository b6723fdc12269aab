"""Parts: training rows, three validation parts and a test part, and what later rows cannot change."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marquee.errors import DataError
from marquee.interactions.aggregation import RATING_POLICIES, WEIGHT_POLICIES, RepeatsPolicy, aggregate
from marquee.interactions.matrix import InteractionMatrix
from marquee.interactions.parts import (
    N_PARTS,
    TEST_PART,
    TRAIN_ONLY,
    Cut,
    PartRows,
    RepeatPolicy,
    RowKeys,
    Strategy,
    cut_at_random,
    cut_by_time,
    cut_user_last,
)

Row = tuple[str, str, float, int]  # user, item, value, timestamp
STRATEGIES: tuple[Strategy, ...] = ("random", "time", "user_last")
PARTS = range(N_PARTS)


def table(rows: list[Row], column: str = "weight") -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["user", "item", column, "timestamp"])
    return frame.astype({"user": str, "item": str, column: "float32", "timestamp": "int64"})


def cut(frame: pd.DataFrame, strategy: Strategy, share: float = 0.2, repeat: RepeatPolicy = "exclude") -> Cut:
    keys = RowKeys.from_frame(frame)
    if strategy == "random":
        return cut_at_random(keys, share, seed=3, repeat=repeat)
    return cut_by_time(keys, share) if strategy == "time" else cut_user_last(keys, share)


def part_rows(frame: pd.DataFrame, parts: Cut, part: int, repeat: RepeatPolicy = "exclude") -> PartRows:
    return parts.select_rows(part, RowKeys.from_frame(frame).pairs, repeat)


def matrix_bytes(frame: pd.DataFrame, parts: Cut, part: int, repeats: RepeatsPolicy) -> list[object]:
    """Return ids and arrays of the training matrix of a part; empty if it has no training rows."""
    pairs = aggregate(frame.iloc[part_rows(frame, parts, part).train], repeats)
    if pairs.empty:
        return []
    matrix = InteractionMatrix.from_frame(pairs)
    arrays = (matrix.indptr, matrix.items, matrix.values, matrix.by_item.indices, matrix.by_item.values)
    return [matrix.user_ids, matrix.item_ids, *(array.tobytes() for array in arrays)]


NAMES = st.sampled_from([f"n{number}" for number in range(6)])
ROWS = st.lists(
    st.tuples(NAMES, NAMES, st.sampled_from([1.0, 2.0, 5.0, -1.0]), st.integers(0, 60)),
    min_size=12,
    max_size=60,
)


def cut_or_skip(frame: pd.DataFrame, strategy: Strategy, share: float) -> Cut | None:
    """Return the cut, or None if the rows cannot be cut."""
    try:
        return cut(frame, strategy, share)
    except DataError:
        return None


@pytest.mark.parametrize("strategy", STRATEGIES)
@given(rows=ROWS, share=st.sampled_from([0.05, 0.1, 0.2]), repeat=st.sampled_from(["exclude", "allow"]))
@settings(max_examples=40)
def test_every_row_is_trained_on_held_out_repeated_or_history(
    strategy: Strategy, rows: list[Row], share: float, repeat: RepeatPolicy
) -> None:
    frame = table(rows)
    if (parts := cut_or_skip(frame, strategy, share)) is None:
        return
    for part in PARTS:
        selected = part_rows(frame, parts, part, repeat)
        numbers = np.concatenate([selected.train, selected.history, selected.held_out, selected.repeats])
        is_later = parts.part > part if parts.is_rolling else parts.part == TEST_PART
        expected = np.flatnonzero(~is_later | (parts.part == part))
        assert sorted(numbers.tolist()) == expected.tolist()
        if repeat == "allow":
            assert not len(selected.repeats)


@pytest.mark.parametrize("strategy", STRATEGIES)
@given(rows=ROWS, share=st.sampled_from([0.05, 0.1, 0.2]))
@settings(max_examples=40)
def test_held_out_pairs_are_new_to_the_user_and_repeats_are_not(
    strategy: Strategy, rows: list[Row], share: float
) -> None:
    frame = table(rows)
    if (parts := cut_or_skip(frame, strategy, share)) is None:
        return
    pairs = list(zip(frame["user"], frame["item"], strict=True))
    for part in PARTS:
        selected = part_rows(frame, parts, part)
        known = {pairs[row] for row in (*selected.train, *selected.history)}
        assert not known & {pairs[row] for row in selected.held_out}
        assert known >= {pairs[row] for row in selected.repeats}


@given(rows=ROWS, share=st.sampled_from([0.05, 0.1, 0.2]))
@settings(max_examples=40)
def test_random_parts_have_as_many_pairs_as_the_test_part(rows: list[Row], share: float) -> None:
    frame = table(rows)
    if (parts := cut_or_skip(frame, "random", share)) is None:
        return
    n_pairs = len(frame.drop_duplicates(["user", "item"]))
    in_parts = frame.assign(part=parts.part).drop_duplicates(["user", "item", "part"])["part"].value_counts()
    assert in_parts.sum() == n_pairs  # all rows of a pair are in the same part
    assert [in_parts[part] for part in PARTS] == [max(1, min(round(n_pairs * share), (n_pairs - 1) // 4))] * 4


@given(rows=ROWS, share=st.sampled_from([0.05, 0.1, 0.2]))
@settings(max_examples=40)
def test_parts_of_user_last_have_as_many_rows_of_each_user_as_the_test_part(
    rows: list[Row], share: float
) -> None:
    frame = table(rows)
    if (parts := cut_or_skip(frame, "user_last", share)) is None:
        return
    counts = pd.crosstab(frame["user"], parts.part)
    for part in PARTS:
        assert counts[part].tolist() == counts[TEST_PART].tolist()
    assert (counts[TRAIN_ONLY] >= 1).all()
    ordered = frame.assign(part=parts.part).sort_values(["user", "timestamp"], kind="stable")
    assert ordered.groupby("user")["part"].is_monotonic_increasing.all()


@given(rows=ROWS, share=st.sampled_from([0.05, 0.1, 0.2]))
@settings(max_examples=40)
def test_windows_are_the_shortest_with_their_share_of_the_rows(rows: list[Row], share: float) -> None:
    frame = table(rows)
    if (parts := cut_or_skip(frame, "time", share)) is None:
        return
    size = max(1, min(round(len(rows) * share), (len(rows) - 1) // 4))
    times = [frame["timestamp"][parts.part == part] for part in (TRAIN_ONLY, *PARTS)]
    for earlier, later in pairwise(times):
        assert earlier.max() < later.min()
        assert len(later) >= size > (later > later.min()).sum()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("column", "repeats"),
    [
        *(("rating", policy) for policy in RATING_POLICIES),
        *(("weight", policy) for policy in WEIGHT_POLICIES),
    ],
)
@given(data=st.data())
@settings(max_examples=20)
def test_rows_after_the_cut_change_no_byte_of_the_training_matrix(
    strategy: Strategy, column: str, repeats: RepeatsPolicy, data: st.DataObject
) -> None:
    frame = table(data.draw(ROWS), column)
    if repeats == "refuse":
        frame = frame.drop_duplicates(["user", "item"], ignore_index=True)
    if (parts := cut_or_skip(frame, strategy, 0.2)) is None:
        return
    part = data.draw(st.sampled_from(PARTS)) if parts.is_rolling else TEST_PART
    is_kept = (parts.part < part) | data.draw(row_mask(len(frame)))  # the others are removed
    added = table(data.draw(ROWS), column)
    position = data.draw(row_mask(len(added)))  # some of the new rows come first in the table
    changed = pd.concat([added[position], frame[is_kept], added[~position]], ignore_index=True)
    later = np.full(len(added), part, dtype=np.int8)
    number = np.concatenate([later[position], parts.part[is_kept], later[~position]])
    drawn = data.draw(row_mask(len(added))) & (strategy == "time")  # histories of newcomers
    is_history = np.concatenate([drawn[position], parts.is_history[is_kept], drawn[~position]])
    changed_parts = Cut(strategy, number, is_history)
    assert matrix_bytes(changed, changed_parts, part, repeats) == matrix_bytes(frame, parts, part, repeats)


def row_mask(n_rows: int) -> st.SearchStrategy[np.ndarray]:
    return st.lists(st.booleans(), min_size=n_rows, max_size=n_rows).map(lambda mask: np.array(mask, bool))


@pytest.mark.parametrize("strategy", STRATEGIES)
@given(data=st.data())
@settings(max_examples=40)
def test_cut_itself_does_not_depend_on_held_out_values(strategy: Strategy, data: st.DataObject) -> None:
    frame = table(data.draw(ROWS))
    if (parts := cut_or_skip(frame, strategy, 0.2)) is None:
        return
    is_test = parts.part == TEST_PART
    changed = frame.assign(weight=np.where(is_test, 9.0, frame["weight"]).astype(np.float32))
    if strategy != "random":  # later rows may also be of other items, and still later
        changed["item"] = np.where(is_test, "changed", frame["item"])
        changed["timestamp"] = frame["timestamp"] + 100 * is_test
    assert matrix_bytes(changed, cut(changed, strategy), TEST_PART, "sum") == (
        matrix_bytes(frame, parts, TEST_PART, "sum")
    )


def test_first_five_rows_of_a_newcomer_are_history() -> None:
    rows = [("old", f"i{time}", 1.0, time) for time in range(40)]
    rows += [("new", f"i{time}", 1.0, time) for time in range(40, 48)] + [("new", "i40", 1.0, 48)]
    rows += [("old", "i100", 1.0, 49)]
    frame = table(rows)
    parts = cut(frame, "time")
    selected = part_rows(frame, parts, TEST_PART)
    assert frame["timestamp"].iloc[selected.train].max() == 39
    assert frame["timestamp"].iloc[selected.history].tolist() == [40, 41, 42, 43, 44]
    assert frame["timestamp"].iloc[selected.held_out].tolist() == [45, 46, 47, 49]
    assert frame["timestamp"].iloc[selected.repeats].tolist() == [48]  # of the newcomer's own history


def test_user_is_a_newcomer_only_in_their_first_window() -> None:
    rows = [("old", f"i{time}", 1.0, time) for time in range(50)]
    for time in (31, 41, 42, 43, 44, 45, 46):
        rows[time] = ("new", f"i{time}", 1.0, time)
    frame = table(rows)
    parts = cut(frame, "time")
    assert frame["timestamp"][parts.is_history].tolist() == [31]
    selected = part_rows(frame, parts, TEST_PART)
    assert not len(selected.history)
    assert set(range(41, 47)) <= set(frame["timestamp"].iloc[selected.held_out])


def test_user_last_holds_out_rows_in_order_of_time() -> None:
    rows = [("ann", f"i{time}", 1.0, 100 - time) for time in range(10)] + [("bob", "i0", 1.0, 1)] * 4
    parts = cut(table(rows), "user_last", share=0.1)
    assert parts.part.tolist() == [3, 2, 1, 0, -1, -1, -1, -1, -1, -1, *[-1] * 4]


def test_shares_of_user_last_add_up_over_users() -> None:
    rows = [(f"u{user}", f"i{time}", 1.0, time) for user in range(100) for time in range(5)]
    parts = cut(table(rows), "user_last", share=0.1)
    assert [int((parts.part == part).sum()) for part in PARTS] == [50] * 4


def test_random_test_part_is_that_of_a_plain_shuffle_if_no_pair_repeats() -> None:
    frame = table([(f"u{row}", "i", 1.0, 0) for row in range(50)])
    order = np.arange(50)
    np.random.RandomState(3).shuffle(order)
    assert sorted(order[:5]) == np.flatnonzero(cut(frame, "random", 0.1).part == TEST_PART).tolist()


def test_random_split_holds_out_single_rows_if_repeats_are_allowed() -> None:
    frame = table([("ann", "x", 1.0, 0), ("bob", "y", 1.0, 0)] * 10)
    parts = cut(frame, "random", 0.2, repeat="allow")
    assert [int((parts.part == part).sum()) for part in PARTS] == [4] * 4
    with pytest.raises(DataError, match="2 interactions are too few to split"):
        cut(frame, "random", 0.2, repeat="exclude")


def test_training_rows_restore_their_cut() -> None:
    frame = table([("ann", f"i{time}", 1.0, time) for time in range(20)])
    parts = cut(frame, "time")
    rows = parts.training_rows(frame)
    assert len(rows) == 16
    restored = Cut.from_frame(rows, "time")
    for part in range(TEST_PART):
        assert matrix_bytes(rows, restored, part, "sum") == matrix_bytes(frame, parts, part, "sum")


@pytest.mark.parametrize("cut_rows", [cut_by_time, cut_user_last])
def test_parts_by_time_need_timestamps(cut_rows: Callable[[RowKeys, float], Cut]) -> None:
    frame = table([("ann", f"i{row}", 1.0, 0) for row in range(9)]).drop(columns="timestamp")
    with pytest.raises(DataError, match="no timestamps; set it to random"):
        cut_rows(RowKeys.from_frame(frame), 0.1)


@pytest.mark.parametrize(
    ("strategy", "rows", "message"),
    [
        (
            "time",
            [("ann", f"i{row}", 1.0, row // 5) for row in range(20)],
            "too many of them share a timestamp",
        ),
        (
            "user_last",
            [(f"u{row // 4}", f"i{row}", 1.0, row) for row in range(20)],
            "no user has enough rows",
        ),
        ("random", [("ann", f"i{row}", 1.0, row) for row in range(4)], "4 interactions are too few to split"),
    ],
)
def test_rows_that_cannot_be_cut_are_reported(strategy: Strategy, rows: list[Row], message: str) -> None:
    with pytest.raises(DataError, match=message):
        cut(table(rows), strategy)
