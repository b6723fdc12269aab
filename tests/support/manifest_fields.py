"""Manifest fields of the small models in tests, without the fields that `write_model` computes."""

from typing import Any

from marquee.model.recipe import Recipe

SVD_RECIPE = Recipe("svd", {"n_factors": 2}, 42)
EASE_RECIPE = Recipe("ease", {"reg": 100.0}, 43)
MANIFEST_FIELDS: dict[str, Any] = {
    "recommender": SVD_RECIPE,
    "predictor": SVD_RECIPE,
    "feedback": "explicit",
    "scale": (1.0, 5.0),
    "global_mean": 3.5,
    "score_unit": "stars",
    "list_agreement": 0.2,
    "repeats_allowed": False,
    "metrics": {"test_rmse": 0.9},
    "metrics_note": "scores of the recipes, trained on 90% of the interactions",
    "data_source": "demo",
    "data_digest": "0123456789abcdef.dir",
    "libraries": {"numpy": "2"},
}
# An item-item model recommends, and an SVD predicts.
SEPARATE_FIELDS: dict[str, Any] = {**MANIFEST_FIELDS, "recommender": EASE_RECIPE, "score_unit": "relative"}
IMPLICIT_FIELDS: dict[str, Any] = {
    **SEPARATE_FIELDS,
    "predictor": None,
    "feedback": "implicit",
    "scale": None,
    "global_mean": None,
}
