"""Repeats: held-out pairs of known items, and how many of them lists that allow known items contain."""

import pandas as pd
import pytest

from experiments.evaluation.audience import encode_audience
from experiments.evaluation.protocol import EvaluationProtocol
from experiments.evaluation.repeats import RepeatScores, score_repeats
from marquee.algorithms.popularity import Popularity
from marquee.algorithms.scoring import encode_pairs
from marquee.interactions.matrix import InteractionMatrix

COLUMNS = ["user", "item", "weight"]
# Popularity orders x, y, z. Ann bought x most often, Bob z.
TRAIN = pd.DataFrame(
    [("ann", "x", 5.0), ("ann", "y", 1.0), ("bob", "x", 2.0), ("bob", "z", 4.0), ("cem", "x", 1.0),
     ("dee", "y", 1.0)],
    columns=COLUMNS,
)  # fmt: skip


def score(*repeats: tuple[str, str, float], n: int = 1, positive_from: float = 0.0) -> RepeatScores | None:
    """Score popularity and own items on repeats given as user, item and weight."""
    matrix = InteractionMatrix.from_frame(TRAIN)
    pairs = encode_pairs(pd.DataFrame(list(repeats), columns=COLUMNS), matrix)
    return score_repeats(Popularity().fit(matrix), matrix, pairs, EvaluationProtocol(n, positive_from))


def test_lists_may_show_known_items() -> None:
    scores = score(("ann", "x", 1.0), ("bob", "z", 1.0))
    assert scores is not None
    assert scores.to_record() == {
        "users": 2,
        "recall": 0.5,  # everybody gets x, which Ann bought again
        "hit_rate": 0.5,
        "own_items_recall": 1.0,  # Ann gets x, and Bob gets z
        "own_items_hit_rate": 1.0,
    }


def test_recall_counts_all_repeats_of_a_user_and_hit_rate_one() -> None:
    scores = score(("bob", "x", 1.0), ("bob", "z", 1.0))
    assert scores is not None
    assert (scores.own_items.recall, scores.own_items.hit_rate) == (0.5, 1.0)


def test_own_items_are_only_those_of_the_user() -> None:
    scores = score(("cem", "x", 1.0), ("dee", "y", 1.0), n=3)
    assert scores is not None
    assert scores.own_items.recall == 1.0
    assert scores.recommender.recall == 1.0


@pytest.mark.parametrize("repeats", [[], [("unknown", "x", 9.0)], [("ann", "x", 1.0)]])
def test_without_relevant_repeats_of_known_users_there_is_no_score(
    repeats: list[tuple[str, str, float]],
) -> None:
    assert score(*repeats, positive_from=2.0) is None


def test_newcomers_own_the_items_of_their_histories() -> None:
    matrix = InteractionMatrix.from_frame(TRAIN)
    history = pd.DataFrame([("new", "z", 2.0), ("new", "y", 1.0)], columns=COLUMNS)
    repeats = pd.DataFrame([("new", "z", 1.0)], columns=COLUMNS)
    histories, pairs = encode_audience(history, repeats, matrix)
    algorithm, protocol = Popularity().fit(matrix), EvaluationProtocol(1, 0.0)
    scores = score_repeats(algorithm, matrix, pairs, protocol, histories)
    assert scores is not None
    assert scores.n_users == 1
    assert (scores.recommender.recall, scores.own_items.recall) == (0.0, 1.0)  # of x and z
