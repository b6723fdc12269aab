"""Quality and speed of every ranker of the registry, beside the models of implicit that have a twin.

Some models that predict ratings are measured, too: their lists are worse than the most popular items.

The parameters of a ranker are those of its best trial in the search on validation parts, or the defaults of
algorithms that are no candidates. It is fitted on the training interactions of the task.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking
from threadpoolctl import threadpool_limits

from benchmarks.ranking.pipeline_choice import choose_recipe
from benchmarks.ranking.task import RankingTask, make_toy_task
from benchmarks.ratings import SEED
from benchmarks.result_rows import ResultRow
from marquee.algorithms.registry import BLEND, REGISTRY, find_algorithm
from marquee.algorithms.threads import thread_count
from marquee.array_types import Int32Array
from marquee.interactions.columns import FeedbackType
from marquee.metrics.beyond_accuracy import coverage
from marquee.metrics.ranking import find_hits, recall
from marquee.model.recipe import Recipe

LIST_LENGTH = 20
RATING_MODELS = ("bayesian_mf", "svdpp", "svd", "nmf", "knn_baseline", "slope_one")
DATA: tuple[tuple[str, FeedbackType], ...] = (
    ("ml-1m", "explicit"), ("ml-1m", "implicit"), ("ml-100k", "explicit")
)  # fmt: skip
# Models of implicit with the default parameters of their twins. Its alpha is the confidence in a positive;
# ours is the excess of that confidence over 1.
TWINS: Mapping[str, Callable[[], Any]] = {
    "implicit_als": lambda: AlternatingLeastSquares(
        64, 0.01, alpha=2.0, iterations=15, num_threads=thread_count(), random_state=SEED
    ),
    "implicit_bpr": lambda: BayesianPersonalizedRanking(64, iterations=30, num_threads=1, random_state=SEED),
}


@dataclass(frozen=True)
class RankerMeasurement:
    """Quality of the lists, and seconds of fit and lists."""

    ndcg: float
    recall: float
    coverage: float
    fit_seconds: float
    list_seconds: float


COLUMNS: Mapping[str, tuple[str, str]] = {  # attribute: name in rows, unit
    "ndcg": ("NDCG@10", "1"),
    "recall": ("recall@20", "1"),
    "coverage": ("coverage@20", "1"),
    "fit_seconds": ("fit", "s"),
    "list_seconds": ("top 20 of all", "s"),
}


def measure_algorithms(*, is_quick: bool) -> Iterator[ResultRow]:
    """Measure rankers and some rating models on MovieLens 1M and 100K; quick: rankers on 100K."""
    for data, feedback in DATA[-1:] if is_quick else DATA:
        choice = choose_recipe(data, feedback, is_quick=is_quick)
        has_ratings = feedback == "explicit" and not is_quick
        for name in (*list_rankers(), *(RATING_MODELS if has_ratings else ())):
            trial = choice.best_trials.get(name)
            if trial is None and name == BLEND:
                continue  # its members are known only after a search
            recipe = Recipe(name, {} if trial is None else trial.parameters, SEED)
            if name in TWINS:
                recipe = Recipe(name, {}, SEED)
            yield from _compare(f"{data} {feedback}", recipe, choice.task)


def list_rankers() -> list[str]:
    """Return the rankers of the registry."""
    return [name for name, entry in REGISTRY.items() if entry.algorithm_class.is_ranker]


def _compare(data: str, recipe: Recipe, task: RankingTask) -> Iterator[ResultRow]:
    ours = measure_ranker(recipe, task)
    peer = _measure_twin(TWINS[recipe.algorithm], task) if recipe.algorithm in TWINS else None
    entry, n = find_algorithm(recipe.algorithm), len(task.train)
    parameters = ", ".join(f"{name}={value}" for name, value in recipe.parameters.items())
    for attribute, (column, unit) in COLUMNS.items():
        value = getattr(ours, attribute)
        other = None if peer is None else getattr(peer, attribute)
        ratio = None if other is None else other / value if unit == "s" else value / other
        title = f"{data}, {entry.title}: {column}"
        yield ResultRow(title, value, unit, n, parameters or "defaults", peer=other, ratio=ratio)


def measure_ranker(recipe: Recipe, task: RankingTask) -> RankerMeasurement:
    """Fit a recipe to a task, and measure it; compilation is not measured."""
    entry = find_algorithm(recipe.algorithm)
    toy = make_toy_task(task)
    toy_ranker = entry.create(recipe.parameters, recipe.seed)
    toy_ranker.fit(toy.matrix)
    toy.recommend(toy_ranker)
    algorithm, start = entry.create(recipe.parameters, recipe.seed), perf_counter()
    algorithm.fit(task.matrix)
    fitted = perf_counter()
    lists = task.recommend(algorithm, LIST_LENGTH)
    return _summarize(lists, task, fitted - start, perf_counter() - fitted)


def _measure_twin(create: Callable[[], Any], task: RankingTask) -> RankerMeasurement:
    with threadpool_limits(1, "blas"):  # as implicit recommends
        model, start = create(), perf_counter()
        model.fit(task.liked, show_progress=False)
        fitted = perf_counter()
        lists, _ = model.recommend(task.users, task.seen, N=LIST_LENGTH)
    return _summarize(lists.astype(np.int32), task, fitted - start, perf_counter() - fitted)


def _summarize(
    lists: Int32Array, task: RankingTask, fit_seconds: float, list_seconds: float
) -> RankerMeasurement:
    hits = find_hits(lists, task.relevant)
    return RankerMeasurement(
        task.score_lists(lists),
        float(recall(hits, LIST_LENGTH).mean()),
        coverage(lists, task.matrix.n_items, LIST_LENGTH),
        fit_seconds,
        list_seconds,
    )
