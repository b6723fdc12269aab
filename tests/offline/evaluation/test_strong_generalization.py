"""Strong generalization: users who were left out of the training, and the lists that they get."""

import numpy as np
import pandas as pd
import pytest

from experiments.evaluation.protocol import EvaluationProtocol
from experiments.evaluation.strong_generalization import LeftOutUsers, UserCut, leave_out_users
from marquee.errors import DataError
from marquee.interactions.matrix import DEFAULT_SCALE
from marquee.model.recipe import Recipe

COLUMNS = ["user", "item", "rating"]
# Popularity orders x, y, w, z. Who chose w chose z, too, but nobody else did.
TRAIN = pd.DataFrame(
    [("ann", "x", 5.0), ("ann", "y", 5.0), ("bob", "x", 5.0), ("bob", "y", 4.0), ("cem", "x", 4.0),
     ("cem", "y", 5.0), ("eva", "x", 5.0), ("dee", "w", 5.0), ("dee", "z", 5.0), ("fay", "w", 4.0)],
    columns=COLUMNS,
)  # fmt: skip
HISTORY = pd.DataFrame(
    [("guy", "w", 5.0), ("hal", "y", 5.0), ("hal", "new", 5.0), ("ian", "x", 5.0)], columns=COLUMNS
)
# Ian's held-out item is not relevant.
HELD_OUT = pd.DataFrame([("guy", "z", 5.0), ("hal", "x", 4.0), ("ian", "y", 1.0)], columns=COLUMNS)
POPULARITY = Recipe("popularity", {}, 0)
EASE = Recipe("ease", {"reg": 1.0}, 0)


def make_users(held_out: pd.DataFrame = HELD_OUT, *, allow_repeats: bool = False) -> LeftOutUsers:
    cut = UserCut(TRAIN, HISTORY, held_out)
    return LeftOutUsers(cut, EvaluationProtocol(1, 4.0), DEFAULT_SCALE, allow_repeats=allow_repeats)


def make_pairs(n_users: int, n_items: int) -> pd.DataFrame:
    """Return a pair for each user and item; the timestamps of a user decrease."""
    users, items = np.divmod(np.arange(n_users * n_items), n_items)
    ids = {"user": [f"u{n}" for n in users], "item": [f"i{n}" for n in items]}
    return pd.DataFrame(ids).assign(rating=np.float32(5.0), timestamp=1000 - items)


def test_a_tenth_of_the_users_is_left_out_of_the_training() -> None:
    pairs = make_pairs(20, 5)
    cut = leave_out_users(pairs, seed=1, by_time=False)
    left_out = set(cut.history["user"])
    assert len(left_out) == 2
    assert left_out == set(cut.held_out["user"])
    assert left_out.isdisjoint(cut.train["user"])
    rows = [*cut.train.index, *cut.history.index, *cut.held_out.index]
    assert sorted(rows) == list(range(100))  # each pair once


@pytest.mark.parametrize(
    ("n_pairs", "n_held_out"), [(1, 0), (2, 1), (5, 1), (7, 1), (8, 2), (10, 2), (13, 3)]
)
def test_a_fifth_of_the_pairs_of_a_left_out_user_is_held_out(n_pairs: int, n_held_out: int) -> None:
    cut = leave_out_users(make_pairs(2, n_pairs), seed=1, by_time=False)
    assert (len(cut.history), len(cut.held_out)) == (n_pairs - n_held_out, n_held_out)


def test_latest_pairs_are_held_out_of_a_cut_by_time() -> None:
    cut = leave_out_users(make_pairs(2, 10), seed=1, by_time=True)
    assert cut.held_out["item"].tolist() == ["i0", "i1"]  # with the highest timestamps


def test_random_pairs_are_held_out_otherwise() -> None:
    cuts = [leave_out_users(make_pairs(2, 10), seed=seed, by_time=False) for seed in range(20)]
    assert len({tuple(cut.held_out["item"]) for cut in cuts}) > 10


def test_cut_depends_on_the_seed_alone() -> None:
    pairs = make_pairs(50, 4)
    first, second, other = (leave_out_users(pairs, seed, by_time=False) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first.held_out, second.held_out)
    assert set(first.held_out["user"]) != set(other.held_out["user"])


def test_the_only_user_cannot_be_left_out() -> None:
    with pytest.raises(DataError, match="there is only one"):
        leave_out_users(make_pairs(1, 10), seed=1, by_time=False)


def test_popularity_gives_left_out_users_the_most_popular_item_outside_their_history() -> None:
    users = make_users()
    score = users.fit_and_score(POPULARITY)
    assert score.lists is not None
    assert score.lists.user_ndcg.tolist() == [0.0, 1.0]  # Guy and Hal get x
    assert (users.n_users, users.n_evaluated) == (3, 2)
    assert score.to_record()["coverage"] == 2 / 4  # Ian gets y


def test_lists_are_personal_if_the_algorithm_uses_histories() -> None:
    score = make_users().fit_and_score(EASE)
    assert score.lists is not None
    assert score.lists.user_ndcg.tolist() == [1.0, 1.0]  # Guy gets z, because he has w
    comparison = score.compare_with_popularity(make_users().fit_and_score(POPULARITY))
    assert comparison["popularity_ratio"] == 2.0


def test_items_of_the_history_are_recommended_if_repeats_are_allowed() -> None:
    held_out = pd.DataFrame([("ian", "x", 5.0)], columns=COLUMNS)
    for allow_repeats, ndcg in ((True, 1.0), (False, 0.0)):
        score = make_users(held_out, allow_repeats=allow_repeats).fit_and_score(POPULARITY)
        assert score.to_record()["ndcg"] == ndcg


def test_held_out_item_without_training_rows_is_missed() -> None:
    held_out = pd.DataFrame([("hal", "x", 5.0), ("hal", "unknown", 5.0)], columns=COLUMNS)
    assert make_users(held_out).fit_and_score(POPULARITY).to_record()["recall"] == 0.5


def test_weights_of_implicit_feedback_are_graded() -> None:
    tables = [table.rename(columns={"rating": "weight"}) for table in (TRAIN, HISTORY, HELD_OUT)]
    users = LeftOutUsers(UserCut(*tables), EvaluationProtocol(1, 0.0, is_graded=True), DEFAULT_SCALE)
    record = users.fit_and_score(POPULARITY).to_record()
    assert users.n_evaluated == 3
    assert record["graded_ndcg"] == pytest.approx(2 / 3)


def test_users_without_a_relevant_held_out_item_are_an_error() -> None:
    with pytest.raises(DataError, match="relevant held-out item"):
        make_users(HELD_OUT.assign(rating=1.0))
