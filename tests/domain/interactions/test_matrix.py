"""Numbers for ids, and the matrix by user, by hand."""

import numpy as np
import pandas as pd
import pytest

from marquee.errors import DataError
from marquee.interactions.matrix import CodedRatings, RatingMatrix

TABLE = pd.DataFrame(
    {
        "user": ["b", "a", "b", "c"],
        "item": ["y", "x", "x", "y"],
        "rating": np.array([4, 3, 5, 1], dtype=np.float32),
    }
)


def test_users_and_items_are_numbered_in_order_of_first_appearance() -> None:
    coded = CodedRatings.from_frame(TABLE)
    assert coded.user_ids == ("b", "a", "c")
    assert coded.item_ids == ("y", "x")
    assert coded.users.tolist() == [0, 1, 0, 2]
    assert coded.items.tolist() == [0, 1, 1, 0]


def test_the_matrix_groups_by_user_and_keeps_each_users_source_order() -> None:
    matrix = RatingMatrix.from_coded(CodedRatings.from_frame(TABLE))
    assert matrix.indptr.tolist() == [0, 2, 3, 4]
    assert matrix.items.tolist() == [0, 1, 1, 0]
    assert matrix.values.tolist() == [4.0, 5.0, 3.0, 1.0]
    assert matrix.item_counts().tolist() == [2, 2]
    assert (matrix.n_users, matrix.n_items) == (3, 2)


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(DataError, match="no rating to train on"):
        CodedRatings.from_frame(TABLE.iloc[:0])
