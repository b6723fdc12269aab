"""Item similarity by common raters, compared with hand-computed values."""

import numpy as np
import pandas as pd
import pytest

from marquee.algorithms.similar_items import SHRINKAGE, build_item_similarity_scorer
from marquee.interactions.matrix import InteractionMatrix

ROWS = [("ann", "a"), ("ann", "b"), ("bob", "a"), ("bob", "b"), ("bob", "b"), ("eve", "a"), ("kim", "c")]


def make_matrix() -> InteractionMatrix:
    frame = pd.DataFrame({"user": [u for u, _ in ROWS], "item": [i for _, i in ROWS], "rating": 3.0})
    return InteractionMatrix.from_frame(frame, (1.0, 5.0))


@pytest.fixture
def similarities() -> np.ndarray:
    return build_item_similarity_scorer(make_matrix())(np.arange(3, dtype=np.int32))


def test_similarity_is_shrunk_cosine_of_raters(similarities: np.ndarray) -> None:
    # a has three raters, b has two (bob counts once), two are common: cosine 2 / sqrt(3 * 2), then shrunk
    expected = 2 / np.sqrt(3 * 2) * 2 / (2 + SHRINKAGE)
    assert similarities[0, 1] == pytest.approx(expected)
    assert similarities[1, 0] == pytest.approx(expected)


def test_item_is_similar_neither_to_itself_nor_to_items_without_common_raters(
    similarities: np.ndarray,
) -> None:
    assert np.isneginf(np.diag(similarities)).all()
    assert np.isneginf(similarities[2]).all()


def test_interaction_matrix_stays_unchanged() -> None:
    frame = pd.DataFrame({"user": ["ann", "bob", "bob"], "item": ["a", "b", "a"], "rating": [1.0, 2.0, 3.0]})
    matrix = InteractionMatrix.from_frame(frame)
    build_item_similarity_scorer(matrix)
    assert matrix.items.tolist() == [0, 1, 0]
