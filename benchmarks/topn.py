"""Time to compute the lists of all users (the best 20 unseen items of each), compared with `implicit`, and to
evaluate them.

    python -m benchmarks.topn [--quick] [--only NAME] [--json FILE]

`movielens`: both sides get the same factors, the same seen items, two threads and one BLAS thread. They take
turns, and the medians are compared. The ratings are those of MovieLens 1M in MARQUEE_DATA_DIR. `million`:
Marquee only, with a million users, 27,000 items and 64 factors; the lists are written to memory-mapped files.
`evaluation`: lists of 10 items and all metrics of a search, for every user of MovieLens 1M with a relevant
held-out item; 10% of the ratings are held out.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from benchmarks.command_line import Part, run_benchmark
from benchmarks.machine import peak_resident_mb
from benchmarks.ratings import RATING_SCALE, load_movielens, sample_ratings
from benchmarks.result_rows import ResultRow, format_check_mark
from experiments.evaluation import parts
from experiments.evaluation.list_evaluation import ListEvaluator
from experiments.evaluation.protocol import EvaluationProtocol
from marquee.algorithms.registry import Parameters, find_algorithm
from marquee.algorithms.scoring import encode_pairs
from marquee.algorithms.svd import SVD
from marquee.algorithms.threads import limit_threads
from marquee.algorithms.top_n_retrieval import ItemLists, recommend_from_algorithm, recommend_from_factors
from marquee.array_types import Float64Array, Int32Array, Int64Array
from marquee.interactions.matrix import InteractionMatrix
from marquee.interactions.splitting import split_at_random

LIST_LENGTH, N_FACTORS, N_THREADS, N_ROUNDS = 20, 64, 2, 9
EVALUATED_LENGTH, RELEVANT_FROM, HELD_OUT_SHARE, SEED = 10, 4.0, 0.1, 0
MILLION_USERS, MILLION_ITEMS, SEEN_PER_USER = 1_000_000, 27_000, 100
MAX_MOVIELENS_SECONDS, MAX_MILLION_SECONDS, MAX_EVALUATION_SECONDS = 0.25, 240, 0.3
EVALUATED_MODELS: Mapping[str, tuple[str, Parameters]] = {
    "SVD": ("svd", {"n_factors": N_FACTORS, "n_epochs": 5}),
    "EASE": ("ease", {"weighting": "linear", "reg": 100.0}),
    "EASE, float64": ("ease", {"weighting": "linear", "reg": 100.0, "dtype": "float64"}),
}


# MovieLens


def compare_with_implicit(share: float) -> ResultRow:
    """Compare the time for the lists of all users of MovieLens 1M with that of implicit's `recommend`."""
    ratings = sample_ratings(load_movielens("ml-1m"), share)
    matrix = InteractionMatrix.from_frame(ratings, RATING_SCALE)
    model = find_algorithm("svd").create({"n_factors": N_FACTORS, "n_epochs": 5}, 1).fit(matrix)
    assert isinstance(model, SVD)
    peer_model, user_items, users = _implicit_model(model), _user_items(matrix), np.arange(matrix.n_users)
    sides: tuple[Callable[[], object], ...] = (
        lambda: recommend_from_algorithm(model, matrix.indptr, matrix.items, LIST_LENGTH),
        lambda: peer_model.recommend(users, user_items, N=LIST_LENGTH, filter_already_liked_items=True),
    )
    # implicit warns of "severe performance issues" if its own threads compete with those of BLAS.
    with limit_threads(N_THREADS), threadpool_limits(1, "blas"):
        seconds = _time_rounds(sides)
    ours, peer = np.median(seconds, axis=0).tolist()
    is_reached = ours <= min(MAX_MOVIELENS_SECONDS, peer)
    note = (
        f"target {MAX_MOVIELENS_SECONDS} s and no slower than implicit {format_check_mark(is_reached)}; "
        f"Marquee {seconds[:, 0].min():.3f} to {seconds[:, 0].max():.3f} s"
    )
    title = f"top {LIST_LENGTH} of {matrix.n_users} users, ml-1m"
    return ResultRow(title, ours, "s", N_ROUNDS, note, peer=peer, ratio=peer / ours)


def _implicit_model(model: SVD) -> AlternatingLeastSquares:
    """Return a model of implicit with the factors of ours; the item biases become an additional factor."""
    peer = AlternatingLeastSquares(factors=N_FACTORS + 1, num_threads=N_THREADS)
    peer.user_factors = np.column_stack([model.pu, np.ones(len(model.pu))]).astype(np.float32)
    peer.item_factors = np.column_stack([model.qi, model.bi]).astype(np.float32)
    return peer


def _user_items(matrix: InteractionMatrix) -> csr_matrix:
    """Return the seen items as the sparse matrix that implicit expects."""
    ones = np.ones(len(matrix.items), np.float32)
    return csr_matrix((ones, matrix.items, matrix.indptr), shape=(matrix.n_users, matrix.n_items))


def _time_rounds(sides: Sequence[Callable[[], object]]) -> Float64Array:
    """Return the seconds by round and side, without those of a warm-up round."""
    rounds = [[_time(side) for side in sides] for _ in range(1 + N_ROUNDS)]
    return np.array(rounds[1:])


# A million users


def measure_million_users(share: float) -> ResultRow:
    """Measure the time for the lists of a million users, and the peak memory beyond that of the factors."""
    rng = np.random.default_rng(0)
    n_users, n_items = int(MILLION_USERS * share), int(MILLION_ITEMS * min(1, share * 10))
    users = _random_factors(n_users, rng), np.zeros(n_users)
    items = _random_factors(n_items, rng), np.zeros(n_items)
    seen_indptr, seen_items = _random_seen_items(n_users, n_items, rng)
    with TemporaryDirectory() as folder:
        lists = _mapped_lists(Path(folder), n_users)
        before_mb = peak_resident_mb()
        with limit_threads(N_THREADS):
            seconds = _time(
                lambda: recommend_from_factors(users, items, seen_indptr, seen_items, LIST_LENGTH, lists)
            )
        extra_mb = peak_resident_mb() - before_mb  # includes the mapped files
    target = f"target {MAX_MILLION_SECONDS} s {format_check_mark(seconds <= MAX_MILLION_SECONDS)}"
    note = f"{target}; {extra_mb:.0f} MB of memory beyond the factors"
    title = f"top {LIST_LENGTH} of {n_users} users x {n_items} items"
    return ResultRow(title, seconds, "s", 1, note)


def _random_factors(n: int, rng: np.random.Generator) -> Float64Array:
    return rng.standard_normal((n, N_FACTORS)) / 8


def _random_seen_items(n_users: int, n_items: int, rng: np.random.Generator) -> tuple[Int64Array, Int32Array]:
    """Return random items of each user in CSR form (`indptr`, items); their popularity has a long tail."""
    items = (n_items * rng.random(n_users * SEEN_PER_USER) ** 3).astype(np.int32)
    return np.arange(n_users + 1, dtype=np.int64) * SEEN_PER_USER, items


def _mapped_lists(folder: Path, n_users: int) -> ItemLists:
    """Create memory-mapped arrays of items and scores."""
    shape = (n_users, LIST_LENGTH)
    return (
        np.lib.format.open_memmap(folder / "items.npy", "w+", np.int32, shape),
        np.lib.format.open_memmap(folder / "scores.npy", "w+", np.float32, shape),
    )


# Evaluation


def measure_evaluation(share: float) -> Iterator[ResultRow]:
    """Measure the time to evaluate the lists of models on a validation part of MovieLens 1M."""
    ratings = sample_ratings(load_movielens("ml-1m"), share)
    split = split_at_random(len(ratings), HELD_OUT_SHARE, SEED)
    matrix = InteractionMatrix.from_frame(ratings.iloc[split.train], RATING_SCALE)
    held_out = encode_pairs(ratings.iloc[split.test], matrix)
    numbers = np.arange(matrix.n_users, dtype=np.int32)
    evaluator = ListEvaluator(
        parts.Part(matrix, held_out, numbers),
        EvaluationProtocol(EVALUATED_LENGTH, RELEVANT_FROM),
    )
    for title, (name, parameters) in EVALUATED_MODELS.items():
        model = find_algorithm(name).create(parameters, SEED).fit(matrix)
        with limit_threads(N_THREADS):
            times = [_time(partial(evaluator.evaluate, model)) for _ in range(1 + N_ROUNDS)][1:]
        seconds = float(np.median(times))
        target = f"target {MAX_EVALUATION_SECONDS} s {format_check_mark(seconds <= MAX_EVALUATION_SECONDS)}"
        note = f"{target}; {min(times):.3f} to {max(times):.3f} s"
        yield ResultRow(
            f"evaluation of {len(evaluator.users)} lists, ml-1m, {title}",
            seconds,
            unit="s",
            n=N_ROUNDS,
            note=note,
        )


def _time(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


PARTS: dict[str, Part] = {
    "movielens": lambda share: [compare_with_implicit(share)],
    "million": lambda share: [measure_million_users(share)],
    "evaluation": measure_evaluation,
}

if __name__ == "__main__":
    sys.exit(run_benchmark("python -m benchmarks.topn", __doc__, PARTS))
