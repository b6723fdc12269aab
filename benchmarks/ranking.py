"""Ranking metrics and times of each algorithm, compared with `implicit`.

    python -m benchmarks.ranking [--data NAME] [--quick] [--json FILE]

A random 20% of the ratings are held out; held-out ratings of 4 or more are relevant. Ranking models are
trained on the remaining ratings of 4 or more. Rating models are trained on all remaining ratings, with their
default parameters. Items that a user rated in training are not recommended.

The parameters of "ImplicitALS, tuned" and the 30 epochs of ImplicitBPR were chosen on the same held-out
ratings of MovieLens 1M, so their metrics are slightly optimistic. The peer is the library `implicit`: its
`fit` with the same parameters, and its `recommend` for all users. The ratings are those of MovieLens 1M in
MARQUEE_DATA_DIR or, if these are not available, synthetic ones.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking
from threadpoolctl import threadpool_limits

from benchmarks.command_line import benchmark_parser
from benchmarks.ratings import MOVIELENS_FILES, NamedRatings, load_movielens, load_ratings
from benchmarks.result_rows import ResultRow, write_rows
from marquee.algorithms.base import Algorithm
from marquee.algorithms.bayesian import BayesianMF
from marquee.algorithms.ease import EASE
from marquee.algorithms.implicit_feedback import ImplicitALS, ImplicitBPR
from marquee.algorithms.knn import KNNBaseline
from marquee.algorithms.nmf import NMF
from marquee.algorithms.popularity import Popularity
from marquee.algorithms.scoring import encode_pairs
from marquee.algorithms.slope_one import SlopeOne
from marquee.algorithms.svd import SVD, SVDpp
from marquee.algorithms.threads import thread_count
from marquee.algorithms.top_n_retrieval import recommend_from_algorithm
from marquee.array_types import Float32Array, Int32Array
from marquee.interactions.matrix import InteractionMatrix
from marquee.interactions.splitting import split_at_random
from marquee.metrics.beyond_accuracy import coverage
from marquee.metrics.ranking import RelevantItems, find_hits, ndcg, recall

TEST_SHARE = 0.2
RELEVANCE_THRESHOLD = 4.0
LIST_LENGTH = 20
SEED = 0
N_REPEATS = 3
N_QUICK_RATINGS = 100_000
N_WARM_UP_RATINGS = 2000
ALGORITHMS: Mapping[str, Callable[[], Algorithm]] = {
    "Popularity": lambda: Popularity(threshold=RELEVANCE_THRESHOLD),
    "EASE": lambda: EASE(threshold=RELEVANCE_THRESHOLD),
    "EASE, float64": lambda: EASE(threshold=RELEVANCE_THRESHOLD, dtype="float64"),
    "EASE, linear weights": lambda: EASE(weighting="linear"),
    "ImplicitALS": lambda: ImplicitALS(threshold=RELEVANCE_THRESHOLD, random_state=SEED),
    "ImplicitALS, tuned": lambda: ImplicitALS(
        reg_all=10, alpha=4, threshold=RELEVANCE_THRESHOLD, random_state=SEED
    ),
    "ImplicitBPR": lambda: ImplicitBPR(threshold=RELEVANCE_THRESHOLD, random_state=SEED),
    "SVD (ratings)": lambda: SVD(random_state=SEED),
    "SVD++ (ratings)": lambda: SVDpp(random_state=SEED),
    "NMF (ratings)": lambda: NMF(random_state=SEED),
    "Slope One (ratings)": SlopeOne,
    "k-NN Baseline (ratings)": lambda: KNNBaseline(verbose=False),
    "Bayesian MF (ratings)": lambda: BayesianMF(random_state=SEED),
}
# implicit's alpha is the confidence in a positive; ours is the excess of that confidence over 1.
IMPLICIT_MODELS: Mapping[str, Callable[[], Any]] = {
    "ImplicitALS": lambda: AlternatingLeastSquares(
        64, 0.01, alpha=2.0, iterations=15, num_threads=thread_count(), random_state=SEED
    ),
    "ImplicitALS, tuned": lambda: AlternatingLeastSquares(
        64, 10, alpha=5.0, iterations=15, num_threads=thread_count(), random_state=SEED
    ),
    "ImplicitBPR": lambda: BayesianPersonalizedRanking(64, iterations=30, num_threads=1, random_state=SEED),
}


@dataclass(frozen=True)
class MetricColumn:
    """Column of the table."""

    name: str
    unit: str
    digits: int
    is_lower_better: bool = False


NDCG, RECALL, COVERAGE = (
    MetricColumn("nDCG@10", "1", 4),
    MetricColumn("recall@20", "1", 4),
    MetricColumn("coverage@20", "1", 3),
)
FIT = MetricColumn("fit", "s", 2, is_lower_better=True)
LISTS = MetricColumn("top 20 of all", "s", 2, is_lower_better=True)
COLUMNS = (NDCG, RECALL, COVERAGE, FIT, LISTS)


@dataclass(frozen=True)
class RankingTask:
    """Training ratings, relevant held-out items, and the sparse matrices that `implicit` expects."""

    matrix: InteractionMatrix
    relevant: RelevantItems
    liked: scipy.sparse.csr_matrix  # users x items: 1 for ratings of at least the threshold
    seen: scipy.sparse.csr_matrix  # users x items: 1 for all ratings


@dataclass(frozen=True)
class RankingRun:
    """Lists of one run, shape (n_users, LIST_LENGTH), and the seconds of fit and lists."""

    lists: Int32Array
    fit_seconds: float
    list_seconds: float


def build_task(ratings: pd.DataFrame) -> RankingTask:
    """Split ratings at random into training and held-out ratings, and build the task from them."""
    split = split_at_random(len(ratings), TEST_SHARE, SEED)
    matrix = InteractionMatrix.from_frame(ratings.iloc[split.train])
    held_out = encode_pairs(ratings.iloc[split.test], matrix)
    is_relevant = held_out.actual >= RELEVANCE_THRESHOLD
    relevant = RelevantItems.from_pairs(
        held_out.users[is_relevant], held_out.items[is_relevant], matrix.n_users
    )
    liked = _to_scipy(matrix, (matrix.values >= RELEVANCE_THRESHOLD).astype(np.float32))
    liked.eliminate_zeros()
    seen = _to_scipy(matrix, np.ones(len(matrix.items), np.float32))
    return RankingTask(matrix, relevant, liked, seen)


def _to_scipy(matrix: InteractionMatrix, values: Float32Array) -> scipy.sparse.csr_matrix:
    shape = (matrix.n_users, matrix.n_items)
    # SciPy would share the arrays, and `eliminate_zeros` would overwrite those of the interaction matrix.
    return scipy.sparse.csr_matrix((values, matrix.items, matrix.indptr), shape=shape, copy=True)


def run_marquee(create: Callable[[], Algorithm], task: RankingTask) -> RankingRun:
    """Fit an algorithm of Marquee and compute the lists of all users."""
    algorithm, matrix, start = create(), task.matrix, perf_counter()
    algorithm.fit(matrix)
    fitted = perf_counter()
    lists, _ = recommend_from_algorithm(algorithm, matrix.indptr, matrix.items, LIST_LENGTH)
    return RankingRun(lists, fitted - start, perf_counter() - fitted)


def run_implicit(create: Callable[[], Any], task: RankingTask) -> RankingRun:
    """Fit a model of implicit and compute the lists of all users; implicit recommends one BLAS thread."""
    with threadpool_limits(1, "blas"):
        model, start = create(), perf_counter()
        model.fit(task.liked, show_progress=False)
        fitted = perf_counter()
        lists, _ = model.recommend(np.arange(task.matrix.n_users), task.seen, N=LIST_LENGTH)
    return RankingRun(lists, fitted - start, perf_counter() - fitted)


def summarize_runs(runs: Sequence[RankingRun], task: RankingTask) -> dict[MetricColumn, float]:
    """Return the metrics of the first run's lists, and the median times of all runs."""
    lists = runs[0].lists
    hits = find_hits(lists, task.relevant)
    return {
        NDCG: float(ndcg(hits, 10).mean()),
        RECALL: float(recall(hits, LIST_LENGTH).mean()),
        COVERAGE: coverage(lists, task.matrix.n_items, LIST_LENGTH),
        FIT: median(run.fit_seconds for run in runs),
        LISTS: median(run.list_seconds for run in runs),
    }


def measure_algorithm(name: str, task: RankingTask, n_repeats: int) -> list[ResultRow]:
    """Measure an algorithm and return a row for each column; Marquee and implicit take turns."""
    our_runs, peer_runs = [], []
    for _ in range(n_repeats):
        our_runs.append(run_marquee(ALGORITHMS[name], task))
        if name in IMPLICIT_MODELS:
            peer_runs.append(run_implicit(IMPLICIT_MODELS[name], task))
    ours = summarize_runs(our_runs, task)
    peers = summarize_runs(peer_runs, task) if peer_runs else {}
    n_ratings = len(task.matrix.values)
    return [
        _compare(f"{name}: {column.name}", column, ours[column], peers.get(column), n_ratings)
        for column in COLUMNS
    ]


def _compare(title: str, column: MetricColumn, ours: float, peer: float | None, n: int) -> ResultRow:
    ratio = None if peer is None else peer / ours if column.is_lower_better else ours / peer
    return ResultRow(title, ours, column.unit, n, peer=peer, ratio=ratio)


def measure_all(task: RankingTask, n_repeats: int) -> Iterator[ResultRow]:
    """Measure all algorithms and print a Markdown table line by line, with implicit's values in brackets."""
    titles = [column.name if column.unit == "1" else f"{column.name} {column.unit}" for column in COLUMNS]
    print(f"| Marquee (implicit) | {' | '.join(titles)} |")
    print("| :-- |" + " --: |" * len(COLUMNS))
    for name in ALGORITHMS:
        rows = measure_algorithm(name, task, n_repeats)
        cells = [_format_cell(row, column) for row, column in zip(rows, COLUMNS, strict=True)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
        yield from rows


def _format_cell(row: ResultRow, column: MetricColumn) -> str:
    peer = "" if row.peer is None else f" ({row.peer:.{column.digits}f})"
    return f"{row.ours:.{column.digits}f}{peer}"


def load_kernels(ratings: pd.DataFrame) -> None:
    """Run every algorithm on a few ratings, so that no measurement includes compilation."""
    task = build_task(ratings.iloc[:N_WARM_UP_RATINGS])
    for create in ALGORITHMS.values():
        run_marquee(create, task)


def load_named_ratings(name: str | None, n_rows: int | None) -> NamedRatings:
    """Load the ratings of a MovieLens data set; None: MovieLens 1M or, without it, synthetic ones."""
    return load_ratings(None, n_rows) if name is None else NamedRatings(name, load_movielens(name))


def main() -> int:
    """Measure and print the table; with --json, also write its rows."""
    quick_help = f"{N_QUICK_RATINGS:,} ratings, each algorithm once"
    parser = benchmark_parser("python -m benchmarks.ranking", __doc__, quick_help)
    parser.add_argument("--data", choices=MOVIELENS_FILES, help="MovieLens data set (default: ml-1m)")
    options = parser.parse_args()
    named = load_named_ratings(options.data, N_QUICK_RATINGS if options.quick else None)
    load_kernels(named.ratings)
    task = build_task(named.ratings)
    print(f"{named.name}: {len(task.matrix.values):,} training ratings, {thread_count()} threads\n")
    rows = list(measure_all(task, 1 if options.quick else N_REPEATS))
    if options.json:
        write_rows(map(asdict, rows), options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
