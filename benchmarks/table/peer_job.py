"""Measurement of one job with Cornac, LensKit or implicit, in their own environment.

    .venv-peers/bin/python -m benchmarks.table.peer_job JOB.json RESULT.json

The imported modules of Marquee need only NumPy. Like `marquee_job`, each task first does the same work on toy
ratings, without measuring it. If a library predicts pair by pair in Python, its predictions are computed for
all pairs at once from its fitted arrays, so that algorithms are compared and not Python loops.
"""

import logging
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.fold_files import Column, FoldPart, RatingColumns, generate_toy_columns, read_fold_columns
from benchmarks.process_jobs import Job, JobResult, run_requested_job
from benchmarks.stopwatch import Stopwatch, time_repeats
from marquee.metrics.prediction import mae, rmse

LOWEST_RATING, HIGHEST_RATING = 1.0, 5.0
LIST_LENGTH = 20
Float64Array = npt.NDArray[np.float64]


def run_fold(job: Job) -> JobResult:
    """Measure an algorithm on one fold, from the columns to the metrics."""
    predict_fold = {"Cornac": _predict_with_cornac, "LensKit": _predict_with_lenskit}[job.library]
    train, test = _read_part(job, "train"), _read_part(job, "test")
    predict_fold(job, _toy_part(), _toy_part(), Stopwatch())
    estimated, timings = time_repeats(job.repeats, partial(predict_fold, job, train, test))
    return timings | {"rmse": rmse(test.ratings, estimated), "mae": mae(test.ratings, estimated)}


def _read_part(job: Job, part: FoldPart) -> RatingColumns:
    return _with_float_ratings(read_fold_columns(part, job.fold, Path(job.folder)))


def _toy_part() -> RatingColumns:
    return _with_float_ratings(generate_toy_columns())


def _with_float_ratings(columns: RatingColumns) -> RatingColumns:
    return columns._replace(ratings=columns.ratings.astype(np.float64))


# Cornac


def _predict_with_cornac(
    job: Job, train: RatingColumns, test: RatingColumns, stopwatch: Stopwatch
) -> Float64Array:
    from cornac import models
    from cornac.data import Dataset

    data = Dataset.from_uir(list(zip(*(column.tolist() for column in train), strict=True)))
    stopwatch.end_phase("data")
    model = getattr(models, job.algorithm)(**_cornac_parameters(job, data)).fit(data)
    stopwatch.end_phase("fit")
    users, items = _inner_ids(test.users, data.uid_map), _inner_ids(test.items, data.iid_map)
    estimate = _estimate_one_by_one if "KNN" in job.algorithm else _estimate_from_cornac_factors
    estimated = np.clip(estimate(model, users, items), LOWEST_RATING, HIGHEST_RATING)
    stopwatch.end_phase("predict")
    return estimated


def _cornac_parameters(job: Job, data: Any) -> dict[str, Any]:
    """Return the arguments of a Cornac model; `init_std` is replaced by initial factors drawn with it."""
    parameters = {**job.parameters, "verbose": False}
    init_std = parameters.pop("init_std", None)
    if job.algorithm != "NMF" or "seed" not in parameters:  # with a seed, Cornac's NMF allows only one thread
        parameters["num_threads"] = len(job.cores) or 1
    if init_std is not None:  # as in Marquee's SVD; Cornac itself would use 0.01
        rng = np.random.RandomState(0)
        sizes = {"U": data.num_users, "V": data.num_items}
        parameters["init_params"] = {
            name: rng.normal(0, init_std, (size, parameters["k"])).astype(np.float32)
            for name, size in sizes.items()
        }
    return parameters


def _estimate_from_cornac_factors(model: Any, users: Column, items: Column) -> Float64Array:
    """Estimate all pairs at once from the mean, biases and factors of a Cornac model; unknown ids are -1."""
    known_users, known_items = users >= 0, items >= 0
    known_pairs = known_users & known_items
    estimated = np.full(len(users), float(model.global_mean))
    estimated += np.where(known_users, model.u_biases[users], 0)
    estimated += np.where(known_items, model.i_biases[items], 0)
    if hasattr(model, "u_factors"):
        products = np.einsum("nf,nf->n", model.u_factors[users], model.i_factors[items])
        estimated += np.where(known_pairs, products, 0)
    if not model.global_mean:  # a model without biases would estimate 0 for unknown ids
        estimated[~known_pairs] = model.default_score() or (LOWEST_RATING + HIGHEST_RATING) / 2
    return estimated


def _estimate_one_by_one(model: Any, users: Column, items: Column) -> Float64Array:
    """Estimate pair by pair, which for Cornac's k-NN models is faster than scoring all items of each user."""
    estimated = np.full(len(users), float(model.global_mean))
    for row in np.flatnonzero((users >= 0) & (items >= 0)):
        estimated[row] = model.score_pairs(users[row], items[row])
    return estimated


def _inner_ids(ids: Column, inner_id_map: dict[Any, int]) -> Column:
    return np.array([inner_id_map.get(raw_id, -1) for raw_id in ids.tolist()])


# LensKit


def _predict_with_lenskit(
    job: Job, train: RatingColumns, test: RatingColumns, stopwatch: Stopwatch
) -> Float64Array:
    from lenskit.data import from_interactions_df
    from lenskit.pipeline import predict_pipeline

    scorer = _lenskit_scorer(job.algorithm, dict(job.parameters))
    data = from_interactions_df(_lenskit_frame(train))
    stopwatch.end_phase("data")
    # For pairs that the scorer cannot score, the pipeline falls back to user and item means.
    pipeline = predict_pipeline(scorer)
    pipeline.train(data)
    stopwatch.end_phase("fit")
    if hasattr(scorer, "item_embeddings"):
        estimated = _estimate_from_lenskit_factors(scorer, test)
    else:
        estimated = _estimate_with_pipeline(pipeline, test)
    estimated = np.where(np.isnan(estimated), train.ratings.mean(), estimated)
    estimated = np.clip(estimated, LOWEST_RATING, HIGHEST_RATING)
    stopwatch.end_phase("predict")
    return estimated


def _lenskit_scorer(name: str, parameters: dict[str, Any]) -> Any:
    from lenskit.als import BiasedMFScorer
    from lenskit.funksvd import FunkSVDScorer
    from lenskit.knn import ItemKNNScorer, UserKNNScorer

    scorers = {
        "FunkSVD": FunkSVDScorer,
        "BiasedMF": BiasedMFScorer,
        "ItemKNN": ItemKNNScorer,
        "UserKNN": UserKNNScorer,
    }
    return scorers[name](**parameters)


def _estimate_from_lenskit_factors(scorer: Any, test: RatingColumns) -> Float64Array:
    """Estimate all pairs at once from the mean, biases and factors of a fitted LensKit scorer."""
    users = scorer.users.numbers(test.users, missing="negative")
    items = scorer.items.numbers(test.items, missing="negative")
    known_users, known_items = users >= 0, items >= 0
    estimated = np.full(len(users), scorer.bias.global_bias)
    estimated += np.where(known_users, scorer.bias.user_biases[users], 0)
    estimated += np.where(known_items, scorer.bias.item_biases[items], 0)
    products = np.einsum("nf,nf->n", scorer.user_embeddings[users], scorer.item_embeddings[items])
    return estimated + np.where(known_users & known_items, products, 0)


def _estimate_with_pipeline(pipeline: Any, test: RatingColumns) -> Float64Array:
    """Estimate with LensKit's own batch prediction, one list of items per user."""
    from lenskit.batch import predict
    from lenskit.data import ItemListCollection

    pairs = _lenskit_frame(test)[["user_id", "item_id"]]
    predictions = predict(pipeline, ItemListCollection.from_df(pairs, ["user_id"]), n_jobs=1).to_df()
    scores = predictions.set_index(["user_id", "item_id"])["score"]
    return np.asarray(scores.reindex(pd.MultiIndex.from_frame(pairs)), dtype=np.float64)


def _lenskit_frame(columns: RatingColumns) -> pd.DataFrame:
    return pd.DataFrame(dict(zip(("user_id", "item_id", "rating"), columns, strict=True)))


# implicit


def run_top_n(job: Job) -> JobResult:
    """Measure the computation of the lists of all users with implicit's ALS, without the fit."""
    _time_recommendation(job, _toy_part(), n_repeats=1)
    return _time_recommendation(job, _read_part(job, "train"), job.repeats)


def _time_recommendation(job: Job, train: RatingColumns, n_repeats: int) -> JobResult:
    from implicit.als import AlternatingLeastSquares

    matrix = _sparse_matrix(train)
    model = AlternatingLeastSquares(**job.parameters, random_state=0, num_threads=len(job.cores) or 1)
    model.fit(matrix, show_progress=False)
    return time_repeats(n_repeats, partial(_recommend, model, matrix))[1]


def _recommend(model: Any, matrix: Any, stopwatch: Stopwatch) -> None:
    n_users, n_items = matrix.shape
    model.recommend(np.arange(n_users), matrix, N=min(LIST_LENGTH, n_items), filter_already_liked_items=True)
    stopwatch.end_phase("predict")


def _sparse_matrix(train: RatingColumns) -> Any:
    """Return the ratings as a users x items CSR matrix."""
    from scipy.sparse import csr_matrix

    users, items = pd.factorize(train.users)[0], pd.factorize(train.items)[0]
    return csr_matrix((train.ratings.astype(np.float32), (users, items)))


TASKS: dict[str, Callable[[Job], JobResult]] = {"fold": run_fold, "top_n": run_top_n}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    run_requested_job(TASKS)
