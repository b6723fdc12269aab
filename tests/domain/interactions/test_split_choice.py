"""Choice of the split: the strategy that evaluates enough users, and the reason for it."""

import numpy as np
import pandas as pd
import pytest

from marquee.errors import DataError
from marquee.interactions.feedback import FeedbackSpec, explicit_feedback, implicit_feedback
from marquee.interactions.parts import N_VALIDATION_PARTS, TEST_PART, PartRows
from marquee.interactions.split_choice import (
    SplitSpec,
    SplitTable,
    StrategySetting,
    choose_cut,
    explain_empty_test_part,
)

IMPLICIT = implicit_feedback("there are no ratings", "auto")
EXPLICIT = explicit_feedback("there are ratings", (1.0, 5.0), None, "auto")


def spec(strategy: StrategySetting = "auto") -> SplitSpec:
    return SplitSpec(strategy, 0.1, "exclude", seed=1)


def interleaved(n_users: int, n_rounds: int = 10) -> pd.DataFrame:
    """Return weights of users who all have a row in each round of time."""
    rows = [(f"u{user}", f"i{time}", 1.0) for time in range(n_rounds) for user in range(n_users)]
    frame = pd.DataFrame(rows, columns=["user", "item", "weight"]).astype({"weight": "float32"})
    return frame.assign(timestamp=range(len(frame)))


def split_table(frame: pd.DataFrame, feedback: FeedbackSpec = IMPLICIT) -> SplitTable:
    return SplitTable.from_frame(frame, feedback)


@pytest.mark.parametrize(
    ("n_users", "strategy", "reason"),
    [
        (334, "time", "time split, because its three validation windows evaluate 1,002 users"),
        (333, "user_last", "because three windows of time would evaluate 999 users, fewer than 1,000"),
    ],
)
def test_auto_splits_by_time_if_windows_evaluate_a_thousand_users(
    n_users: int, strategy: str, reason: str
) -> None:
    cut, actual_reason = choose_cut(split_table(interleaved(n_users)), spec())
    assert cut.strategy == strategy
    assert reason in actual_reason


@pytest.mark.parametrize(
    ("frame", "strategy", "reason"),
    [
        (interleaved(30).drop(columns="timestamp"), "random", "because there are no timestamps"),
        (interleaved(30).assign(timestamp=7), "random", "because all timestamps are equal"),
        (
            interleaved(30, n_rounds=4),
            "random",
            "because no user has enough rows to hold out the last of them",
        ),
        (
            interleaved(30).assign(timestamp=[0] * 299 + [1]),
            "user_last",
            "because too many rows share a timestamp for windows of time",
        ),
    ],
)
def test_auto_gives_its_reason_in_one_sentence(frame: pd.DataFrame, strategy: str, reason: str) -> None:
    cut, actual_reason = choose_cut(split_table(frame), spec())
    assert cut.strategy == strategy
    assert actual_reason == f"{strategy} split, {reason}"


def test_strategy_of_the_settings_is_used_or_fails() -> None:
    frame = interleaved(30)
    cut, reason = choose_cut(split_table(frame), spec("user_last"))
    assert (cut.strategy, reason) == ("user_last", "user_last split, as split.strategy says")
    with pytest.raises(DataError, match=r"split\.strategy is time, but the interactions have no timestamps"):
        choose_cut(split_table(frame.drop(columns="timestamp")), spec("time"))


def test_users_are_evaluated_by_positive_pairs_that_are_new_to_them() -> None:
    times = range(50)
    frame = pd.DataFrame({"user": "old", "item": [f"i{time}" for time in times], "timestamp": times})
    frame["rating"] = 5.0
    frame.loc[45:, "user"] = ["poor", "stranger", "again", "old", "old"]
    frame.loc[:1, "user"] = ["poor", "again"]
    frame.loc[45, "rating"] = 3.0  # not positive
    frame.loc[47, "item"] = "i1"  # not new
    table = split_table(frame, EXPLICIT)
    cut, _ = choose_cut(table, spec("time"))
    summary = table.summarize(cut, TEST_PART, "exclude")
    assert (summary.users, summary.evaluated_users) == (4, 1)
    assert (summary.newcomers, summary.evaluated_newcomers, summary.history_rows) == (1, 0, 1)
    assert (summary.train_rows, summary.held_out_rows, summary.repeat_rows) == (45, 3, 1)
    assert summary.first_timestamp == 45


def test_newcomer_with_six_rows_in_a_window_is_evaluated() -> None:
    frame = interleaved(10)
    frame.loc[90:95, "user"] = "new"
    table = split_table(frame.assign(item=[f"i{row}" for row in range(100)]))
    cut, _ = choose_cut(table, spec("time"))
    summary = table.summarize(cut, TEST_PART, "exclude")
    assert (summary.newcomers, summary.evaluated_newcomers, summary.history_rows) == (1, 1, 5)


def test_summaries_of_parts_add_up_to_the_table() -> None:
    table = split_table(interleaved(40))
    cut, _ = choose_cut(table, spec("time"))
    for part in (*range(N_VALIDATION_PARTS), TEST_PART):
        summary = table.summarize(cut, part, "exclude")
        held_out = summary.history_rows + summary.held_out_rows + summary.repeat_rows
        assert summary.train_rows + held_out == int((cut.part <= part).sum())


@pytest.mark.parametrize(
    ("history", "held_out", "repeats", "message"),
    [
        (0, 3, 2, "nothing is left of its 3 new rows after returns are subtracted"),
        (0, 0, 4, "4 rows repeat a user and item of the training set; set split.repeat to allow"),
        (5, 0, 1, "its 5 rows are the first of users without earlier rows; set split.strategy to random"),
    ],
)
def test_empty_test_part_is_explained_by_its_rows(
    history: int, held_out: int, repeats: int, message: str
) -> None:
    rows = PartRows(*(np.arange(size) for size in (9, history, held_out, repeats)))
    assert message in explain_empty_test_part(rows)
