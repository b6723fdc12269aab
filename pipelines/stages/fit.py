"""Fit the chosen candidate on the whole training part: what were folds and validation are one now."""

import pandas as pd

from experiments.config.offline import Params
from marquee.algorithms.registry import candidate
from marquee.algorithms.state import save_state
from marquee.algorithms.trainset import trainset_of
from marquee.seeds import seed_for
from pipelines.support.paths import CHOICE, FIT, TRAIN
from pipelines.support.provenance import rating_scale
from pipelines.support.stage_runner import read_json, run


def fit(params: Params) -> None:
    """Write the fitted state to models/fit."""
    choice = read_json(CHOICE)
    name, parameters = choice["algorithm"], choice["parameters"]
    seed = seed_for(params.seed, "fit", name)
    trainset = trainset_of(pd.read_parquet(TRAIN), rating_scale())
    algorithm = candidate(name).make(parameters, seed)
    algorithm.fit(trainset)
    save_state(algorithm, FIT, name=name, parameters=parameters, seed=seed)


if __name__ == "__main__":
    run(fit, "fit")
