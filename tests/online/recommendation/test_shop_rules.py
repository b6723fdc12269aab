"""Rules of the shop: every list equals the documented rules applied to the rankings of all items."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marquee.model.factor_scoring import FactorSpace
from marquee.model.fitted_model import FittedModel, load_model, write_model
from marquee.model.history_weighting import HistoryWeighting
from marquee.model.scorers.item_weights import ItemWeights
from marquee.model.scorers.rating_factors import RatingFactors
from service.recommendation.recommender import RecommendationRequest, Recommender, UserContext
from service.recommendation.shop_rules import ShopRules
from tests.support.manifest_fields import MANIFEST_FIELDS
from tests.support.model_builder import build_small_model_arrays
from tests.support.rule_reference import RuleReference

N_ITEMS = 12
ITEMS = [f"i{item}" for item in range(N_ITEMS)]
GENRES = [
    "Drama", "Drama|War", "Comedy", "Comedy|Drama", "War", "", "Horror", "Horror|War", "Comedy", "Drama",
    "Comedy|War", "Horror",
]  # fmt: skip
SERIES = {"i0": "Alien", "i1": "Alien", "i2": ("Alien", "Ring"), "i6": "Ring", "i7": "Ring", "i9": "Solo"}
SIMILAR = {0: [1, 2], 1: [2, 3], 3: [8, 9], 4: [10, 7], 6: [7, 11], 8: [10, 2], 11: [7, 6]}
USERS: dict[str, tuple[list[int], list[int]]] = {
    "ann": ([0, 4], [3, 2, 1, 10, 7]),
    "bob": ([1, 2, 5, 6], [8, 0]),
    "eve": ([6, 7, 11], []),
    "zoë": (list(range(N_ITEMS)), []),
}
KINDS = ("none", "factors", "item weights", "shared lists")


def stored_scorer(kind: str) -> RatingFactors | ItemWeights | None:
    rng = np.random.default_rng(7)
    if kind == "item weights":
        items = np.array([np.sort(rng.choice(N_ITEMS, 5, replace=False)) for _ in ITEMS], dtype=np.int32)
        weights = rng.integers(-2, 4, items.shape).astype(np.float32)  # with ties and negative scores
        return ItemWeights(items, weights, HistoryWeighting("linear", bound=2.0, unit=2.0, floor=-0.5))
    if kind == "none":
        return None
    factors = [rng.integers(-2, 3, (n, 2)).astype(np.float64) for n in (N_ITEMS, len(USERS))]
    of_items, of_users = ((array, np.zeros(len(array))) for array in factors)
    return RatingFactors(FactorSpace.from_parameters(of_items, of_users, 3.5, 0.5))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, FittedModel]:
    """Model of each kind of recommender."""
    folder = tmp_path_factory.mktemp("models")
    for kind in KINDS:
        arrays = build_small_model_arrays(
            USERS, ITEMS, genres=GENRES, similar=SIMILAR, width=5, recommender=stored_scorer(kind)
        )
        agreement = 0.95 if kind == "shared lists" else 0.2
        write_model(folder / kind, arrays, {**MANIFEST_FIELDS, "list_agreement": agreement})
    return {kind: load_model(folder / kind) for kind in KINDS}


item_sets = st.frozensets(st.integers(0, N_ITEMS - 1), max_size=5)
targets = st.one_of(
    st.fixed_dictionaries({"item": st.sampled_from(ITEMS)}),
    st.sampled_from([{"attribute": "genres", "value": value} for value in ("Drama", "War", "Comedy")]),
    st.sampled_from([{"attribute": "series", "value": value} for value in ("Alien", "Ring")]),
)
boosts = st.builds(
    lambda target, factor: {**target, "factor": factor}, targets, st.sampled_from([0.25, 0.5, 2, 3, 10])
)
caps = st.builds(
    lambda target, at_most: {**target, "at_most": at_most},
    st.sampled_from(
        [
            {"attribute": "genres"},
            {"attribute": "genres", "value": "Drama"},
            {"attribute": "series"},
            {"attribute": "series", "value": "Alien"},
        ]
    ),
    st.integers(1, 3),
)
filters = st.sampled_from(
    [
        {"attribute": "genres", "any_of": ["Drama", "War", "Horror"]},
        {"attribute": "genres", "none_of": ["Horror"]},
        {"attribute": "series", "none_of": ["Ring"]},
    ]
)


@st.composite
def shop_rules(draw: st.DrawFn) -> ShopRules:
    positions = draw(st.lists(st.integers(1, 8), max_size=3, unique=True))
    pinned = draw(st.permutations(ITEMS))
    tree = {
        "hidden": draw(st.lists(st.sampled_from(ITEMS), max_size=2)),
        "static": draw(st.lists(st.sampled_from(ITEMS), max_size=3, unique=True)),
        "attributes": {"series": SERIES},
        "filters": draw(st.lists(filters, max_size=1)),
        "pins": [
            {"item": item, "position": position} for item, position in zip(pinned, positions, strict=False)
        ],
        "boosts": draw(st.lists(boosts, max_size=2)),
        "caps": draw(st.lists(caps, max_size=2)),
        "diversity": draw(st.sampled_from([0.0, 0.0, 0.3, 0.8, 1.0])),
    }
    return ShopRules.model_validate_json(json.dumps(tree))


@settings(max_examples=400, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    rules=shop_rules(),
    user=st.sampled_from([*USERS, None]),
    recent=st.dictionaries(st.integers(0, N_ITEMS - 1), st.sampled_from([None, 1.0, 3.0, 5.0]), max_size=3),
    held_back=item_sets,
    exclude=item_sets,
    filters=st.sampled_from([{}, {"genre": 1}, {"attributes": (("series", "Alien"),)}]),
    n=st.integers(1, 14),
)
def test_list_equals_the_rules_applied_to_all_items(  # noqa: PLR0917  hypothesis passes them by name
    models: Mapping[str, FittedModel], kind: str, rules: ShopRules, user: str | None,
    recent: dict[int, float | None], held_back: frozenset[int], exclude: frozenset[int],
    filters: dict[str, Any], n: int,
) -> None:  # fmt: skip
    model = models[kind]
    recommender = Recommender(model, rules)
    rejected = {int(problem.split(".")[1]) for problem in recommender.compiled_rules.problems}
    pins = tuple(pin for number, pin in enumerate(rules.pins) if number not in rejected)
    inner_id = None if user is None else model.inner_user_id(user)
    context = UserContext(inner_id, recent, held_back=held_back)
    request = RecommendationRequest(n, exclude, **filters)
    response = recommender.recommend(context, request)
    expected = RuleReference(model, rules.model_copy(update={"pins": pins}), context, request).recommend()
    assert [item for item, _ in response.items] == expected.items
    assert set(response.relaxed_filters) == expected.relaxed_filters
    assert response.fallback_level == expected.fallback_level
