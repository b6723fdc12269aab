"""Export the refitted recipes as the model to serve, and the best SVD as a model of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq

from experiments.config import Params
from experiments.datasets.value_columns import choose_value_columns
from marquee.algorithms.registry import find_algorithm
from marquee.algorithms.serving_arrays import ServedAlgorithm, build_model_arrays, replace_algorithms
from marquee.events import FEEDBACK_KINDS
from marquee.files.atomic_write import replace_folder
from marquee.interactions.columns import GENRES, ITEM, ITEM_COLUMNS, TIMESTAMP, TITLE, WEIGHT
from marquee.interactions.feedback import FeedbackSpec
from marquee.interactions.matrix import InteractionMatrix
from marquee.metrics.list_agreement import list_agreement
from marquee.model.feedback_weights import FeedbackWeights, WeightAggregation
from marquee.model.fitted_model import write_model
from marquee.model.item_attributes import encode_attributes
from marquee.model.manifest import Manifest
from marquee.model.model_arrays import ModelArrays
from marquee.model.string_table import StringTable
from pipelines.support.console import create_console
from pipelines.support.derived_feedback import read_feedback
from pipelines.support.fetched_source import read_data_version
from pipelines.support.fitted_recipes import FittedRecipe, load_fitted_recipes
from pipelines.support.interaction_tables import (
    allow_repeats,
    read_all_interactions,
    read_trainset,
)
from pipelines.support.json_reader import read_json
from pipelines.support.paths import (
    EVALUATION,
    FITTED_MODEL,
    INTERACTIONS,
    ITEMS,
    REFITTED_STATE,
    SVD_MODEL,
)
from pipelines.support.stage_runner import run_stage

LIBRARIES = ("numpy", "scikit-surprise")  # whose versions the manifest records
LIST_METRICS = ("ndcg", "ndcg_low", "ndcg_high", "recall", "coverage", "popularity_ratio", "served_ndcg")
ERROR_METRICS = ("rmse", "mae")


@dataclass(frozen=True)
class ScoredRecipe:
    """A recipe fitted on all interactions, and the test-set scores of the recipe fitted on fewer."""

    fitted: FittedRecipe
    scores: Mapping[str, Any]

    def to_served(self) -> ServedAlgorithm:
        """Return the fitted algorithm with the variance of a rating around its estimate."""
        error = self.scores.get("rmse")
        return ServedAlgorithm(self.fitted.algorithm, None if error is None else error**2)

    def select_scores(self, names: tuple[str, ...]) -> dict[str, float]:
        """Return these scores as metrics of the manifest, as far as they are defined."""
        return {f"test_{name}": self.scores[name] for name in names if name in self.scores}


@dataclass(frozen=True)
class ExportInputs:
    """Data and settings that both exported models share."""

    matrix: InteractionMatrix
    feedback: FeedbackSpec
    feedback_weights: FeedbackWeights | None
    scored_share: float  # share of the interactions that the scored recipes were fitted on

    def write(
        self, folder: Path, arrays: ModelArrays, recommender: ScoredRecipe, predictor: ScoredRecipe | None
    ) -> Manifest:
        """Write a model that recommends by one recipe and predicts ratings by the same or another one."""
        agreement = list_agreement(arrays.top_items, self.matrix.indptr, self.matrix.items)
        description = {
            **self._describe_training(),
            **_describe_recipes(recommender, predictor),
            "list_agreement": agreement if isfinite(agreement) else None,
        }
        return write_model(folder, arrays, description)

    def _describe_training(self) -> dict[str, Any]:
        """Return the manifest fields on the data."""
        data, is_explicit = read_data_version(), self.feedback.feedback == "explicit"
        return {
            "feedback": self.feedback.feedback,
            "scale": self.feedback.scale,
            "global_mean": float(self.matrix.values.mean()) if is_explicit else None,
            "repeats_allowed": allow_repeats(),
            "metrics_note": f"scores of the recipes, trained on {self.scored_share:.0%} of the interactions; "
            "the model was trained on all of them",
            "data_source": data.source,
            "data_digest": data.digest,
            "libraries": {name: version(name) for name in LIBRARIES},
            "feedback_weights": self.feedback_weights,
            "trained_until": _read_latest_timestamp(),
        }


def export(params: Params) -> None:
    """Write models/fitted_model and models/svd_model: the arrays to serve and the manifest of each."""
    feedback = read_feedback()
    trainset = read_all_interactions(feedback)
    share = read_trainset(feedback).n_ratings / trainset.n_ratings
    inputs = ExportInputs(trainset.matrix, feedback, choose_feedback_weights(params, feedback), share)
    scores = read_json(EVALUATION)["scores"]
    recipes = {
        role: ScoredRecipe(fitted, scores[role])
        for role, fitted in load_fitted_recipes(REFITTED_STATE, trainset).items()
    }
    recommender, predictor = recipes["recommender"], recipes.get("predictor")
    arrays = build_model_arrays(
        *_to_served(recommender, predictor),
        trainset.matrix,
        _read_titles_and_genres(trainset.matrix),
        n=params.export.top_n,
        allow_repeats=allow_repeats(),
    )
    arrays = replace(arrays, attributes=_read_attributes(trainset.matrix))
    manifest = inputs.write(FITTED_MODEL, arrays, recommender, predictor)
    if not manifest.is_personal:
        create_console().print(_describe_shared_lists(manifest), markup=False)
    _export_svd(inputs, arrays, recipes.get("svd"))


def _export_svd(inputs: ExportInputs, arrays: ModelArrays, svd: ScoredRecipe | None) -> None:
    """Write models/svd_model; if there is no SVD, an empty folder, because DVC expects every output."""
    if svd is None:
        with replace_folder(SVD_MODEL):
            pass
    else:
        served = _to_served(svd, svd)
        svd_arrays = replace_algorithms(arrays, *served, inputs.matrix, allow_repeats=allow_repeats())
        inputs.write(SVD_MODEL, svd_arrays, svd, svd)


def _to_served(
    recommender: ScoredRecipe, predictor: ScoredRecipe | None
) -> tuple[ServedAlgorithm, ServedAlgorithm | None]:
    """Return the algorithms to serve: the same object twice if the recipes are equal."""
    served = recommender.to_served()
    if predictor is None:
        return served, None
    is_shared = predictor.fitted.recipe == recommender.fitted.recipe
    return served, served if is_shared else predictor.to_served()


def _describe_recipes(recommender: ScoredRecipe, predictor: ScoredRecipe | None) -> dict[str, Any]:
    """Return the manifest fields on the recipes and their scores."""
    algorithm = find_algorithm(recommender.fitted.recipe.algorithm)
    errors = {} if predictor is None else predictor.select_scores(ERROR_METRICS)
    return {
        "recommender": recommender.fitted.recipe,
        "predictor": predictor and predictor.fitted.recipe,
        "score_unit": "relative" if algorithm.algorithm_class.is_ranker else "stars",
        "metrics": recommender.select_scores(LIST_METRICS) | errors,
    }


def _describe_shared_lists(manifest: Manifest) -> str:
    title = find_algorithm(manifest.recommender.algorithm).title
    return (
        f"{title} gives nearly the same list to everybody ({manifest.list_agreement:.0%} of the items of two "
        "lists agree), so its lists are not personal: they are served with the fallback level `popular`."
    )


def choose_feedback_weights(params: Params, feedback: FeedbackSpec) -> FeedbackWeights | None:
    """Return the weight of each kind of feedback; None if the model learns from ratings.

    A kind that is also an event type of the training data has its weight. Other kinds have the smallest
    positive weight of an event type, because an unknown action is weak evidence; 1 without event types. A
    watch is multiplied by its minutes if the training weights are minutes by the name of their column.
    """
    if feedback.feedback == "explicit":
        return None
    values = choose_value_columns(params.data, params.interactions.feedback)
    default = min((weight for weight in values.event_weights.values() if weight > 0), default=1.0)
    weights = {kind: float(values.event_weights.get(kind, default)) for kind in FEEDBACK_KINDS}
    return FeedbackWeights(
        **weights,
        counts_minutes="minute" in values.columns.get(WEIGHT, "").lower(),
        aggregation=cast("WeightAggregation", feedback.repeats),
    )


def _read_latest_timestamp() -> float | None:
    """Return the latest timestamp of the interactions in UTC seconds, or None if they have no timestamps."""
    if TIMESTAMP not in pq.read_schema(INTERACTIONS).names:
        return None
    return float(pc.max(pq.read_table(INTERACTIONS, columns=[TIMESTAMP])[TIMESTAMP]).as_py())


def _read_items(matrix: InteractionMatrix) -> pd.DataFrame:
    """Return the items table in the order of inner ids, indexed by item id."""
    return pd.read_parquet(ITEMS).set_index(ITEM).reindex(list(matrix.item_ids))


def _read_attributes(matrix: InteractionMatrix) -> StringTable | None:
    """Return the attributes of all items, or None if the items table has none."""
    items = _read_items(matrix)
    names = [name for name in items.columns if name not in ITEM_COLUMNS]
    return encode_attributes({name: items[name].fillna("").astype(str).tolist() for name in names})


def _read_titles_and_genres(matrix: InteractionMatrix) -> tuple[StringTable, StringTable]:
    """Return titles and genres of all items by inner id; an item without a title gets its id as title."""
    items = _read_items(matrix)
    titles = items[TITLE].where(items[TITLE].notna(), items.index.to_series())
    genres = items[GENRES].fillna("")
    return StringTable.from_strings(titles.tolist()), StringTable.from_strings(genres.tolist())


if __name__ == "__main__":
    run_stage(export, "export")
