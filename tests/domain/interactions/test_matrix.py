"""Inner ids and the interaction matrix, with values computed by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from marquee.errors import DataError
from marquee.interactions.matrix import EncodedInteractions, InteractionMatrix

RATINGS = pd.DataFrame(
    {
        "user": ["b", "a", "b", "c"],
        "item": ["y", "x", "x", "y"],
        "rating": np.array([4, 3, 5, 1], dtype=np.float32),
    }
)


def test_inner_ids_follow_order_of_first_appearance() -> None:
    encoded = EncodedInteractions.from_frame(RATINGS)
    assert encoded.user_ids == ("b", "a", "c")
    assert encoded.item_ids == ("y", "x")
    assert encoded.users.tolist() == [0, 1, 0, 2]
    assert encoded.items.tolist() == [0, 1, 1, 0]


def test_matrix_groups_by_user_in_source_order() -> None:
    matrix = InteractionMatrix.from_frame(RATINGS)
    assert matrix.indptr.tolist() == [0, 2, 3, 4]
    assert matrix.items.tolist() == [0, 1, 1, 0]
    assert matrix.values.tolist() == [4.0, 5.0, 3.0, 1.0]
    assert matrix.item_counts().tolist() == [2, 2]
    assert (matrix.n_users, matrix.n_items) == (3, 2)


def test_transpose_groups_by_item_in_source_order() -> None:
    by_item = InteractionMatrix.from_frame(RATINGS).by_item
    assert by_item.indptr.tolist() == [0, 2, 4]
    assert by_item.indices.tolist() == [0, 2, 1, 0]
    assert by_item.values.tolist() == [4.0, 1.0, 3.0, 5.0]


def test_selection_of_rows_gets_new_inner_ids() -> None:
    encoded = EncodedInteractions.from_frame(RATINGS).take(np.array([3, 2]))
    assert (encoded.user_ids, encoded.users.tolist()) == (("c", "b"), [0, 1])
    assert (encoded.item_ids, encoded.items.tolist()) == (("y", "x"), [0, 1])
    assert encoded.values.tolist() == [1.0, 5.0]


def test_table_without_ratings_is_rejected() -> None:
    with pytest.raises(DataError, match="nothing to train on"):
        EncodedInteractions.from_frame(RATINGS.iloc[:0])


def test_weights_become_values_of_the_matrix() -> None:
    weights = RATINGS.rename(columns={"rating": "weight"})
    matrix, rated = InteractionMatrix.from_frame(weights), InteractionMatrix.from_frame(RATINGS)
    assert matrix.values.tolist() == rated.values.tolist()
    assert matrix.by_item.values.tolist() == rated.by_item.values.tolist()
    assert (matrix.feedback, rated.feedback) == ("implicit", "explicit")


def test_matrix_of_selected_rows_has_the_kind_of_feedback_of_the_table() -> None:
    encoded = EncodedInteractions.from_frame(RATINGS)
    assert InteractionMatrix.from_encoded(encoded).feedback == "explicit"
    implicit = replace(encoded, feedback="implicit").take(np.array([1]))
    assert InteractionMatrix.from_encoded(implicit).feedback == "implicit"


def test_timestamps_follow_their_interactions() -> None:
    timed = RATINGS.assign(timestamp=np.array([40, 10, 30, 20]))
    assert InteractionMatrix.from_frame(timed).times.tolist() == [40, 30, 10, 20]  # type: ignore[union-attr]
    encoded = EncodedInteractions.from_frame(timed).take(np.array([3, 1]))
    assert InteractionMatrix.from_encoded(encoded).times.tolist() == [20, 10]  # type: ignore[union-attr]
    assert InteractionMatrix.from_frame(RATINGS).times is None
