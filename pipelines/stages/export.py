"""Export the fitted algorithm as the model to serve, with the recommendation list of every user."""

from importlib.metadata import version

import pandas as pd

from experiments.config import Params
from marquee.algorithms.persistence import load_fitted_algorithm
from marquee.algorithms.serving_arrays import build_model_arrays
from marquee.algorithms.trainset import build_trainset
from marquee.interactions.columns import GENRES, ITEM, TITLE
from marquee.interactions.matrix import InteractionMatrix
from marquee.model.fitted_model import write_model
from marquee.model.string_table import StringTable
from pipelines.support.fetched_source import read_data_version, read_rating_scale
from pipelines.support.json_reader import read_json
from pipelines.support.paths import ALGORITHM_STATE, EVALUATION, FITTED_MODEL, ITEMS, TRAIN
from pipelines.support.stage_runner import run_stage

LIBRARIES = ("numpy", "scikit-surprise")  # whose versions the manifest records


def export(params: Params) -> None:
    """Write models/fitted_model: the arrays to serve and the manifest."""
    trainset = build_trainset(pd.read_parquet(TRAIN), read_rating_scale())
    algorithm, header = load_fitted_algorithm(ALGORITHM_STATE, trainset)
    noise = read_json(EVALUATION)["winner"]["rmse"] ** 2
    arrays = build_model_arrays(
        algorithm,
        trainset.matrix,
        _read_titles_and_genres(trainset.matrix),
        n=params.export.top_n,
        noise=noise,
    )
    mean = float(trainset.matrix.values.mean())
    write_model(FITTED_MODEL, arrays, {**_build_manifest_fields(header), "global_mean": mean})


def _read_titles_and_genres(matrix: InteractionMatrix) -> tuple[StringTable, StringTable]:
    """Return titles and genres of all items by inner id; an item without a title gets its id as title."""
    items = pd.read_parquet(ITEMS).set_index(ITEM).reindex(list(matrix.item_ids))
    titles = items[TITLE].where(items[TITLE].notna(), items.index.to_series())
    genres = items[GENRES].fillna("")
    return StringTable.from_strings(titles.tolist()), StringTable.from_strings(genres.tolist())


def _build_manifest_fields(header: dict[str, object]) -> dict[str, object]:
    """Return the manifest fields on the origin of the model."""
    data, winner = read_data_version(), read_json(EVALUATION)["winner"]
    return {
        "algorithm": header["algorithm"],
        "parameters": header["parameters"],
        "seed": header["seed"],
        "metrics": {f"test_{name}": winner[name] for name in ("rmse", "mae")},
        "data_source": data.source,
        "data_digest": data.digest,
        "scale": read_rating_scale(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


if __name__ == "__main__":
    run_stage(export, "export")
