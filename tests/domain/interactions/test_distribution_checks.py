"""Tables from which nothing can be learned, and tables from which little can."""

import pandas as pd
import pytest

from marquee.interactions.distribution_checks import describe_distribution, find_unlearnable_distribution

Row = tuple[str, str, float]


def table(rows: list[Row], column: str = "weight") -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["user", "item", column])


def diagonal(n_users: int, weight: float = 1.0) -> list[Row]:
    """Return rows of users who each have an item of their own and one that all have."""
    return [(f"u{user}", item, weight) for user in range(n_users) for item in (f"i{user}", "all")]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("ann", "x", 1.0), ("ann", "y", 2.0)], "all 2 interactions belong to one user, 'ann'"),
        ([("ann", "x", 1.0), ("bob", "x", 2.0)], "all 2 interactions are of one item, 'x'"),
        (
            [("ann", "x", 1.0), ("bob", "x", 2.0), ("ann", "y", 1.0), ("bob", "y", 1.0)],
            "every user has interacted",
        ),
        ([], "no user and item have a positive weight"),
    ],
)
def test_unlearnable_table_is_explained_in_one_line(rows: list[Row], message: str) -> None:
    failure = find_unlearnable_distribution(table(rows))
    assert failure is not None
    assert failure.startswith(message)
    assert "\n" not in failure


def test_constant_ratings_are_unlearnable_and_say_which_parameter_to_set() -> None:
    rows = [(user, item, 5.0) for user, item, _ in diagonal(3)]
    assert find_unlearnable_distribution(table(rows, "rating")) == (
        "all 6 ratings are 5, so there is nothing to learn from them; set interactions.feedback to implicit "
        "to count every row as one interaction"
    )


def test_users_with_every_item_are_learnable_from_ratings() -> None:
    rows = [("ann", "x", 1.0), ("bob", "x", 2.0), ("ann", "y", 1.0), ("bob", "y", 1.0)]
    assert find_unlearnable_distribution(table(rows, "rating")) is None


def test_users_with_every_item_have_lists_if_repeats_are_allowed() -> None:
    rows = [(f"u{user}", item, 1.0) for user in range(20) for item in ("x", "y")]
    assert find_unlearnable_distribution(table(rows)) is not None
    assert find_unlearnable_distribution(table(rows), allow_repeats=True) is None
    assert describe_distribution(table(rows), allow_repeats=True) == []


def test_ordinary_table_has_neither_a_failure_nor_a_warning() -> None:
    assert find_unlearnable_distribution(table(diagonal(20))) is None
    assert describe_distribution(table(diagonal(20))) == []


def test_fewer_than_twenty_users_are_reported() -> None:
    assert describe_distribution(table(diagonal(19))) == [
        "only 19 users: with fewer than 20, scores say little about other users"
    ]


def test_users_with_every_item_are_counted_once_per_user() -> None:
    rows = [*diagonal(20), *(("u0", f"i{item}", 1.0) for item in range(20)), ("u1", "all", 1.0)]
    assert describe_distribution(table(rows)) == [
        "1 of 20 users have interacted with every item; their lists will be empty"
    ]


def test_equal_weights_are_reported_unless_they_are_one() -> None:
    assert describe_distribution(table(diagonal(20, weight=3.0))) == [
        "all weights are 3: every row counts the same"
    ]


def test_empty_table_has_no_warnings() -> None:
    assert describe_distribution(table([])) == []
