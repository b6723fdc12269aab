"""Default search spaces: they fit the kind of feedback, and their parameters are valid."""

import re
from itertools import product
from pathlib import Path

import pytest
import yaml

from experiments.search.default_spaces import (
    HALF_LIVES,
    IMPLICIT_SPACES,
    build_explicit_spaces,
    resolve_default_spaces,
)
from marquee.algorithms.registry import find_algorithm
from marquee.algorithms.shared_training import check_parameter_values
from marquee.errors import ConfigError
from tests.support.searches import make_search_params

EXPLICIT_SPACES = build_explicit_spaces((1.0, 5.0))
ALGORITHMS_PAGE = Path(__file__).parents[3] / "docs/algorithms.md"


@pytest.mark.parametrize("spaces", [EXPLICIT_SPACES, IMPLICIT_SPACES], ids=["explicit", "implicit"])
def test_every_point_of_a_default_space_is_valid(spaces: dict[str, dict[str, list[object]]]) -> None:
    for name, space in spaces.items():
        entry = find_algorithm(name)
        for values in product(*space.values()):
            check_parameter_values(entry, dict(zip(space, values, strict=True)))


def test_default_space_is_that_of_the_feedback() -> None:
    search = make_search_params({"ease": "default", "svd": {"n_factors": [7]}})
    explicit, implicit = (
        resolve_default_spaces(search, scale, is_ordered=False).spaces for scale in ((1.0, 5.0), None)
    )
    assert explicit["ease"] == EXPLICIT_SPACES["ease"]
    assert implicit["ease"] == IMPLICIT_SPACES["ease"]
    assert explicit["svd"] == {"n_factors": [7]}


def test_neutral_rating_is_a_quarter_of_the_way_up_the_scale() -> None:
    assert build_explicit_spaces((1.0, 5.0))["ials"]["neutral"] == [1.0, 2.0]
    assert build_explicit_spaces((0.0, 10.0))["ials"]["neutral"] == [0.0, 2.5]


def test_half_life_of_popularity_is_searched_if_held_out_interactions_are_later() -> None:
    search = make_search_params({"popularity": "default", "svd": {}})
    at_random, later = (
        resolve_default_spaces(search, None, is_ordered=order).spaces for order in (False, True)
    )
    assert at_random["popularity"] == {}
    assert later["popularity"] == {"half_life": [None, 7, 30, 90]}


def test_weighting_log_is_for_implicit_feedback_only() -> None:
    assert all("log" not in space.get("weighting", []) for space in EXPLICIT_SPACES.values())


def test_candidate_without_a_default_space_is_rejected() -> None:
    with pytest.raises(ConfigError, match=r"candidates\.svd: there is no default search space .* ease"):
        resolve_default_spaces(make_search_params({"svd": "default"}), (1.0, 5.0), is_ordered=False)


def test_documented_default_spaces_are_those_of_the_search() -> None:
    page = ALGORITHMS_PAGE.read_text(encoding="utf-8")
    (block,) = re.findall(r"## Default search spaces\n.*?```\n(.*?)```", page, flags=re.DOTALL)
    explicit, implicit, both = (
        yaml.safe_load(text.replace("LOW", "1.0").replace("QUARTER", "2.0")) for text in block.split("\n\n")
    )
    assert explicit == EXPLICIT_SPACES
    assert implicit == IMPLICIT_SPACES
    assert both == {"popularity": HALF_LIVES}
