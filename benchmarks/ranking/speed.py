"""Speed of rankers on MovieLens 1M, against implicit and LensKit in the same run and on the same cores.

    iALS        time of a fit until it reaches the NDCG@10 that the ALS of implicit reaches
    item k-NN   fit, and the top 10 of all users
    EASE        fit

Both sides learn from the training ratings of 4 or more. Marquee and implicit take turns; LensKit runs in its
own environment and process. Without that environment, it is not measured.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.ranking.peers import (
    EpochClock,
    FitAndLists,
    LearningCurve,
    best_implicit_als,
    find_lenskit_problem,
    fit_implicit_als,
    fit_lenskit,
    run_implicit_knn,
    run_lenskit,
)
from benchmarks.ranking.task import RankingTask, load_task, make_toy_task, time_call
from benchmarks.ratings import SEED
from benchmarks.result_rows import ResultRow, format_check_mark
from marquee.algorithms.base import Algorithm, EpochAlgorithm
from marquee.algorithms.ease import EASE
from marquee.algorithms.registry import find_algorithm
from marquee.algorithms.threads import thread_count

N_REPEATS = 5
N_FACTORS = 64
UNOBSERVED_WEIGHTS = (0.1, 0.15, 0.2, 0.3)
REGULARIZATIONS = ((0.01, 1.0), (0.3, 0.5), (2.0, 0.25))  # reg and its exponent
QUICK_POINT = (0.15, 2.0, 0.25)
K = 100  # neighbors
EASE_REG = 500.0
MIN_IALS_RATIO, MIN_KNN_RATIO, MIN_EASE_RATIO = 1.5, 2.0, 2.0


def count_repeats(*, is_quick: bool) -> int:
    """Return the number of repetitions of a short measurement."""
    return 1 if is_quick else N_REPEATS


# iALS


def measure_ials(*, is_quick: bool) -> Iterator[ResultRow]:
    """Measure the time to the best NDCG@10 of implicit's ALS."""
    task, n_repeats = load_task("ml-1m"), count_repeats(is_quick=is_quick)
    _fit_ials(make_toy_task(task), *QUICK_POINT, ndcg=1.0)
    peer = best_implicit_als("ml-1m", "explicit", is_quick=is_quick)
    ours = _fastest_ials(task, peer.ndcg, is_quick=is_quick)
    if ours is None:
        return
    our_times, peer_times = [], []
    for _ in range(n_repeats):
        our_times.append(_fit_ials(task, *ours.parameters, ndcg=peer.ndcg).seconds_to_reach(peer.ndcg))
        peer_times.append(fit_implicit_als(task, *peer.parameters).seconds_to_reach(peer.ndcg))
    note = (
        f"NDCG@10 {peer.ndcg:.4f}; {ours.label} ({_format_range(our_times)}); implicit's ALS, {peer.label} "
        f"({_format_range(peer_times)}); {thread_count()} threads"
    )
    yield compare_times("iALS", our_times, peer_times, MIN_IALS_RATIO, note)


def _fastest_ials(task: RankingTask, ndcg: float, *, is_quick: bool) -> LearningCurve | None:
    """Return the fit of a grid that reaches an NDCG@10 first, or None if none reaches it."""
    points = ((weight, *reg) for weight, reg in product(UNOBSERVED_WEIGHTS, REGULARIZATIONS))
    grid = [QUICK_POINT] if is_quick else list(points)
    curves = [_fit_ials(task, *point, ndcg=ndcg) for point in grid]
    fastest = min(curves, key=lambda curve: curve.seconds_to_reach(ndcg))
    return fastest if np.isfinite(fastest.seconds_to_reach(ndcg)) else None


def _fit_ials(
    task: RankingTask, unobserved_weight: float, reg: float, reg_exponent: float, *, ndcg: float
) -> LearningCurve:
    """Fit iALS to the positives until it reaches an NDCG@10."""
    parameters = {"unobserved_weight": unobserved_weight, "reg": reg, "reg_exponent": reg_exponent}
    label = ", ".join(f"{name}={value:g}" for name, value in parameters.items())
    curve = LearningCurve(f"iALS, {label}", (unobserved_weight, reg, reg_exponent))
    algorithm = find_algorithm("ials").create({"n_factors": N_FACTORS, **parameters}, SEED)
    assert isinstance(algorithm, EpochAlgorithm)
    clock = EpochClock(curve)
    for _ in algorithm.fit_by_epoch(task.matrix):
        clock.stop()
        clock.resume(task.score(algorithm))
        if np.isfinite(curve.seconds_to_reach(ndcg)):
            break
    return curve


# Item k-NN


def measure_item_knn(*, is_quick: bool) -> Iterator[ResultRow]:
    """Measure fit and lists of cosine neighbors."""
    task, n_repeats = load_task("ml-1m"), count_repeats(is_quick=is_quick)
    toy, peers = make_toy_task(task), {}
    _run_item_knn(toy)
    run_implicit_knn(toy, K)
    ours, implicit = [], []
    for _ in range(n_repeats):
        ours.append(_run_item_knn(task))
        implicit.append(run_implicit_knn(task, K))
    peers["implicit's CosineRecommender"] = [median_run(implicit)]
    if find_lenskit_problem() is None:
        peers["LensKit's ItemKNN"] = [
            run_lenskit(task, "ItemKNN", 1, max_nbrs=K, save_nbrs=K, feedback="implicit")
        ]
    totals = {name: runs[0].total for name, runs in peers.items()}
    fastest = min(totals, key=lambda name: totals[name])
    note = f"{median_run(ours)} ({_format_range([run.total for run in ours])}); peer: {fastest}"
    seconds = [run.total for run in ours]
    yield compare_times("item k-NN", seconds, [totals[fastest]], MIN_KNN_RATIO, note)
    for name, runs in peers.items():
        yield compare_times(f"item k-NN, {name}", seconds, [totals[name]], None, f"{runs[0]}")


def _run_item_knn(task: RankingTask) -> FitAndLists:
    algorithm = find_algorithm("item_knn").create({"k": K, "similarity": "cosine"}, SEED)
    fit_seconds = time_call(lambda: algorithm.fit(task.matrix))
    start = perf_counter()
    lists = task.recommend(algorithm)
    return FitAndLists(fit_seconds, perf_counter() - start, task.score_lists(lists))


def median_run(runs: Sequence[FitAndLists]) -> FitAndLists:
    """Return the run with the median of the total time."""
    return sorted(runs, key=lambda run: run.total)[len(runs) // 2]


# EASE


def measure_ease(*, is_quick: bool) -> Iterator[ResultRow]:
    """Measure the fit of EASE; RecTools' class is the formula in NumPy."""
    task, n_repeats = load_task("ml-1m"), count_repeats(is_quick=is_quick)
    for warm_up in (_fit_ease, fit_numpy_ease):
        warm_up(make_toy_task(task))
    ours, formula = [], []
    for _ in range(n_repeats):
        ours.append(time_call(lambda: _fit_ease(task)))
        formula.append(time_call(lambda: fit_numpy_ease(task)))
    peers = {"NumPy formula": formula}
    if find_lenskit_problem() is None:
        peers["LensKit"] = [fit_lenskit(task, "EASE", n_repeats, regularization=EASE_REG)]
    fastest = min(peers, key=lambda name: median(peers[name]))
    note = f"{_format_range(ours)}; float32, fixed order of sums; peer: {fastest}"
    yield compare_times("EASE", ours, peers[fastest], MIN_EASE_RATIO, note)
    for name, seconds in peers.items():
        yield compare_times(f"EASE, {name}", ours, seconds, None, _format_range(seconds))


def _fit_ease(task: RankingTask) -> Algorithm:
    algorithm = EASE(reg=EASE_REG)
    algorithm.fit(task.matrix)
    return algorithm


def fit_numpy_ease(task: RankingTask) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the weights by the plain formula in float32, as RecTools computes them; it uses all threads."""
    gram = (task.liked.T @ task.liked).toarray()
    gram[np.diag_indices_from(gram)] += np.float32(EASE_REG)
    inverse = np.linalg.inv(gram)
    weights = np.asarray(inverse / -np.diag(inverse), dtype=np.float32)
    np.fill_diagonal(weights, 0)
    return weights


# Rows


def compare_times(
    row: str, ours: Sequence[float], peer: Sequence[float], target: float | None, note: str
) -> ResultRow:
    """Return a row with the medians of two series of times in seconds."""
    our_median, peer_median = median(ours), median(peer)
    ratio = peer_median / our_median
    mark = "" if target is None else f"target {target:g}x {format_check_mark(ratio >= target)}; "
    return ResultRow(row, our_median, "s", len(ours), f"{mark}{note}", peer=peer_median, ratio=ratio)


def _format_range(seconds: Sequence[float]) -> str:
    return f"{min(seconds):.2f} to {max(seconds):.2f} s"
