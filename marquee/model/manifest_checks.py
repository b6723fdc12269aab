"""Checks of a manifest's fields, so that a server starts with a valid manifest or reports what is wrong."""

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import fields
from typing import Any

from marquee.events import FEEDBACK_KINDS
from marquee.model.feedback_weights import WEIGHT_AGGREGATIONS, FeedbackWeights
from marquee.model.json_checks import is_number
from marquee.model.model_arrays import SCORERS
from marquee.model.recipe import Recipe
from marquee.model.scorers.stored_scorer import is_description

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
    return isinstance(value, list) and len(value) == 2 and all(map(is_number, value))


def _are_scorers(value: object) -> bool:
    return isinstance(value, dict) and all(
        name in SCORERS and is_description(description) for name, description in value.items()
    )


def _are_feedback_weights(value: object) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {field.name for field in fields(FeedbackWeights)}
        and all(is_number(value[kind]) for kind in FEEDBACK_KINDS)
        and isinstance(value["counts_minutes"], bool)
        and value["aggregation"] in WEIGHT_AGGREGATIONS
    )


_EXPECTATIONS: tuple[tuple[str, Callable[[object], bool], str], ...] = (
    ("recommender", _is_recipe, "an object with algorithm, parameters and seed"),
    ("predictor", lambda value: value is None or _is_recipe(value), "null or an object as recommender"),
    ("feedback", lambda value: value in ("explicit", "implicit"), "explicit or implicit"),
    ("scale", lambda value: value is None or _is_scale(value), "null or a list of two numbers"),
    ("global_mean", lambda value: value is None or is_number(value), "null or a number"),
    ("score_unit", lambda value: value in ("stars", "relative"), "stars or relative"),
    ("list_agreement", lambda value: value is None or is_number(value), "null or a number"),
    ("repeats_allowed", lambda value: isinstance(value, bool), "true or false"),
    (
        "feedback_weights",
        lambda value: value is None or _are_feedback_weights(value),
        "null or an object of weights by kind of feedback",
    ),
    ("trained_until", lambda value: value is None or is_number(value), "null or a number"),
    *((name, lambda value: isinstance(value, dict), "an object") for name in MAPPINGS),
    ("scorers", _are_scorers, f"an object with a known kind and its constants for {' and '.join(SCORERS)}"),
)
