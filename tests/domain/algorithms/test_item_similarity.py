"""Similar items: who rated both, by hand."""

import numpy as np
import pandas as pd
import pytest

from marquee.algorithms.item_similarity import SHRINKAGE, co_rating_cosine
from marquee.interactions.matrix import RatingMatrix

ROWS = [("ann", "a"), ("ann", "b"), ("bob", "a"), ("bob", "b"), ("bob", "b"), ("eve", "a"), ("kim", "c")]


@pytest.fixture
def similar() -> np.ndarray:
    frame = pd.DataFrame({"user": [u for u, _ in ROWS], "item": [i for _, i in ROWS], "rating": 3.0})
    return co_rating_cosine(RatingMatrix.from_frame(frame, (1.0, 5.0)))(np.arange(3, dtype=np.int32))


def test_similarity_is_the_share_of_common_raters_shrunk(similar: np.ndarray) -> None:
    # a has three raters, b two (bob counts once), both have two: 2 / sqrt(6), shrunk by 2 / 12.
    expected = 2 / np.sqrt(3 * 2) * 2 / (2 + SHRINKAGE)
    assert similar[0, 1] == pytest.approx(expected)
    assert similar[1, 0] == pytest.approx(expected)


def test_no_item_is_similar_to_itself_or_to_what_nobody_rated_with_it(similar: np.ndarray) -> None:
    assert np.isneginf(np.diag(similar)).all()
    assert np.isneginf(similar[2]).all()
