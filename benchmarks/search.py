"""The search beside Surprise's `GridSearchCV` and beside Optuna that drives Surprise, on two cores each.

    python -m benchmarks.search [--quick] [--only NAME] [--json FILE]

Both sides get the same ratings, grid, folds and seeds, and go from a ratings table to the best parameters:
ours by `run_search` with two worker processes, whose start is counted, Surprise's by
`GridSearchCV(n_jobs=2)`. The winner and its RMSE must be the same. The ratings are those of MARQUEE_DATA_DIR.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import optuna
import pandas as pd
import surprise
from surprise.model_selection import GridSearchCV, KFold, cross_validate

from benchmarks.folds import SCALE
from benchmarks.measure import describe_machine
from experiments.config.offline import Search, load_params
from experiments.evaluation.cross_validation import FoldSource, fold_seeds
from experiments.search.run import Asking, run_search
from experiments.search.trials import Trial, ranked
from marquee.algorithms.registry import candidate
from marquee.errors import MarqueeError, SourceError
from marquee.interactions.splitting import folds_of, shuffled

FOLDS, SEED, WORKERS = 3, 0, 2
QUICK_SHARE = 0.1  # of the ratings
SAME = 1e-9  # stars: how far two RMSEs of one model may be apart
Space = dict[str, list[Any]]


@dataclass(frozen=True)
class Row:
    """One figure."""

    what: str
    ours: float
    peer: float | None
    ratio: float | None
    unit: str
    n: int
    note: str = ""


@dataclass(frozen=True)
class Grid:
    """One grid, and how many times faster ours is to be."""

    title: str
    data: str
    name: str  # of ours
    twin: str  # Surprise's class
    space: Space
    target: float


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


def ratings_of(data: str) -> pd.DataFrame:
    """The ratings of a data set in MARQUEE_DATA_DIR.

    Raises:
        SourceError: it is not there.
    """
    folder = Path(os.environ.get("MARQUEE_DATA_DIR", "")) / data
    if data == "ml-1m" and (folder / "ratings.csv.gz").is_file():
        return pd.read_csv(folder / "ratings.csv.gz")[["user", "item", "rating"]]
    if (folder / "u.data").is_file():
        names = ["user", "item", "rating", "timestamp"]
        return pd.read_csv(folder / "u.data", sep="\t", names=names)[names[:3]]
    raise SourceError(
        f"there are no ratings in {folder}: set MARQUEE_DATA_DIR to the folder that holds ml-1m"
    )


def ours(search: Search, ratings: pd.DataFrame) -> tuple[list[Trial], float]:
    """The trials of our search, and its seconds."""
    with TemporaryDirectory() as home:
        began = time.perf_counter()
        trials = run_search(asking_of(search, ratings, Path(home)), lambda *_: None)
        return trials, time.perf_counter() - began


def asking_of(search: Search, ratings: pd.DataFrame, folder: Path) -> Asking:
    """A search on these ratings, which are written to the folder."""
    ratings.to_parquet(folder / "train.parquet", index=False)
    np.save(folder / "folds.npy", shuffled(len(ratings), SEED))
    source = FoldSource(folder / "train.parquet", folder / "folds.npy", FOLDS, SCALE)
    return Asking(search, source, SEED, "rmse", folder)


def search_of(candidates: dict[str, Any], **changes: Any) -> Search:
    """A search of these candidates alone."""
    block = {"sampler": "grid", "n_trials": 1, "workers": WORKERS, "experiment": "benchmark"}
    return Search.model_validate({**block, "candidates": candidates, **changes})


def seeded(name: str, twin: type[surprise.AlgoBase], ratings: pd.DataFrame) -> type[surprise.AlgoBase]:
    """Surprise's class, which on each fold takes the seed that ours takes there.

    `GridSearchCV` has one seed for all folds. A fold is known by its mean rating.
    """
    seeds = fold_seeds(SEED, name)
    values = ratings["rating"].to_numpy(dtype=np.float64)
    parts = folds_of(shuffled(len(values), SEED), FOLDS)
    by_mean = {round(float(values[part.train].mean()), 10): seeds(fold) for fold, part in enumerate(parts)}

    def fit(self: Any, trainset: surprise.Trainset) -> Any:
        self.random_state = by_mean[round(trainset.global_mean, 10)]
        return twin.fit(self, trainset)

    made = type(twin.__name__, (twin,), {"fit": fit})
    setattr(sys.modules[__name__], made.__name__, made)
    made.__module__, made.__qualname__ = __name__, made.__name__
    return made


def theirs(grid: Grid, ratings: pd.DataFrame) -> tuple[dict[str, Any], float, float]:
    """The best parameters by `GridSearchCV`, their RMSE, and its seconds."""
    twin = getattr(surprise, grid.twin)
    kind = twin if "k" in grid.space else seeded(grid.name, twin, ratings)
    space: dict[str, Any] = dict(grid.space)
    if "similarity" in space:
        space["sim_options"] = {"name": space.pop("similarity"), "user_based": [True]}
        space["verbose"] = [False]
    began = time.perf_counter()
    data = surprise.Dataset.load_from_df(ratings, surprise.Reader(rating_scale=SCALE))
    found = GridSearchCV(kind, space, ["rmse"], KFold(FOLDS, random_state=SEED), n_jobs=WORKERS)
    found.fit(data)
    seconds = time.perf_counter() - began
    best = {key: value for key, value in found.best_params["rmse"].items() if key != "verbose"}
    if "sim_options" in best:
        best["similarity"] = best.pop("sim_options")["name"]
    return best, float(found.best_score["rmse"]), seconds


def grids(chosen: Sequence[Grid], share: float, repeats: int) -> Iterator[Row]:
    """Each grid on both sides: ours as often as said, Surprise once."""
    for grid in chosen:
        ratings = sampled(ratings_of(grid.data), share)
        runs = [ours(search_of({grid.name: grid.space}), ratings) for _ in range(repeats)]
        best = ranked(runs[0][0], "rmse")[0]
        parameters, error, took = theirs(grid, ratings)
        seconds = sorted(run[1] for run in runs)[len(runs) // 2]
        same = dict(best.parameters) == parameters and abs(best.mean("rmse") - error) <= SAME
        verdict = "the same winner and RMSE" if same else f"NOT the same: {parameters} with {error:.10f}"
        ratio = took / seconds
        reached = f"target {grid.target:g}x {'✓' if ratio >= grid.target else '✗'}"
        title = f"{grid.title}, {grid.data}: GridSearchCV"
        note = f"{reached}; {verdict}: {best.label}, {best.mean('rmse'):.4f}"
        yield Row(title, seconds, took, ratio, "s", len(runs), note)


def _points(candidates: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """All points of the default candidates, as Surprise is given them."""
    trials = [(name, axes.points(training)) for name, axes, training in _trainings(candidates)]
    return [(name, dict(point)) for name, points in trials for point in points]


def _trainings(candidates: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    from experiments.search.space import axes_of_all

    axes = axes_of_all(search_of(candidates))
    return [(name, one, training) for name, one in axes.items() for training in one.trainings()]


def _driven(task: tuple[str, pd.DataFrame, dict[str, Any], int]) -> int:
    """What one worker of Optuna does with Surprise: cross-validate the points that it is given."""
    storage, ratings, candidates, number = task
    points = _points(candidates)
    study = optuna.load_study(study_name="peer", storage=_journal(storage),
                              sampler=optuna.samplers.RandomSampler(seed=number))  # fmt: skip
    data = surprise.Dataset.load_from_df(ratings, surprise.Reader(rating_scale=SCALE))
    done = 0

    def objective(trial: optuna.Trial) -> float:
        name, point = points[trial.suggest_int("point", 0, len(points) - 1)]
        twin = candidate(name).make(point, SEED)
        theirs = getattr(surprise, type(twin).__name__)
        arguments = {key: value for key, value in point.items() if key not in candidate(name).options}
        nested = candidate(name)._nested(point)
        algorithm = theirs(**arguments, **dict(candidate(name).fixed), **nested)
        scores = cross_validate(algorithm, data, ["rmse"], KFold(FOLDS, random_state=SEED), verbose=False)
        return float(np.mean(scores["test_rmse"]))

    while study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.WAITING,)):
        study.optimize(objective, n_trials=1)
        done += 1
    return done


def _journal(path: str) -> optuna.storages.JournalStorage:
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(path))


def candidates_row(share: float) -> Row:
    """Trials a minute over the default candidates, ours against Optuna that drives Surprise."""
    ratings = sampled(ratings_of("ml-100k"), share)
    space = {
        name: axes
        for name, axes in load_params().search.model_dump()["candidates"].items()
        if hasattr(surprise, candidate(name).factory.__name__)
    }
    trials, seconds = ours(search_of(space), ratings)
    with TemporaryDirectory() as home:
        path = str(Path(home) / "journal")
        study = optuna.create_study(study_name="peer", storage=_journal(path))
        points = _points(space)
        for number in range(len(points)):
            study.enqueue_trial({"point": number})
        began = time.perf_counter()
        with ProcessPoolExecutor(WORKERS) as pool:
            done = sum(pool.map(_driven, [(path, ratings, space, n) for n in range(WORKERS)]))
        took = time.perf_counter() - began
    per_minute, peer = 60 * len(trials) / seconds, 60 * done / took
    ratio = per_minute / peer
    note = f"target 20x {'✓' if ratio >= 20 else '✗'}; {len(trials)} trials, {done} of the peer's"
    return Row(
        "default candidates, ml-100k: Optuna with Surprise", per_minute, peer, ratio, "trials/min", 1, note
    )


def line(row: Row) -> str:
    """A row as a person reads it."""
    peer = "" if row.peer is None else f" against {row.peer:.4g} {row.unit}"
    ratio = "" if row.ratio is None else f": {row.ratio:.1f}x"
    return f"{row.what}: {row.ours:.4g} {row.unit}{peer}{ratio} ({row.note})"


def sampled(ratings: pd.DataFrame, share: float) -> pd.DataFrame:
    """A share of the ratings, in their order."""
    rows = np.sort(shuffled(len(ratings), SEED)[: round(share * len(ratings))])
    return ratings.iloc[rows].reset_index(drop=True)


def run(
    program: str, doc: str | None, parts: Mapping[str, Callable[[float], Iterable[Row]]], about: str = ""
) -> int:
    """The command line: print a line a figure; with --json, write the rows too."""
    parser = argparse.ArgumentParser(prog=program, description=(doc or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of it")
    parser.add_argument(
        "--only", action="append", default=[], choices=parts, help="this part; may be repeated"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to this file")
    options = parser.parse_args()
    share = QUICK_SHARE if options.quick else 1.0
    shown = "; a tenth of it" if options.quick else ""
    print(f"{describe_machine()}{about}{shown}.\n")
    rows: list[Row] = []
    try:
        for name in options.only or parts:
            for row in parts[name](share):
                print(line(row), flush=True)
                rows.append(row)
    except MarqueeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")
    return 0


PARTS: dict[str, Callable[[float], Iterable[Row]]] = {
    "grids": lambda share: grids(GRIDS, share, 3 if share == 1.0 else 1),
    "candidates": lambda share: [candidates_row(share)],
}

if __name__ == "__main__":
    about = f"; {WORKERS} workers, {FOLDS} folds"
    sys.exit(run("python -m benchmarks.search", __doc__, PARTS, about))
