"""Lists of blocks of users equal those that the fallback chain gives to each user."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.events import Feedback
from marquee.model.fitted_model import FittedModel, load_model
from marquee.top_n import PADDING
from service.recommendation.list_blocks import (
    UNKNOWN_USER,
    BlockRecommender,
    ListBlock,
    UserBlock,
    iter_training_users,
)
from service.recommendation.list_selection import FALLBACK_LEVELS
from service.recommendation.recent_activity import RecentActivity
from service.recommendation.recommender import RecommendationRequest, Recommender, UserContext
from service.recommendation.shop_rules import Boost, Cap, Pin, ShopRules
from service.recommendation.user_context import build_user_context
from tests.support.manifest_fields import SEPARATE_FIELDS
from tests.support.sample_replica import ITEMS, USERS, write_sample_model

MODELS: dict[str, dict[str, Any]] = {
    "lists only": {},
    "factors": {"scorers": "factors"},
    "item weights": {"scorers": "item weights", **SEPARATE_FIELDS},
    "equal lists": {"scorers": "factors", "list_agreement": 0.95},
    "repeats": {"scorers": "factors", "repeats_allowed": True},
}
RULES = st.builds(
    ShopRules,
    hidden=st.lists(st.sampled_from(ITEMS), unique=True).map(tuple),
    static=st.just(("i5",)),
    pins=st.sampled_from([(), (), (Pin(item="i2", position=2),)]),
    boosts=st.sampled_from([(), (), (Boost(item="i5", factor=100.0),)]),
    caps=st.sampled_from([(), (), (Cap(attribute="genres", at_most=1),)]),
)
ItemScores = list[tuple[int, float | None]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FittedModel]:
    folder = tmp_path_factory.mktemp("models")
    return {name: load_model(_write(folder / name, fields)) for name, fields in MODELS.items()}


def _write(folder: Path, fields: dict[str, Any]) -> Path:
    return write_sample_model(folder, **fields)


def list_contents(lists: ListBlock, row: int) -> tuple[str, ItemScores]:
    pairs = zip(lists.items[row].tolist(), lists.scores[row].tolist(), strict=True)
    items: ItemScores = [
        (item, None if np.isnan(score) else score) for item, score in pairs if item != PADDING
    ]
    return FALLBACK_LEVELS[lists.levels[row]], items


@pytest.mark.parametrize("name", MODELS)
@given(
    rules=RULES,
    n=st.integers(1, len(ITEMS) + 2),
    users=st.lists(st.integers(UNKNOWN_USER, len(USERS) - 1), max_size=6),
)
def test_lists_are_those_of_the_fallback_chain(
    models: dict[str, FittedModel], name: str, rules: ShopRules, n: int, users: list[int]
) -> None:
    recommender = Recommender(models[name], rules)
    lists = BlockRecommender(recommender, n).recommend(
        UserBlock([str(user) for user in users], np.array(users, dtype=np.int32))
    )
    for row, user in enumerate(users):
        context = UserContext(None if user == UNKNOWN_USER else user)
        expected = recommender.recommend(context, RecommendationRequest(n))
        level, items = list_contents(lists, row)
        assert items == [
            (item, None if score is None else float(np.float32(score))) for item, score in expected.items
        ]
        assert not items or level == expected.fallback_level
        assert lists.lengths[row] == len(expected.items)


@given(
    users=st.lists(st.sampled_from([*USERS, "new"]), unique=True, max_size=6),
    rated=st.lists(
        st.tuples(st.sampled_from(["ann", "eve", "new"]), st.sampled_from(ITEMS), st.integers(1, 5))
    ),
)
def test_feedback_since_training_counts(
    models: dict[str, FittedModel], users: list[str], rated: list[tuple[str, str, int]]
) -> None:
    recommender, activity = Recommender(models["factors"]), RecentActivity()
    for number, (user, item, stars) in enumerate(rated):
        activity.record(Feedback(f"e{number}", float(number), user, item, "rating", stars))
    known = (models["factors"].inner_user_id(user) for user in users)
    inner_ids = [UNKNOWN_USER if inner_id is None else inner_id for inner_id in known]
    block = UserBlock(users, np.array(inner_ids, dtype=np.int32))
    lists = BlockRecommender(recommender, 2, activity).recommend(block)
    for row, user in enumerate(users):
        context = build_user_context(models["factors"], user, activity.events_by_item(user))
        expected = recommender.recommend(context, RecommendationRequest(2))
        level, items = list_contents(lists, row)
        assert [item for item, _ in items] == [item for item, _ in expected.items]
        assert not items or level == expected.fallback_level


def test_blocks_contain_every_training_user_once(models: dict[str, FittedModel]) -> None:
    blocks = list(iter_training_users(models["lists only"].arrays.users, 3))
    assert [list(block.ids) for block in blocks] == [["ann", "bob", "zoë/3"], ["eve"]]
    assert np.concatenate([block.inner_ids for block in blocks]).tolist() == [0, 1, 2, 3]


def test_lists_are_no_longer_than_the_catalog(models: dict[str, FittedModel]) -> None:
    assert BlockRecommender(Recommender(models["factors"]), 10**9).width == len(ITEMS)
