"""Members and weights of the blends of a search."""

from typing import Any

import pytest

from experiments.search.blend_members import ScoredPoint, choose_members, weigh_members


def point(algorithm: str, loss: float, **parameters: Any) -> ScoredPoint:
    return ScoredPoint(algorithm, parameters, loss)


def test_best_point_of_each_family_becomes_a_member() -> None:
    points = [
        point("ease", -0.30, weighting="binary", reg=1),
        point("ease", -0.32, weighting="binary", reg=2),
        point("ease", -0.31, weighting="linear", reg=1),
        point("implicit_als", -0.35),
        point("implicit_als", -0.33, n_factors=8),
    ]
    assert choose_members(points, 3) == [
        {"algorithm": "implicit_als", "parameters": {}},
        {"algorithm": "ease", "parameters": {"weighting": "binary", "reg": 2}},
        {"algorithm": "ease", "parameters": {"weighting": "linear", "reg": 1}},
    ]
    assert len(choose_members(points, 2)) == 2


def test_variants_of_an_algorithm_are_one_family() -> None:
    """PMF is SVD without biases; the class is a subclass."""
    assert point("pmf", -0.3).family == point("svd", -0.2).family
    assert point("pmf", -0.3).family != point("ease", -0.3).family


def test_default_weighting_is_the_family_of_its_value() -> None:
    assert point("ease", -0.3).family == point("edlae", -0.2, weighting="binary").family
    assert point("ease", -0.3).family != point("ease", -0.3, weighting="linear").family


@pytest.mark.parametrize("other", ["popularity", "svd", "blend"])
def test_algorithm_that_ranks_no_histories_is_no_member(other: str) -> None:
    assert choose_members([point("ease", -0.3), point(other, -0.4)], 4) == []


def test_point_without_scores_is_no_member() -> None:
    assert choose_members([point("ease", -0.3), point("implicit_als", float("nan"))], 4) == []


def test_order_of_the_points_does_not_matter() -> None:
    points = [point("ease", -0.3, reg=1), point("ease", -0.3, reg=2), point("implicit_als", -0.3)]
    assert choose_members(points, 4) == choose_members(points[::-1], 4)


def test_every_subset_is_blended_with_equal_weights_and_with_the_best_member_twice() -> None:
    blends = weigh_members([{"algorithm": name} for name in "abc"])
    described = [
        "".join(f"{member['weight']:g}{member['algorithm']}" for member in blend) for blend in blends
    ]
    assert described == ["1a1b", "2a1b", "1a1c", "2a1c", "1b1c", "1a1b1c", "2a1b1c"]
