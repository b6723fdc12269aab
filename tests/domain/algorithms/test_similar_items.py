"""Item similarity by common raters, compared with hand-computed values."""

import numpy as np
import pandas as pd
import pytest

from marquee.algorithms.similar_items import SHRINKAGE, build_similar_items_scorer
from marquee.array_types import Float64Array
from marquee.interactions.matrix import InteractionMatrix

ROWS = [("ann", "a"), ("ann", "b"), ("bob", "a"), ("bob", "b"), ("bob", "b"), ("eve", "a"), ("kim", "c")]


@pytest.fixture
def similarities() -> Float64Array:
    """Similarities of the items a, b and c, shape (3, 3)."""
    ratings = pd.DataFrame(ROWS, columns=["user", "item"]).assign(rating=3.0)
    score = build_similar_items_scorer(InteractionMatrix.from_frame(ratings, (1.0, 5.0)))
    return score(np.arange(3, dtype=np.int32))


def test_similarity_is_shrunk_cosine_of_raters(similarities: Float64Array) -> None:
    # Item a has three raters and b has two, since bob counts once. Both have two raters in common.
    cosine = 2 / np.sqrt(3 * 2)
    expected = cosine * 2 / (2 + SHRINKAGE)
    assert similarities[0, 1] == pytest.approx(expected)
    assert similarities[1, 0] == pytest.approx(expected)


def test_item_is_not_similar_to_itself(similarities: Float64Array) -> None:
    assert np.isneginf(np.diag(similarities)).all()


def test_items_without_common_raters_are_not_similar(similarities: Float64Array) -> None:
    assert np.isneginf(similarities[2]).all()


def test_interaction_matrix_stays_unchanged() -> None:
    frame = pd.DataFrame({"user": ["ann", "bob", "bob"], "item": ["a", "b", "a"], "rating": [1.0, 2.0, 3.0]})
    matrix = InteractionMatrix.from_frame(frame)
    build_similar_items_scorer(matrix)
    assert matrix.items.tolist() == [0, 1, 0]
