"""Turn the fitted algorithm into the model that is served: every known user's list, ready to be read."""

from importlib.metadata import version

import pandas as pd

from experiments.config.offline import Params
from marquee.algorithms.export import served_arrays
from marquee.algorithms.state import load_state
from marquee.algorithms.trainset import trainset_of
from marquee.interactions.matrix import GENRES, ITEM, TITLE, RatingMatrix
from marquee.model.fitted_model import write_model
from marquee.model.string_table import StringTable
from pipelines.support.paths import EVALUATION, FIT, FITTED, ITEMS, TRAIN
from pipelines.support.provenance import data_version, rating_scale
from pipelines.support.stage_runner import read_json, run

LIBRARIES = ("numpy", "scikit-surprise")


def export(params: Params) -> None:
    """Write models/fitted."""
    trainset = trainset_of(pd.read_parquet(TRAIN), rating_scale())
    algorithm, head = load_state(FIT, trainset)
    noise = read_json(EVALUATION)["winner"]["rmse"] ** 2
    arrays = served_arrays(
        algorithm, trainset.matrix, _described(trainset.matrix), n=params.export.top_n, noise=noise
    )
    mean = float(trainset.matrix.values.mean())
    write_model(FITTED, arrays, {**_description(head), "global_mean": mean})


def _described(matrix: RatingMatrix) -> tuple[StringTable, StringTable]:
    """Titles and genres in the order of the matrix's items; an item without a title is called by its id."""
    described = pd.read_parquet(ITEMS).set_index(ITEM).reindex(list(matrix.item_ids))
    titles = described[TITLE].where(described[TITLE].notna(), described.index.to_series())
    return StringTable.of(titles.tolist()), StringTable.of(described[GENRES].fillna("").tolist())


def _description(head: dict[str, object]) -> dict[str, object]:
    """The manifest's account of where the model comes from."""
    data, winner = data_version(), read_json(EVALUATION)["winner"]
    return {
        "algorithm": head["algorithm"],
        "parameters": head["parameters"],
        "seed": head["seed"],
        "metrics": {f"test_{name}": winner[name] for name in ("rmse", "mae")},
        "data_source": data.source,
        "data_digest": data.digest,
        "scale": rating_scale(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


if __name__ == "__main__":
    run(export, "export")
