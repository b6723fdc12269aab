"""Weights of ratings and of implicit feedback: values computed by hand, and properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquee.algorithms.weighting import MIN_PREFERENCE, WEIGHTINGS, Weighting
from marquee.errors import ParameterError
from marquee.interactions.columns import FeedbackType

STARS, HALF_STARS, THUMBS = (1.0, 5.0), (0.5, 5.0), (-1.0, 1.0)


@pytest.mark.parametrize(
    ("weighting", "scale", "ratings", "weights"),
    [
        (Weighting(), STARS, [1, 3, 4, 5], [0, 0, 1, 1]),
        (Weighting(), HALF_STARS, [3.5, 4, 4.5], [0, 1, 1]),  # the threshold is 3.875
        (Weighting(), THUMBS, [-1, 0, 1], [0, 0, 1]),
        (Weighting("binary", threshold=1), STARS, [1, 5], [1, 1]),
        (Weighting("linear"), STARS, [1, 2, 3, 5], [0, 0.25, 0.5, 1]),
        (Weighting("linear"), THUMBS, [-1, 1], [0, 1]),
        (Weighting("linear", neutral=3), STARS, [1, 2, 3, 4, 5], [-0.5, -0.5, 0, 0.5, 1]),
        (Weighting("linear", neutral=5), STARS, [4.75, 5], [-0.25, 0]),  # nothing is above: no division by 0
    ],
)
def test_weights_of_ratings_equal_those_computed_by_hand(
    weighting: Weighting, scale: tuple[float, float], ratings: list[float], weights: list[float]
) -> None:
    assert weighting.weigh(np.array(ratings, dtype=np.float64), "explicit", scale).tolist() == weights


@pytest.mark.parametrize(
    ("weighting", "values", "weights"),
    [
        (Weighting(), [-2, 0, 0.5, 7], [0, 0, 1, 1]),
        (Weighting("binary", threshold=2), [1, 2, 7], [0, 1, 1]),
        (Weighting("binary", threshold=-1), [-1, 0, 1], [0, 0, 1]),  # only weights above 0 ever count
        (Weighting("linear", neutral=3), [-2, 0, 7], [0, 0, 7]),  # neutral is for ratings
        (Weighting("log"), [-2, 0, 1, 3], [0, 0, np.log(2), np.log(4)]),
    ],
)
def test_implicit_weights_equal_those_computed_by_hand(
    weighting: Weighting, values: list[float], weights: list[float]
) -> None:
    actual = weighting.weigh(np.array(values, dtype=np.float64), "implicit", STARS)
    assert actual.tolist() == pytest.approx(weights, rel=1e-15)


def test_log_of_ratings_is_rejected() -> None:
    with pytest.raises(ParameterError, match=r"implicit weights only \(got ratings\); use binary or linear"):
        Weighting("log").weigh(np.ones(1), "explicit", STARS)


@given(
    name=st.sampled_from(WEIGHTINGS),
    feedback=st.sampled_from(["explicit", "implicit"]),
    bound=st.none() | st.floats(-10, 10),
    values=st.lists(st.floats(-1e300, 1e300), min_size=1),
)
def test_weights_are_finite_and_never_fall_as_values_rise(
    name: str, feedback: FeedbackType, bound: float | None, values: list[float]
) -> None:
    if (name, feedback) == ("log", "explicit"):
        return
    weighting = Weighting(name, threshold=bound, neutral=bound)
    weights = weighting.weigh(np.sort(values), feedback, STARS)
    assert np.isfinite(weights).all()
    assert (np.diff(weights) >= 0).all()
    assert weights.min() >= (MIN_PREFERENCE if feedback == "explicit" else 0)


@given(
    name=st.sampled_from(["binary", "linear"]),
    bound=st.none() | st.floats(-3, 8),
    ratings=st.lists(st.floats(1, 5), min_size=1),
)
def test_weight_of_a_rating_is_positive_exactly_from_the_bound_on(
    name: str, bound: float | None, ratings: list[float]
) -> None:
    weighting = Weighting(name, threshold=bound, neutral=bound)
    parameter, value = weighting.find_bound("explicit", STARS)
    assert parameter == {"binary": "threshold", "linear": "neutral"}[name]
    is_positive = weighting.weigh(np.array(ratings), "explicit", STARS) > 0
    expected = np.array(ratings) >= value if name == "binary" else np.array(ratings) > value
    assert (is_positive == expected).all()
