"""Rules of the shop: every list equals the documented rules applied to the rankings of all items."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marquee.errors import ConfigError
from marquee.model.factor_scoring import FactorSpace
from marquee.model.fitted_model import FittedModel, load_model, write_model
from marquee.model.history_weighting import HistoryWeighting
from marquee.model.scorers.item_weights import ItemWeights
from marquee.model.scorers.rating_factors import RatingFactors
from service.recommendation.ranking import iter_best
from service.recommendation.recommender import RecommendationRequest, Recommender, UserContext
from service.recommendation.shop_rules import ShopRules, read_shop_rules
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
        "diversity": draw(st.sampled_from([0.0, 0.0, 0.3, 0.8, 0.99])),
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


def recommend(
    model: FittedModel, rules: Mapping[str, Any], n: int = 3, user: str = "ann", **filters: Any
) -> list[str]:
    recommender = Recommender(model, ShopRules.model_validate_json(json.dumps(rules)))
    context = UserContext(model.inner_user_id(user))
    response = recommender.recommend(context, RecommendationRequest(n, **filters))
    return [ITEMS[item] for item, _ in response.items]


def test_pinned_item_has_its_position(models: Mapping[str, FittedModel]) -> None:
    assert recommend(models["none"], {}) == ["i3", "i2", "i1"]
    assert recommend(models["none"], {"pins": [{"item": "i5", "position": 2}]}) == ["i3", "i5", "i2"]


def test_pinned_item_that_the_user_knows_is_not_shown(models: Mapping[str, FittedModel]) -> None:
    assert recommend(models["none"], {"pins": [{"item": "i0", "position": 1}]}) == ["i3", "i2", "i1"]


def test_cap_of_one_per_series_defers_the_others(models: Mapping[str, FittedModel]) -> None:
    rules = {"attributes": {"series": SERIES}, "caps": [{"attribute": "series", "at_most": 1}]}
    assert recommend(models["none"], rules) == ["i3", "i2", "i10"]  # i1 and i7 share series with i2


def test_cap_does_not_apply_to_what_the_request_asks_for(models: Mapping[str, FittedModel]) -> None:
    model, cap = models["none"], {"caps": [{"attribute": "genres", "value": "War", "at_most": 1}]}
    war = model.genre_affinity.genres.index("War")
    items = recommend(model, cap, genre=war)
    assert all("War" in GENRES[ITEMS.index(item)] for item in items)


@pytest.mark.parametrize("factor", [0.1, 0.5, 2.0, 100.0])
def test_boost_moves_an_item_only_in_its_direction(models: Mapping[str, FittedModel], factor: float) -> None:
    model = models["item weights"]  # has negative scores
    before = recommend(model, {"boosts": [{"item": "i0", "factor": 2}]}, n=10)  # she knows i0
    for item in before:
        after = recommend(model, {"boosts": [{"item": item, "factor": factor}]}, n=10)
        moved = before.index(item) - after.index(item)
        assert moved >= 0 if factor > 1 else moved <= 0
        assert [each for each in after if each != item] == [each for each in before if each != item]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"hidden": ["i1"], "pins": [{"item": "i1", "position": 1}]}, "pins.0.item: i1 is hidden"),
        (
            {"pins": [{"item": "i1", "position": 1}, {"item": "i2", "position": 1}]},
            "pins.1.position: another item is pinned at position 1",
        ),
        (
            {"pins": [{"item": "i1", "position": 1}, {"item": "i1", "position": 2}]},
            "pins.1.item: i1 is pinned at another position",
        ),
        ({"pins": [{"item": "i1", "position": 0}]}, "pins.0.position"),
        ({"boosts": [{"item": "i1", "factor": -1}]}, "boosts.0.factor"),
        ({"boosts": [{"item": "i1", "factor": 1e-7}]}, "boosts.0.factor"),
        (
            {"available": {"i1": {"from": "2027-01-01T00:00:00Z", "until": "2026-12-31T23:00:00-01:00"}}},
            "available.i1.until: must be later than from",
        ),
        ({"boosts": [{"factor": 2}]}, "boosts.0: a boost must name either an item, or an attribute and a"),
        ({"caps": [{"attribute": "genres", "at_most": 0}]}, "caps.0.at_most"),
        ({"filters": [{"attribute": "genres"}]}, "filters.0: any_of or none_of must name a value"),
        ({"diversity": 1}, "diversity"),
        ({"attributes": {"genres": {"i1": "Drama"}}}, "attributes.genres: the model has the genres"),
        ({"attributes": {"n": {"i1": "1"}}}, "attributes.n: an attribute must not be named 'n'"),
    ],
)
def test_contradictory_rules_are_an_error_that_names_the_field(
    tmp_path: Path, rules: Mapping[str, Any], message: str
) -> None:
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(rules))
    with pytest.raises(ConfigError) as error:
        read_shop_rules(path)
    assert str(error.value).startswith(f"{path}: {message}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        (
            {"boosts": [{"attribute": "serie", "value": "Ring", "factor": 2}]},
            "boosts.0.attribute: no item has the attribute serie (expected genres)",
        ),
        (
            {"filters": [{"attribute": "genres", "any_of": ["Western"]}]},
            "filters.0: no item passes this filter and those before it",
        ),
        (
            {
                "filters": [{"attribute": "genres", "none_of": ["War"]}],
                "pins": [{"item": "i4", "position": 1}],
            },
            "pins.0.item: i4 does not pass the filters",
        ),
        (
            {
                "caps": [{"attribute": "genres", "at_most": 1}],
                "pins": [{"item": "i4", "position": 1}, {"item": "i1", "position": 2}],
            },
            "pins.1.item: i1 exceeds the cap on genres",
        ),
        (
            {"hidden": ["i6", "i7", "i11"], "filters": [{"attribute": "genres", "any_of": ["Horror"]}]},
            "filters.0: no item passes this filter and those before it",
        ),
        (
            {"boosts": [{"attribute": "genres", "value": "Drama", "factor": 1000}] * 3},
            "boosts.2.factor: with the boosts before it, the factor of an item is not from 1e-06 to 1e+06",
        ),
    ],
)
def test_rule_that_does_not_fit_the_model_is_left_out_and_described(
    models: Mapping[str, FittedModel], rules: Mapping[str, Any], problem: str
) -> None:
    recommender = Recommender(models["none"], ShopRules.model_validate_json(json.dumps(rules)))
    assert recommender.compiled_rules.problems == (problem,)
    response = recommender.recommend(UserContext(0), RecommendationRequest(3))
    assert len(response.items) == 3


def test_rules_on_items_that_the_model_lacks_are_ignored(models: Mapping[str, FittedModel]) -> None:
    rules = {
        "attributes": {"series": {"new": "Ring", **SERIES}},
        "pins": [{"item": "new", "position": 1}],
        "boosts": [{"item": "new", "factor": 2}],
    }
    assert recommend(models["none"], rules) == ["i3", "i2", "i1"]


def test_empty_text_is_no_value_of_an_attribute(models: Mapping[str, FittedModel]) -> None:
    rules = {
        "attributes": {"series": {"i3": "", "i2": ["", ""]}},
        "caps": [{"attribute": "series", "at_most": 1}],
    }
    assert recommend(models["none"], rules) == ["i3", "i2", "i1"]


@pytest.mark.parametrize("n", [1, 10, 100])
@pytest.mark.parametrize("n_items", [50, 9000])
def test_best_items_come_in_order_of_score_then_of_id(n: int, n_items: int) -> None:
    rng = np.random.default_rng(n)
    scores = rng.integers(-200, 200, n_items).astype(np.float32)  # with many ties
    allowed = rng.random(n_items) < 0.7
    expected = sorted(np.flatnonzero(allowed).tolist(), key=lambda item: (-scores[item], item))
    assert [item for item, _ in iter_best(scores, scores, allowed, n)] == expected
    assert not list(iter_best(scores, scores, np.zeros(n_items, dtype=bool), n))
