"""Live lists after new interactions: how similar they are to the lists of a refit.

    all interactions ─┬─ without five of each sampled user ─► model ─► live list with the five ──┐
                      └─────────────────────────────────────► refit ─► stored list ─────────────┴─► overlap

The overlap of a user is the share of items that the two top-10 lists have in common.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.ranking.models import open_ranker
from benchmarks.ranking.pipeline_choice import choose_recipe
from benchmarks.ranking.task import N, RankingTask
from benchmarks.ratings import SEED
from benchmarks.result_rows import ResultRow, format_check_mark
from marquee.algorithms.base import Algorithm
from marquee.algorithms.registry import find_algorithm
from marquee.array_types import BoolArray, Float64Array, Int64Array
from marquee.interactions.columns import ITEM, USER, value_column
from marquee.interactions.matrix import InteractionMatrix
from marquee.model.fitted_model import FittedModel
from marquee.model.recipe import Recipe
from marquee.model.scorers.history import History

N_NEW, MIN_INTERACTIONS = 5, 10
N_SAMPLED, N_QUICK_SAMPLED = 1000, 300
MIN_OVERLAP = 0.85


@dataclass(frozen=True)
class NewInteractions:
    """New interactions of a sample of users.

    Attributes:
        task: the task; its training interactions are those of the refit.
        is_new: True for each row of the training interactions that the first model does not know.
        users: inner ids of the sampled users, in the matrix of the task.
    """

    task: RankingTask
    is_new: BoolArray
    users: Int64Array

    @classmethod
    def draw(cls, task: RankingTask, n_users: int) -> "NewInteractions":
        """Draw users with enough interactions, and random interactions of each."""
        rng = np.random.default_rng(SEED)
        numbers = pd.factorize(task.train[USER])[0]
        eligible = np.flatnonzero(np.bincount(numbers) >= MIN_INTERACTIONS)
        users = rng.choice(eligible, min(n_users, len(eligible)), replace=False)
        order = rng.permutation(len(numbers))
        ranks = np.empty(len(numbers), dtype=np.int64)
        by_user = order[np.argsort(numbers[order], kind="stable")]
        ranks[by_user] = np.arange(len(numbers)) - np.searchsorted(numbers[by_user], numbers[by_user])
        return cls(task, np.isin(numbers, users) & (ranks < N_NEW), users)

    @cached_property
    def known_matrix(self) -> InteractionMatrix:
        """Interactions that the first model is fitted to."""
        return InteractionMatrix.from_frame(self.task.train[~self.is_new])

    def measure_overlaps(self, recipe: Recipe) -> Float64Array:
        """Return the overlap of each sampled user, (n_users,)."""
        with TemporaryDirectory() as folder:
            known = open_ranker(
                Path(folder) / "known", _fit(recipe, self.known_matrix), recipe, self.known_matrix
            )
            refitted = open_ranker(
                Path(folder) / "refitted", _fit(recipe, self.task.matrix), recipe, self.task.matrix
            )
            return np.array([self._overlap(user, known, refitted) for user in self.users.tolist()])

    def _overlap(self, user: int, known: FittedModel, refitted: FittedModel) -> float:
        live = self._live_items(user, known)
        refitted_items = [item for item, _ in refitted.stored_list(user)[:N]]
        return len(live & {refitted.arrays.items[item] for item in refitted_items}) / N

    def _live_items(self, user: int, model: FittedModel) -> set[str]:
        """Return the ids of the items with the highest scores, among those that the user does not know."""
        user_id = self.task.matrix.user_ids[user]
        inner_id = model.inner_user_id(user_id)
        assert inner_id is not None, "the user has other interactions"
        assert model.scorer is not None, "every ranker has a scorer"
        recent = self._recent_history(user_id, model)
        scores = model.scorer.score_user(inner_id, recent).copy()
        scores[[*model.seen_items(inner_id), *recent]] = -np.inf
        return {model.arrays.items[item] for item in np.argsort(-scores, kind="stable")[:N].tolist()}

    def _recent_history(self, user_id: str, model: FittedModel) -> History:
        """Return the new interactions of a user with items that the model knows."""
        rows = self._new_rows.get_group(user_id)
        items, values = rows[ITEM].tolist(), rows[value_column(rows)].tolist()
        is_explicit = self.task.feedback == "explicit"
        inner_ids = map(model.inner_item_id, items)
        return {
            item: value if is_explicit else None
            for item, value in zip(inner_ids, values, strict=True)
            if item is not None
        }

    @cached_property
    def _new_rows(self) -> "pd.api.typing.DataFrameGroupBy[Any, Any]":
        return self.task.train[self.is_new].groupby(USER)


def measure_overlap(*, is_quick: bool) -> Iterator[ResultRow]:
    """Measure the overlap for the pipeline's choice, and for the best trial of each other ranker."""
    choice = choose_recipe("ml-1m", "explicit", is_quick=is_quick)
    new = NewInteractions.draw(choice.task, N_QUICK_SAMPLED if is_quick else N_SAMPLED)
    overlaps = new.measure_overlaps(choice.recipe)
    mean = float(overlaps.mean())
    note = (
        f"target {MIN_OVERLAP} {format_check_mark(mean >= MIN_OVERLAP)}; {choice.winner.label}; lowest tenth "
        f"{np.quantile(overlaps, 0.1):.2f}; peer: equal lists"
    )
    yield ResultRow("overlap with refit", mean, "share", len(overlaps), note, peer=1.0, ratio=mean)
    if is_quick:
        return
    for name, trial in choice.best_trials.items():
        if name != choice.recipe.algorithm and find_algorithm(name).algorithm_class.uses_histories:
            mean = float(new.measure_overlaps(Recipe(name, trial.parameters, SEED)).mean())
            title = f"overlap with refit, {trial.algorithm_title}"
            yield ResultRow(title, mean, "share", len(overlaps), trial.label, peer=1.0, ratio=mean)


def _fit(recipe: Recipe, matrix: InteractionMatrix) -> Algorithm:
    algorithm = find_algorithm(recipe.algorithm).create(recipe.parameters, recipe.seed)
    algorithm.fit(matrix)
    return algorithm
