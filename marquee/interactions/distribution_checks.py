"""Checks of the whole interactions table: whether a recommender can learn from its distribution."""

import pandas as pd

from marquee.interactions.columns import ITEM, RATING, USER, WEIGHT

MIN_USERS = 20  # with fewer, a score says little about other users


def constant_rating(ratings: pd.Series) -> float | None:
    """Return the rating if there are ratings and all are equal, else None."""
    first = float(ratings.iloc[0]) if len(ratings) else None
    return first if first is not None and bool((ratings == first).all()) else None


def find_unlearnable_distribution(table: pd.DataFrame, allow_repeats: bool = False) -> str | None:
    """Return why nothing can be learned from an interactions table and what to do, or None.

    Args:
        table: interactions with positive weights, or ratings.
        allow_repeats: items that a user has interacted with may be recommended.
    """
    if table.empty:
        return (
            "no user and item have a positive weight; correct data.file.columns.weight or the weights of "
            "the events"
        )
    if RATING in table and (rating := constant_rating(table[RATING])) is not None:
        return (
            f"all {len(table)} ratings are {rating:g}, so there is nothing to learn from them; set "
            f"interactions.feedback to implicit to count every row as one interaction"
        )
    for column, fact in ((USER, "belong to one user"), (ITEM, "are of one item")):
        if table[column].nunique() == 1:
            return (
                f"all {len(table)} interactions {fact}, {table[column].iloc[0]!r}, so there is nothing to "
                f"recommend; add rows of other {column}s, or correct data.file.columns.{column}"
            )
    if WEIGHT in table and not allow_repeats and _users_with_every_item(table) == table[USER].nunique():
        return (
            "every user has interacted with every item, so there is nothing to recommend; add other items "
            "or ratings, or set split.repeat to allow"
        )
    return None


def describe_distribution(table: pd.DataFrame, allow_repeats: bool = False) -> list[str]:
    """Return what limits the results of a table, one sentence each; an ordinary or empty table has none.

    Args:
        table: interactions with positive weights, or ratings.
        allow_repeats: items that a user has interacted with may be recommended.
    """
    if table.empty:
        return []
    warnings = []
    n_users = table[USER].nunique()
    if n_users < MIN_USERS:
        warnings.append(
            f"only {n_users} users: with fewer than {MIN_USERS}, scores say little about other users"
        )
    if not allow_repeats and (n_full := _users_with_every_item(table)):
        warnings.append(
            f"{n_full} of {n_users} users have interacted with every item; their lists will be empty"
        )
    if WEIGHT in table and (weight := _constant_weight(table[WEIGHT])) is not None:
        warnings.append(f"all weights are {weight:g}: every row counts the same")
    return warnings


def _users_with_every_item(table: pd.DataFrame) -> int:
    """Return the number of users whose rows contain every item of the table."""
    n_items = table[ITEM].nunique()
    rows_per_user = table[USER].value_counts()
    active = rows_per_user.index[rows_per_user >= n_items]
    pairs = table.loc[table[USER].isin(active), [USER, ITEM]].drop_duplicates()
    return int((pairs[USER].value_counts() == n_items).sum())


def _constant_weight(weights: pd.Series) -> float | None:
    """Return the weight of all rows if it is the same and not 1, the weight of rows without one."""
    first = float(weights.iloc[0])
    return first if first != 1 and bool((weights == first).all()) else None
