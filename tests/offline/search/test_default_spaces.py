"""Default search spaces: they fit the kind of feedback, and their parameters are valid."""

from itertools import product

import pytest

from experiments.search.default_spaces import EXPLICIT, IMPLICIT, find_default_space, resolve_default_spaces
from marquee.algorithms.registry import find_algorithm
from marquee.algorithms.shared_training import check_parameter_values
from marquee.errors import ConfigError
from marquee.interactions.columns import FeedbackType
from tests.support.searches import make_search_params


@pytest.mark.parametrize("feedback", ["explicit", "implicit"])
def test_every_point_of_a_default_space_is_valid(feedback: FeedbackType) -> None:
    for name, space in (EXPLICIT if feedback == "explicit" else IMPLICIT).items():
        entry = find_algorithm(name)
        for values in product(*space.values()):
            check_parameter_values(entry, dict(zip(space, values, strict=True)))


def test_default_space_is_that_of_the_feedback() -> None:
    search = make_search_params({"ease": "default", "svd": {"n_factors": [7]}})
    explicit, implicit = (resolve_default_spaces(search, kind).spaces for kind in ("explicit", "implicit"))
    assert explicit["ease"] == EXPLICIT["ease"]
    assert implicit["ease"] == IMPLICIT["ease"]
    assert explicit["svd"] == {"n_factors": [7]}


def test_weighting_log_is_for_implicit_feedback_only() -> None:
    assert all("log" not in space.get("weighting", []) for space in EXPLICIT.values())


def test_candidate_without_a_default_space_is_rejected() -> None:
    with pytest.raises(ConfigError, match=r"candidates\.svd: there is no default search space .* ease"):
        find_default_space("svd", "explicit")
