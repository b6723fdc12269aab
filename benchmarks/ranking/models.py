"""Fitted models of any ranker, written to a folder and opened as the service opens them."""

from pathlib import Path
from typing import Any

from benchmarks.serving.models import MANIFEST_FIELDS
from marquee.algorithms.base import Algorithm
from marquee.algorithms.serving_arrays import ServedAlgorithm, build_model_arrays
from marquee.interactions.matrix import InteractionMatrix
from marquee.model.fitted_model import FittedModel, load_model, write_model
from marquee.model.recipe import Recipe
from marquee.model.string_table import StringTable

STORED_LENGTH = 100  # export.top_n


def write_ranker(folder: Path, algorithm: Algorithm, recipe: Recipe, matrix: InteractionMatrix) -> None:
    """Write the model of an algorithm that was fitted to a matrix; its items have no titles and genres."""
    texts = StringTable.from_strings([""] * matrix.n_items)
    served = ServedAlgorithm(algorithm, None)
    arrays = build_model_arrays(served, None, matrix, (texts, texts), n=STORED_LENGTH)
    fields: dict[str, Any] = {
        **MANIFEST_FIELDS, "recommender": recipe, "predictor": None, "score_unit": "relative",
    }  # fmt: skip
    if matrix.feedback == "implicit":
        fields |= {"feedback": "implicit", "scale": None, "global_mean": None}
    write_model(folder, arrays, fields)


def open_ranker(folder: Path, algorithm: Algorithm, recipe: Recipe, matrix: InteractionMatrix) -> FittedModel:
    """Write the model of an algorithm, and open it."""
    write_ranker(folder, algorithm, recipe, matrix)
    return load_model(folder)
