"""Fit of one scorer of LensKit, and its lists, in its own environment.

    .venv-peers/bin/python -m benchmarks.ranking.lenskit_job JOB.json RESULT.json

The folder of the job has positives.npz, inner ids of users and items. The task `rank` writes the lists of all
users to lists.npy. As in the other jobs, the same work is first done on toy data, without measuring it.
"""

import logging
import os
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.process_jobs import Job, JobResult, run_requested_job
from benchmarks.stopwatch import Stopwatch, time_repeats

N = 10
N_TOY_USERS, N_TOY_ITEMS = 50, 200
PADDING = -1

Lists = npt.NDArray[np.int32]  # (n_users, N), padded


def run_scorer(job: Job) -> JobResult:
    """Measure the fit and the lists of all users."""
    with np.load(Path(job.folder) / "positives.npz") as arrays:
        positives = pd.DataFrame({"user_id": arrays["users"], "item_id": arrays["items"]})
    toy = positives[(positives["user_id"] < N_TOY_USERS) & (positives["item_id"] < N_TOY_ITEMS)]
    _fit_and_recommend(job, toy, Stopwatch())
    lists, timings = time_repeats(job.repeats, partial(_fit_and_recommend, job, positives))
    if lists is not None:
        np.save(Path(job.folder) / "lists.npy", lists)
    return timings


def _fit_and_recommend(job: Job, positives: pd.DataFrame, stopwatch: Stopwatch) -> Lists | None:
    """Return the lists of all users; None for the task `fit`, which computes none."""
    from lenskit.data import from_interactions_df
    from lenskit.pipeline import topn_pipeline

    data = from_interactions_df(positives)
    stopwatch.end_phase("data")
    pipeline = topn_pipeline(_create_scorer(job.algorithm, dict(job.parameters)), n=N)
    pipeline.train(data)
    stopwatch.end_phase("fit")
    if job.task == "fit":
        return None
    lists = _recommend(pipeline, positives, n_jobs=len(job.cores) or 1)
    stopwatch.end_phase("lists")
    return lists


def _recommend(pipeline: Any, positives: pd.DataFrame, n_jobs: int) -> Lists:
    """Return the lists of all users by LensKit's own batch recommendation."""
    from lenskit.batch import recommend

    users = np.unique(positives["user_id"])
    collection = recommend(pipeline, users, N, n_jobs=n_jobs)
    lists = np.full((int(positives["user_id"].max()) + 1, N), PADDING, dtype=np.int32)
    for key, items in collection.items():
        ids = items.ids()
        lists[int(key.user_id), : len(ids)] = ids
    return lists


def _create_scorer(name: str, parameters: dict[str, Any]) -> Any:
    from lenskit.als import ImplicitMFScorer
    from lenskit.knn import EASEScorer, ItemKNNScorer

    scorers = {"EASE": EASEScorer, "ItemKNN": ItemKNNScorer, "ImplicitMF": ImplicitMFScorer}
    return scorers[name](**parameters)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    os.environ["LK_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", "1")
    run_requested_job({"fit": run_scorer, "rank": run_scorer})
