"""Tables of interactions with newcomers, users whose rows begin late."""

import pandas as pd


def add_newcomers(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows in order of time; two new users replace half of all users in each of the last five tenths.

    The ids of the new users begin with "new" and the number of the tenth.
    """
    users = rows["user"].astype(str).reset_index(drop=True)
    table = rows.reset_index(drop=True).assign(timestamp=range(len(rows)))
    tenth = table["timestamp"] * 10 // len(table)
    code = pd.Series(pd.factorize(users)[0])
    is_new = (tenth >= 5) & (code % 2 == 0)
    return table.assign(user=users.where(~is_new, "new " + tenth.astype(str) + "-" + (code % 4).astype(str)))
