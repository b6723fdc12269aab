"""How well each algorithm ranks what was held out, and how long it takes; `implicit` beside its two.

    python -m benchmarks.ranking [--quick] [--json FILE]

80% of the ratings train, a random 20% are held out; of these, ratings of 4 and more are relevant. The
rankers learn from training ratings of 4 and more, and nobody is shown what they rated in training.
"tuned", and the 30 epochs of ImplicitBPR, were chosen on this very held-out part of MovieLens 1M: a little
too good to be true. The rating predictors learn from all training ratings, with their defaults.
The peer is `implicit` on its own: its `fit` with the same parameters, and its `recommend` for all users.
`MARQUEE_DATA_DIR` names the folder that holds ml-1m/; without it the ratings are synthetic.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking
from threadpoolctl import threadpool_limits

from benchmarks.folds import source
from marquee.algorithms.base import Algorithm
from marquee.algorithms.ease import EASE
from marquee.algorithms.implicit_feedback import ImplicitALS, ImplicitBPR
from marquee.algorithms.popularity import Popularity
from marquee.algorithms.retrieval import best_lists
from marquee.algorithms.scoring import pairs_of
from marquee.algorithms.svd import SVD, SVDpp
from marquee.algorithms.threads import n_threads
from marquee.arrays import Integers
from marquee.interactions.matrix import RatingMatrix
from marquee.interactions.splitting import random_holdout
from marquee.metrics.beyond_accuracy import coverage
from marquee.metrics.ranking import Relevant, judge, ndcg, recall

TEST_SHARE = 0.2
LIKED = 4.0
LENGTH = 20
SEED = 0
SAMPLE = 100_000  # ratings of --quick
REPEATS = 3
UNITS = {"nDCG@10": "1", "recall@20": "1", "coverage@20": "1", "fit": "s", "top 20 of all": "s"}
OURS: dict[str, Callable[[], Algorithm]] = {
    "Popularity": lambda: Popularity(threshold=LIKED),
    "EASE": lambda: EASE(threshold=LIKED),
    "EASE, float32": lambda: EASE(threshold=LIKED, dtype="float32"),
    "ImplicitALS": lambda: ImplicitALS(threshold=LIKED, random_state=SEED),
    "ImplicitALS, tuned": lambda: ImplicitALS(reg_all=10, alpha=4, threshold=LIKED, random_state=SEED),
    "ImplicitBPR": lambda: ImplicitBPR(threshold=LIKED, random_state=SEED),
    "SVD (ratings)": lambda: SVD(random_state=SEED),
    "SVD++ (ratings)": lambda: SVDpp(random_state=SEED),
}
PEERS: dict[str, Callable[[], Any]] = {
    "ImplicitALS": lambda: AlternatingLeastSquares(
        64, 0.01, alpha=2.0, iterations=15, num_threads=n_threads(), random_state=SEED
    ),
    "ImplicitALS, tuned": lambda: AlternatingLeastSquares(
        64, 10, alpha=5.0, iterations=15, num_threads=n_threads(), random_state=SEED
    ),
    "ImplicitBPR": lambda: BayesianPersonalizedRanking(64, iterations=30, num_threads=1, random_state=SEED),
}


@dataclass(frozen=True)
class Row:
    """One figure, ours and the peer's."""

    what: str
    ours: float
    peer: float | None
    ratio: float | None  # peer / ours for seconds (how many times faster ours is), else ours / peer
    unit: str
    n: int  # training ratings


@dataclass(frozen=True)
class Task:
    """What is learned from, what is relevant, and the matrices that `implicit` takes."""

    matrix: RatingMatrix
    relevant: Relevant
    liked: scipy.sparse.csr_matrix
    seen: scipy.sparse.csr_matrix


def task_of(ratings: pd.DataFrame) -> Task:
    """Split a ratings table."""
    fold = random_holdout(len(ratings), TEST_SHARE, SEED)
    matrix = RatingMatrix.from_frame(ratings.iloc[fold.train])
    held_out = pairs_of(ratings.iloc[fold.test], matrix)
    liked = held_out.actual >= LIKED
    relevant = Relevant.from_pairs(held_out.users[liked], held_out.items[liked], matrix.n_users)
    seen = scipy.sparse.csr_matrix(
        ((matrix.values >= LIKED).astype(np.float32), matrix.items, matrix.indptr),
        shape=(matrix.n_users, matrix.n_items),
    )
    positives = seen.copy()
    positives.eliminate_zeros()
    seen.data[:] = 1
    return Task(matrix, relevant, positives, seen)


def run_ours(make: Callable[[], Algorithm], task: Task) -> tuple[Integers, float, float]:
    """Lists, and seconds of `fit` and of the lists."""
    model, matrix, began = make(), task.matrix, perf_counter()
    model.fit(matrix)
    fitted = perf_counter()
    lists, _ = best_lists(model, matrix.indptr, matrix.items, LENGTH)
    return lists, fitted - began, perf_counter() - fitted


def run_peer(make: Callable[[], Any], task: Task) -> tuple[Integers, float, float]:
    """The same by `implicit`, with the one thread of BLAS that it asks for."""
    with threadpool_limits(1, "blas"):
        model, began = make(), perf_counter()
        model.fit(task.liked, show_progress=False)
        fitted = perf_counter()
        lists, _ = model.recommend(np.arange(task.matrix.n_users), task.seen, N=LENGTH)
    return lists, fitted - began, perf_counter() - fitted


def figures(runs: list[tuple[Integers, float, float]], task: Task) -> list[float]:
    """The values of `UNITS`, in their order; seconds are medians."""
    lists = runs[0][0]
    judged = judge(lists, task.relevant)
    return [
        float(ndcg(judged, 10).mean()),
        float(recall(judged, LENGTH).mean()),
        coverage(lists, task.matrix.n_items, LENGTH),
        median(fit for _, fit, _ in runs),
        median(seconds for _, _, seconds in runs),
    ]


def rows(task: Task, repeats: int) -> Iterator[Row]:
    """The whole table: ours and the peer take turns."""
    for name, make in OURS.items():
        ours, theirs = [], []
        for _ in range(repeats):
            ours.append(run_ours(make, task))
            if name in PEERS:
                theirs.append(run_peer(PEERS[name], task))
        peers = figures(theirs, task) if theirs else [None] * len(UNITS)
        for (what, unit), value, peer in zip(UNITS.items(), figures(ours, task), peers, strict=True):
            ratio = None if peer is None else peer / value if unit == "s" else value / peer
            yield Row(f"{name}: {what}", value, peer, ratio, unit, len(task.matrix.values))


def line(name: str, done: list[Row]) -> str:
    """One algorithm's rows as a line of a Markdown table; the peer's figures in brackets."""
    cells = [
        f"{row.ours:.{digits}f}" + (f" ({row.peer:.{digits}f})" if row.peer is not None else "")
        for row, digits in zip(done, (4, 4, 3, 2, 2), strict=True)
    ]
    return " | ".join([f"| {name}", *cells]) + " |"


def warm_up(ratings: pd.DataFrame) -> None:
    """Compile, so that no measurement does."""
    small = task_of(ratings.iloc[:2000])
    for make in OURS.values():
        run_ours(make, small)


def main() -> None:
    """Print the table line by line; with --json, write its figures too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{SAMPLE:,} ratings, each thing once")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    data = source(None, SAMPLE if options.quick else None)
    warm_up(data.ratings)
    task = task_of(data.ratings)
    print(f"{data.name}: {len(task.matrix.values):,} training ratings, {n_threads()} threads\n")
    print(
        " | ".join(["| (implicit itself)", *(f"{w} {u}" if u == "s" else w for w, u in UNITS.items())]) + " |"
    )
    print("| :-- |" + " --: |" * len(UNITS))
    done: list[Row] = []
    names = iter(OURS)
    for row in rows(task, 1 if options.quick else REPEATS):
        done.append(row)
        if len(done) % len(UNITS) == 0:
            print(line(next(names), done[-len(UNITS) :]), flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in done], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
