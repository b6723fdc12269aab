"""Fit the chosen candidate on the whole training part: what were folds and validation are one now."""

import time

import pandas as pd

from experiments.config import Params
from experiments.tracking import Tracker
from marquee.algorithms.catalogue import candidate
from marquee.algorithms.state import diverged, model_bytes, save_state
from marquee.algorithms.trainset import trainset_of
from marquee.errors import ModelError
from marquee.ratings import CodedRatings
from marquee.seeds import seed_for
from pipelines.paths import CHOICE, FIT, TRAIN
from pipelines.provenance import rating_scale, search_run
from pipelines.stage import read_json, run


def fit(params: Params) -> None:
    """Write the fitted state to models/fit."""
    choice = read_json(CHOICE)
    name, parameters = choice["algorithm"], choice["parameters"]
    seed = seed_for(params.seed, "fit", name)
    trainset = trainset_of(CodedRatings.from_frame(pd.read_parquet(TRAIN)), rating_scale())
    algorithm = candidate(name).make(parameters, seed)
    started = time.perf_counter()
    algorithm.fit(trainset)
    seconds = time.perf_counter() - started
    if diverged(algorithm):
        raise ModelError(
            f"{name} diverged on the whole training part: lower its learning rates ({parameters})"
        )
    save_state(algorithm, FIT, name=name, parameters=parameters, seed=seed)
    tracker = Tracker(params.search.experiment)
    costs = {"refit_seconds": seconds, "refit_model_bytes": float(model_bytes(algorithm))}
    tracker.log(search_run(tracker), metrics=costs)


if __name__ == "__main__":
    run(fit, "fit")
