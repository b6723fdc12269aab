"""Checks of a manifest's fields, so that a server starts with a valid manifest or reports what is wrong."""

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import fields
from typing import Any

from marquee.events import FEEDBACK_KINDS
from marquee.model.feedback_weights import WEIGHT_AGGREGATIONS, FeedbackWeights
from marquee.model.history_weighting import WEIGHTINGS, HistoryWeighting
from marquee.model.model_arrays import FACTOR_CONSTANTS
from marquee.model.recipe import Recipe

MAPPINGS = ("metrics", "counts", "libraries", "files")  # fields that are JSON objects


def find_manifest_problems(tree: Mapping[str, Any], names: Set[str]) -> Iterator[str]:
    """Yield a description of each problem of a parsed manifest.

    Args:
        tree: the JSON object.
        names: names of the fields that it must have.
    """
    if different := sorted(names ^ set(tree)):
        yield f"has missing or unknown fields: {', '.join(different)}"
        return
    for name, is_valid, expected in _EXPECTATIONS:
        if not is_valid(tree[name]):
            yield f"has an invalid field: {name} must be {expected} (got {tree[name]!r})"
    if tree["feedback"] == "explicit" and None in (tree["scale"], tree["global_mean"]):
        yield "has an invalid field: feedback is explicit, but scale or global_mean is null"


def _is_recipe(value: object) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {field.name for field in fields(Recipe)}
        and isinstance(value["algorithm"], str)
        and isinstance(value["parameters"], dict)
    )


def _is_scale(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def _are_scorers(value: object) -> bool:
    return isinstance(value, dict) and all(
        name in _CONSTANTS and isinstance(constants, dict) and _CONSTANTS[name](constants)
        for name, constants in value.items()
    )


def _are_factor_constants(constants: Mapping[str, object]) -> bool:
    return set(constants) == set(FACTOR_CONSTANTS) and all(map(_is_number, constants.values()))


def _are_confidence_constants(constants: Mapping[str, object]) -> bool:
    return (
        set(constants) == {"alpha", "weighting"}
        and _is_number(constants["alpha"])
        and _is_weighting(constants["weighting"])
    )


def _are_item_weight_constants(constants: Mapping[str, object]) -> bool:
    return set(constants) == {"weighting"} and _is_weighting(constants["weighting"])


def _is_weighting(value: object) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {field.name for field in fields(HistoryWeighting)}
        and value["name"] in WEIGHTINGS
        and (value["bound"] is None or _is_number(value["bound"]))
        and _is_number(value["unit"])
        and _is_number(value["floor"])
    )


def _are_feedback_weights(value: object) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {field.name for field in fields(FeedbackWeights)}
        and all(_is_number(value[kind]) for kind in FEEDBACK_KINDS)
        and isinstance(value["counts_minutes"], bool)
        and value["aggregation"] in WEIGHT_AGGREGATIONS
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_CONSTANTS: dict[str, Callable[[Mapping[str, object]], bool]] = {
    "factors": _are_factor_constants,
    "confidences": _are_confidence_constants,
    "item_weights": _are_item_weight_constants,
    "predictor_factors": _are_factor_constants,
}
_EXPECTATIONS: tuple[tuple[str, Callable[[object], bool], str], ...] = (
    ("recommender", _is_recipe, "an object with algorithm, parameters and seed"),
    ("predictor", lambda value: value is None or _is_recipe(value), "null or an object as recommender"),
    ("feedback", lambda value: value in ("explicit", "implicit"), "explicit or implicit"),
    ("scale", lambda value: value is None or _is_scale(value), "null or a list of two numbers"),
    ("global_mean", lambda value: value is None or _is_number(value), "null or a number"),
    ("score_unit", lambda value: value in ("stars", "relative"), "stars or relative"),
    ("list_agreement", lambda value: value is None or _is_number(value), "null or a number"),
    ("repeats_allowed", lambda value: isinstance(value, bool), "true or false"),
    (
        "feedback_weights",
        lambda value: value is None or _are_feedback_weights(value),
        "null or an object of weights by kind of feedback",
    ),
    ("trained_until", lambda value: value is None or _is_number(value), "null or a number"),
    *((name, lambda value: isinstance(value, dict), "an object") for name in MAPPINGS),
    ("scorers", _are_scorers, f"an object of {', '.join(_CONSTANTS)} with their constants"),
)
