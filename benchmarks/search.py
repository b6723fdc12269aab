"""Speed of the search on two cores, compared with `GridSearchCV` and with Optuna driving Surprise.

    python -m benchmarks.search [--quick] [--only NAME] [--json FILE]

All sides get the same ratings, grid, folds and seeds, and are timed from the ratings table to the best
parameters. Marquee runs `run_search` with two worker processes, whose start is included; Surprise runs
`GridSearchCV(n_jobs=2)`. The best parameters and their RMSE must agree. The ratings are read from
MARQUEE_DATA_DIR.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import optuna
import pandas as pd
import surprise
from surprise.model_selection import GridSearchCV, KFold, cross_validate

from benchmarks.command_line import run_benchmark
from benchmarks.ratings import RATING_SCALE, load_movielens, sample_ratings
from benchmarks.result_rows import ResultRow, format_check_mark
from experiments.config import load_params
from experiments.config.offline import SearchParams
from experiments.evaluation.cross_validation import FoldSource, fold_seeds
from experiments.evaluation.protocol import EvaluationProtocol
from experiments.search.run import run_search
from experiments.search.specification import SearchSpec
from experiments.search.training_space import candidate_spaces
from experiments.search.trials import Trial, rank_trials
from marquee.algorithms.registry import find_algorithm
from marquee.interactions.splitting import shuffle_rows, split_for_cross_validation

N_FOLDS, SEED, N_WORKERS = 3, 0, 2
MAX_RMSE_DIFFERENCE = 1e-9  # in stars, between both sides' RMSE of the same point
MEAN_DIGITS = 10  # decimals of a mean rating that identify a fold
MIN_TRIALS_RATIO = 20  # target of the comparison with Optuna
STUDY = "peer"
PROTOCOL = EvaluationProtocol(10, 4.0)  # no lists are evaluated

Point = tuple[str, Mapping[str, Any]]  # candidate and parameters


@dataclass(frozen=True)
class Grid:
    """Grid search and its target."""

    title: str
    data: str
    algorithm: str
    twin: str  # class of Surprise
    space: Mapping[str, list[Any]]
    target: float  # speedup


@dataclass(frozen=True)
class BestPoint:
    """Best parameters of a grid search, their RMSE, and the duration of the search."""

    parameters: dict[str, Any]
    rmse: float
    seconds: float


GRIDS = (
    Grid(
        "SVD, 24 points", "ml-1m", "svd", "SVD",
        {"n_factors": [50, 100], "n_epochs": [10, 20, 30, 40], "reg_all": [0.02, 0.04, 0.06]}, 10,
    ),
    Grid(
        "SVD++, 12 points", "ml-100k", "svdpp", "SVDpp",
        {"n_factors": [10, 20], "n_epochs": [5, 10, 20], "reg_all": [0.02, 0.06]}, 150,
    ),
    Grid(
        "k-NN, 24 points", "ml-100k", "knn_basic", "KNNBasic",
        {"k": [10, 20, 40, 80], "min_k": [1, 3], "similarity": ["msd", "cosine", "pearson"]}, 40,
    ),
)  # fmt: skip


# Our search


def make_search_params(candidates: Mapping[str, Any], **changes: Any) -> SearchParams:
    """Return the parameters of a grid search over candidates, with changes."""
    block = {"sampler": "grid", "n_trials": 1, "workers": N_WORKERS, "experiment": "benchmark"}
    block |= {"metric": "rmse"}  # all sides compare errors on the same folds
    return SearchParams.model_validate({**block, "candidates": dict(candidates), **changes})


def write_search_spec(search: SearchParams, ratings: pd.DataFrame, folder: Path) -> SearchSpec:
    """Write ratings and folds to a folder, and return the specification of a search on them."""
    ratings.to_parquet(folder / "train.parquet", index=False)
    np.save(folder / "folds.npy", shuffle_rows(len(ratings), SEED))
    source = FoldSource(folder / "train.parquet", folder / "folds.npy", N_FOLDS, RATING_SCALE)
    return SearchSpec(search, source, None, PROTOCOL, SEED, folder)


def time_search(search: SearchParams, ratings: pd.DataFrame) -> tuple[list[Trial], float]:
    """Run Marquee's search; return its trials and its duration in seconds."""
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        trials = run_search(write_search_spec(search, ratings, Path(folder)), lambda _: None).trials
        return trials, time.perf_counter() - start


# GridSearchCV


def compare_grid_searches(grids: Sequence[Grid], share: float, n_repeats: int) -> Iterator[ResultRow]:
    """Compare the time of each grid: the median of Marquee's runs, and one run of Surprise."""
    for grid in grids:
        ratings = sample_ratings(load_movielens(grid.data), share)
        runs = [
            time_search(make_search_params({grid.algorithm: grid.space}), ratings) for _ in range(n_repeats)
        ]
        seconds = sorted(seconds for _, seconds in runs)[n_repeats // 2]
        best = rank_trials(runs[0][0], "rmse")[0]
        peer = surprise_grid_search(grid, ratings)
        speedup = peer.seconds / seconds
        target = f"target {grid.target:g}x {format_check_mark(speedup >= grid.target)}"
        note = f"{target}; {_compare_best(best, peer)}: {best.label}, {best.mean('rmse'):.4f}"
        title = f"{grid.title}, {grid.data}: GridSearchCV"
        yield ResultRow(title, seconds, "s", n_repeats, note, peer=peer.seconds, ratio=speedup)


def surprise_grid_search(grid: Grid, ratings: pd.DataFrame) -> BestPoint:
    """Run a grid search with Surprise."""
    twin = getattr(surprise, grid.twin)
    is_knn = "similarity" in grid.space
    space: dict[str, Any] = dict(grid.space)
    if is_knn:
        space["sim_options"] = {"name": space.pop("similarity"), "user_based": [True]}
        space["verbose"] = [False]
    algorithm = twin if is_knn else make_fold_seeded_class(grid.algorithm, twin, ratings)
    start = time.perf_counter()
    data = surprise.Dataset.load_from_df(ratings, surprise.Reader(rating_scale=RATING_SCALE))
    search = GridSearchCV(algorithm, space, ["rmse"], KFold(N_FOLDS, random_state=SEED), n_jobs=N_WORKERS)
    search.fit(data)
    seconds = time.perf_counter() - start
    parameters = {key: value for key, value in search.best_params["rmse"].items() if key != "verbose"}
    if is_knn:
        parameters["similarity"] = parameters.pop("sim_options")["name"]
    return BestPoint(parameters, float(search.best_score["rmse"]), seconds)


def make_fold_seeded_class(
    name: str, twin: type[surprise.AlgoBase], ratings: pd.DataFrame
) -> type[surprise.AlgoBase]:
    """Return a subclass of Surprise's class that uses, on each fold, the seed that Marquee uses on it.

    `GridSearchCV` has one seed for all folds, so the subclass identifies a fold by its mean rating.
    """
    seeds = fold_seeds(SEED, name)
    values = ratings["rating"].to_numpy(dtype=np.float64)
    folds = split_for_cross_validation(shuffle_rows(len(values), SEED), N_FOLDS)
    seed_by_mean = {
        round(float(values[fold.train].mean()), MEAN_DIGITS): seeds(number)
        for number, fold in enumerate(folds)
    }

    def fit(self: Any, trainset: surprise.Trainset) -> Any:
        self.random_state = seed_by_mean[round(trainset.global_mean, MEAN_DIGITS)]
        return twin.fit(self, trainset)

    subclass = type(twin.__name__, (twin,), {"fit": fit})
    setattr(sys.modules[__name__], subclass.__name__, subclass)  # makes the class picklable
    subclass.__module__, subclass.__qualname__ = __name__, subclass.__name__
    return subclass


def _compare_best(best: Trial, peer: BestPoint) -> str:
    """Return a note on whether both sides found the same best parameters and RMSE."""
    is_same = dict(best.parameters) == peer.parameters
    if is_same and abs(best.mean("rmse") - peer.rmse) <= MAX_RMSE_DIFFERENCE:
        return "same parameters and RMSE"
    return f"DIFFERENT: {peer.parameters} with {peer.rmse:.10f}"


# Optuna driving Surprise


def compare_with_optuna(share: float) -> ResultRow:
    """Compare trials per minute, for the default candidates, with Optuna driving Surprise."""
    ratings = sample_ratings(load_movielens("ml-100k"), share)
    candidates = {
        name: space
        for name, space in load_params().search.model_dump()["candidates"].items()
        if hasattr(surprise, find_algorithm(name).algorithm_class.__name__)
    }
    trials, seconds = time_search(make_search_params(candidates), ratings)
    n_peer_trials, peer_seconds = time_optuna_search(_points(candidates), ratings)
    per_minute, peer_per_minute = 60 * len(trials) / seconds, 60 * n_peer_trials / peer_seconds
    ratio = per_minute / peer_per_minute
    target = f"target {MIN_TRIALS_RATIO}x {format_check_mark(ratio >= MIN_TRIALS_RATIO)}"
    note = f"{target}; {len(trials)} trials, peer {n_peer_trials}"
    title = "default candidates, ml-100k: Optuna with Surprise"
    return ResultRow(title, per_minute, "trials/min", 1, note, peer=peer_per_minute, ratio=ratio)


def time_optuna_search(points: Sequence[Point], ratings: pd.DataFrame) -> tuple[int, float]:
    """Cross-validate all points with Surprise in Optuna's workers; return number of trials and seconds."""
    with TemporaryDirectory() as folder:
        journal = str(Path(folder) / "journal")
        study = optuna.create_study(study_name=STUDY, storage=_open_journal(journal))
        for number in range(len(points)):
            study.enqueue_trial({"point": number})
        start = time.perf_counter()
        with ProcessPoolExecutor(N_WORKERS) as pool:
            workers = [
                pool.submit(_run_optuna_worker, journal, ratings, points, seed) for seed in range(N_WORKERS)
            ]
            n_trials = sum(worker.result() for worker in workers)
        return n_trials, time.perf_counter() - start


def _run_optuna_worker(journal: str, ratings: pd.DataFrame, points: Sequence[Point], seed: int) -> int:
    """Run enqueued trials until none is left; return the number of trials that this worker ran."""
    sampler = optuna.samplers.RandomSampler(seed=seed)
    study = optuna.load_study(study_name=STUDY, storage=_open_journal(journal), sampler=sampler)
    data = surprise.Dataset.load_from_df(ratings, surprise.Reader(rating_scale=RATING_SCALE))

    def objective(trial: optuna.Trial) -> float:
        algorithm = _surprise_algorithm(*points[trial.suggest_int("point", 0, len(points) - 1)])
        scores = cross_validate(algorithm, data, ["rmse"], KFold(N_FOLDS, random_state=SEED), verbose=False)
        return float(np.mean(scores["test_rmse"]))

    n_trials = 0
    while study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.WAITING,)):
        study.optimize(objective, n_trials=1)
        n_trials += 1
    return n_trials


def _surprise_algorithm(name: str, parameters: Mapping[str, Any]) -> surprise.AlgoBase:
    """Create the Surprise algorithm of a candidate with these parameters."""
    ours = find_algorithm(name)
    twin = getattr(surprise, ours.algorithm_class.__name__)
    arguments = {key: value for key, value in parameters.items() if key not in ours.options}
    return twin(**arguments, **dict(ours.fixed), **ours._nest_options(parameters))


def _points(candidates: Mapping[str, Any]) -> list[Point]:
    """Return every point of the candidates' search spaces."""
    return [
        (name, dict(point))
        for name, space in candidate_spaces(make_search_params(candidates)).items()
        for training in space.enumerate_trainings()
        for point in space.points_of_training(training)
    ]


def _open_journal(path: str) -> optuna.storages.JournalStorage:
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(path))


PARTS: dict[str, Callable[[float], Iterable[ResultRow]]] = {
    "grids": lambda share: compare_grid_searches(GRIDS, share, n_repeats=3 if share == 1.0 else 1),
    "candidates": lambda share: [compare_with_optuna(share)],
}

if __name__ == "__main__":
    about = f"; {N_WORKERS} workers, {N_FOLDS} folds"
    sys.exit(run_benchmark("python -m benchmarks.search", __doc__, PARTS, about))
