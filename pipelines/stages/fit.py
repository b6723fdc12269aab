"""Fit the selected trial on the whole training set."""

import pandas as pd

from experiments.config import Params
from marquee.algorithms.persistence import save_fitted_algorithm
from marquee.algorithms.registry import find_algorithm
from marquee.algorithms.trainset import build_trainset
from marquee.seeds import seed_for
from pipelines.support.fetched_source import read_rating_scale
from pipelines.support.json_reader import read_json
from pipelines.support.paths import ALGORITHM_STATE, SELECTION, TRAIN
from pipelines.support.stage_runner import run_stage


def fit(params: Params) -> None:
    """Write models/algorithm_state: the fitted parameters of the algorithm."""
    selection = read_json(SELECTION)
    name, parameters = selection["algorithm"], selection["parameters"]
    seed = seed_for(params.seed, "fit", name)
    trainset = build_trainset(pd.read_parquet(TRAIN), read_rating_scale())
    algorithm = find_algorithm(name).create(parameters, seed)
    algorithm.fit(trainset)
    save_fitted_algorithm(algorithm, ALGORITHM_STATE, name=name, parameters=parameters, seed=seed)


if __name__ == "__main__":
    run_stage(fit, "fit")
