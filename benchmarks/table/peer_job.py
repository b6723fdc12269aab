"""One measurement of Cornac, LensKit or implicit, in their own environment: of Marquee only what needs NumPy.

    .venv-peers/bin/python -m benchmarks.peers JOB.json RESULT.json

Each learns a toy first, unmeasured, as the others do. Where a library predicts pair by pair in Python, its
fitted arrays are multiplied at once here: what is compared are the algorithms.
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

from benchmarks.measure import Job, Laps, Result, measured, serve
from marquee.metrics.prediction import mae, rmse

LOW, HIGH = 1.0, 5.0
SIDE = 12  # users and items of the toy
BEST = 20  # items of a list
Floats = npt.NDArray[np.float64]
Columns = tuple[npt.NDArray[Any], npt.NDArray[Any], Floats]  # users, items, ratings


def fold(job: Job) -> Result:
    """One algorithm on one fold, from the arrays to the metrics."""
    work = {"Cornac": _cornac, "LensKit": _lenskit}[job.library]
    train, test = _read(job, "train"), _read(job, "test")
    work(job, _toy(), _toy(), Laps())
    estimated, result = measured(job.repeats, partial(work, job, train, test))
    return result | {"rmse": rmse(test[2], estimated), "mae": mae(test[2], estimated)}


def _cornac(job: Job, train: Columns, test: Columns, laps: Laps) -> Floats:
    from cornac import models
    from cornac.data import Dataset

    parameters = dict(job.parameters)
    spread = parameters.pop("init_std", None)
    if job.algorithm != "NMF" or "seed" not in parameters:  # a seed means one thread to Cornac
        parameters["num_threads"] = len(job.cores) or 1
    parameters["verbose"] = False
    data = Dataset.from_uir(list(zip(*(column.tolist() for column in train), strict=True)))
    laps.lap("data")
    if spread is not None:  # begin as ours does: Cornac's own draws have a standard deviation of 0.01
        rng = np.random.RandomState(0)
        sizes = {"U": data.num_users, "V": data.num_items}
        parameters["init_params"] = {
            name: rng.normal(0, spread, (size, parameters["k"])).astype(np.float32)
            for name, size in sizes.items()
        }
    model = getattr(models, job.algorithm)(**parameters).fit(data)
    laps.lap("fit")
    users, items = _numbers(test[0], data.uid_map), _numbers(test[1], data.iid_map)
    estimated = (
        _scored_singly(model, users, items) if "KNN" in job.algorithm else _multiplied(model, users, items)
    )
    estimated = np.clip(estimated, LOW, HIGH)
    laps.lap("predict")
    return estimated


def _multiplied(model: Any, users: npt.NDArray[Any], items: npt.NDArray[Any]) -> Floats:
    """Mean, biases and factors of a fitted model of Cornac, for all pairs at once."""
    known_users, known_items = users >= 0, items >= 0
    estimated = np.full(len(users), float(model.global_mean))
    estimated += np.where(known_users, model.u_biases[users], 0) + np.where(
        known_items, model.i_biases[items], 0
    )
    if hasattr(model, "u_factors"):
        products = np.einsum("nf,nf->n", model.u_factors[users], model.i_factors[items])
        estimated += np.where(known_users & known_items, products, 0)
    if not model.global_mean:  # no biases: an unknown one would be rated 0
        estimated[~(known_users & known_items)] = model.default_score() or (LOW + HIGH) / 2
    return estimated


def _scored_singly(model: Any, users: npt.NDArray[Any], items: npt.NDArray[Any]) -> Floats:
    """Cornac's neighbourhoods pair by pair: faster than its scores of all items, user by user."""
    estimated = np.full(len(users), float(model.global_mean))
    for row in np.flatnonzero((users >= 0) & (items >= 0)):
        estimated[row] = model.score(users[row], items[row])
    return estimated


def _lenskit(job: Job, train: Columns, test: Columns, laps: Laps) -> Floats:
    from lenskit.data import from_interactions_df
    from lenskit.pipeline import predict_pipeline

    scorer = _lenskit_scorer(job.algorithm, dict(job.parameters))
    data = from_interactions_df(_lenskit_frame(train))
    laps.lap("data")
    pipeline = predict_pipeline(scorer)  # what cannot be scored gets the user's and the item's mean
    pipeline.train(data)
    laps.lap("fit")
    estimated = _embedded(scorer, test) if hasattr(scorer, "item_embeddings") else _listed(pipeline, test)
    estimated = np.clip(np.where(np.isnan(estimated), train[2].mean(), estimated), LOW, HIGH)
    laps.lap("predict")
    return estimated


def _embedded(scorer: Any, test: Columns) -> Floats:
    """Mean, biases and factors of a fitted model of LensKit, for all pairs at once."""
    users = scorer.users.numbers(test[0], missing="negative")
    items = scorer.items.numbers(test[1], missing="negative")
    known_users, known_items = users >= 0, items >= 0
    estimated = np.full(len(users), scorer.bias.global_bias)
    estimated += np.where(known_users, scorer.bias.user_biases[users], 0)
    estimated += np.where(known_items, scorer.bias.item_biases[items], 0)
    products = np.einsum("nf,nf->n", scorer.user_embeddings[users], scorer.item_embeddings[items])
    return estimated + np.where(known_users & known_items, products, 0)


def _listed(pipeline: Any, test: Columns) -> Floats:
    """Predictions as LensKit makes them, a list of items for each user."""
    from lenskit.batch import predict
    from lenskit.data import ItemListCollection

    pairs = _lenskit_frame(test)[["user_id", "item_id"]]
    told = predict(pipeline, ItemListCollection.from_df(pairs, ["user_id"]), n_jobs=1).to_df()
    scores = told.set_index(["user_id", "item_id"])["score"]
    return np.asarray(scores.reindex(pd.MultiIndex.from_frame(pairs)), dtype=np.float64)


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


def _lenskit_frame(columns: Columns) -> pd.DataFrame:
    return pd.DataFrame(dict(zip(("user_id", "item_id", "rating"), columns, strict=True)))


def best_lists(job: Job) -> Result:
    """The best items of every user from implicit's ALS; fitting is not measured."""
    from implicit.als import AlternatingLeastSquares

    result: Result = {}
    for train, repeats in ((_toy(), 1), (_read(job, "train"), job.repeats)):
        matrix = _sparse(train)
        model = AlternatingLeastSquares(**job.parameters, random_state=0, num_threads=len(job.cores) or 1)
        model.fit(matrix, show_progress=False)
        _, result = measured(repeats, partial(_recommended, model, matrix))
    return result


def _recommended(model: Any, matrix: Any, laps: Laps) -> None:
    users, n = np.arange(matrix.shape[0]), min(BEST, matrix.shape[1])
    model.recommend(users, matrix, N=n, filter_already_liked_items=True)
    laps.lap("predict")


def _sparse(train: Columns) -> Any:
    from scipy.sparse import csr_matrix

    (users, items), values = (pd.factorize(column)[0] for column in train[:2]), train[2]
    return csr_matrix((values.astype(np.float32), (users, items)))


def _read(job: Job, part: str) -> Columns:
    folder = Path(job.folder)
    rows = np.load(folder / f"{part}-{job.fold}.npy")
    users, items, ratings = (np.load(folder / f"{name}.npy")[rows] for name in ("users", "items", "ratings"))
    return users, items, ratings.astype(np.float64)


def _toy() -> Columns:
    users, items = np.divmod(np.arange(SIDE * SIDE), SIDE)
    kept = (users + 2 * items) % 7 != 0
    ratings = 1.0 + (users * 3 + items * items) % 5
    return users[kept], items[kept], ratings[kept]


def _numbers(ids: npt.NDArray[Any], numbers: dict[Any, int]) -> npt.NDArray[Any]:
    return np.array([numbers.get(raw, -1) for raw in ids.tolist()])


TASKS: dict[str, Callable[[Job], Result]] = {"fold": fold, "top_n": best_lists}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    serve(TASKS)
