"""Metrics by user of recipes on cuts of the ratings, computed once and kept in a folder.

    ratings ─ cut ─► training ratings ─► fitted recipe ─► lists ─────────────────► NDCG@10 by user
                     held-out ratings ──────────────────► order of rated items ─► NDCG@10 by user

The simulations read the same values many times. They are kept in `marquee-protocol` in the folder for
temporary files, by cut, recipe and a digest of the code that computes them.
"""

import hashlib
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.protocol.recipes import LIKED, Recipe
from benchmarks.ratings import RATING_SCALE, SEED
from experiments.evaluation.parts import Part
from experiments.evaluation.user_intervals import UserValues
from experiments.import_closure import matching_files
from marquee.algorithms.base import Algorithm
from marquee.algorithms.scoring import UserItemPairs, encode_pairs
from marquee.algorithms.threads import limit_threads
from marquee.algorithms.top_n_retrieval import recommend_from_algorithm
from marquee.array_types import Float32Array, Float64Array, Int64Array
from marquee.files.digest import sha256_of
from marquee.interactions.columns import USER
from marquee.interactions.matrix import InteractionMatrix
from marquee.interactions.splitting import shuffle_rows, split_for_cross_validation
from marquee.metrics.ranking import RelevantItems, find_hits, ndcg
from marquee.metrics.rated_items import rated_ndcg
from marquee.seeds import seed_for

Metric = Literal["ndcg", "rated_ndcg"]  # of lists of the full catalog; over rated held-out items only

METRICS: tuple[Metric, ...] = ("ndcg", "rated_ndcg")  # rows of the stored values
LIST_LENGTH = 10
PART_SHARE, N_PARTS, N_FOLDS = 0.1, 3, 3
N_PROCESSES = 2
ROOT = Path(__file__).parents[2]
CODE = ("marquee/algorithms", "marquee/interactions", "marquee/metrics", "marquee/top_n.py")
CACHE = Path(tempfile.gettempdir()) / "marquee-protocol"


@dataclass(frozen=True)
class Cut:
    """Training and held-out ratings.

    Attributes:
        name: identifies the ratings and the rows of both parts.
        ratings: table from which both are taken; it also numbers the users, by order of first appearance.
        train: rows of the training ratings, in source order.
        held_out: rows of the held-out ratings.
    """

    name: str
    ratings: pd.DataFrame
    train: Int64Array
    held_out: Int64Array

    def encode(self) -> tuple[InteractionMatrix, UserItemPairs]:
        """Return the training matrix and the held-out pairs whose users are in it."""
        matrix = InteractionMatrix.from_frame(self.ratings.iloc[self.train], RATING_SCALE)
        pairs = encode_pairs(self.ratings.iloc[self.held_out], matrix)
        known = pairs.users >= 0
        return matrix, UserItemPairs(pairs.users[known], pairs.items[known], pairs.actual[known])

    def make_part(self) -> Part:
        """Return the cut as a part, in the form in which a search evaluates lists."""
        matrix, pairs = self.encode()
        numbers = np.arange(matrix.n_users, dtype=np.int32)
        return Part(matrix, pairs, numbers)


@dataclass(frozen=True)
class Cuts:
    """Cuts of one data set for one seed.

    Attributes:
        test: the test part.
        parts: validation parts that look like the test part.
        folds: folds of cross-validation, which hold out a third of the other ratings each.
    """

    test: Cut
    parts: tuple[Cut, ...]
    folds: tuple[Cut, ...]


def cut_at_random(name: str, ratings: pd.DataFrame, seed: int, n_parts: int = N_PARTS) -> Cuts:
    """Cut ratings into a test part of 10%, disjoint validation parts of the same size, and the rest.

    The first parts are the same for any number of parts.
    """
    order = shuffle_rows(len(ratings), seed)
    n_part = round(len(ratings) * PART_SHARE)
    chunks = [order[k * n_part : (k + 1) * n_part] for k in range(1 + n_parts)]
    others = np.sort(order[n_part:])  # all rows but those of the test part

    def make_cut(kind: str, held_out: Int64Array) -> Cut:
        train = np.setdiff1d(others, held_out, assume_unique=True)
        return Cut(f"{name}, seed {seed}, {kind}", ratings, train, np.sort(held_out))

    folds = split_for_cross_validation(shuffle_rows(len(others), seed), N_FOLDS)
    return Cuts(
        make_cut("test", chunks[0]),
        tuple(make_cut(f"part {number}", chunk) for number, chunk in enumerate(chunks[1:])),
        tuple(make_cut(f"fold {number}", others[fold.test]) for number, fold in enumerate(folds)),
    )


def prepare_values(cuts: Iterable[Cut], recipes: Sequence[Recipe]) -> None:
    """Compute the values that are not stored yet, in parallel."""
    missing = [pair for pair in product(cuts, recipes) if not _path(*pair).exists()]
    if not missing:
        return
    with ProcessPoolExecutor(N_PROCESSES) as pool:
        list(pool.map(load_values, *zip(*missing, strict=True)))


def collect_values(cuts: Sequence[Cut], recipes: Sequence[Recipe], metric: Metric = "ndcg") -> UserValues:
    """Return a metric of recipes by evaluated user and cut, which is the part of a column.

    Users without a relevant held-out item in a cut have no column for it.
    """
    row = METRICS.index(metric)
    by_cut = [np.stack([load_values(cut, recipe)[row] for recipe in recipes]) for cut in cuts]
    users = [np.flatnonzero(~np.isnan(values[0])) for values in by_cut]
    return UserValues(
        np.concatenate([values[:, known] for values, known in zip(by_cut, users, strict=True)], axis=1),
        np.repeat(np.arange(len(cuts)), [len(known) for known in users]).astype(np.int8),
        np.concatenate(users).astype(np.int32),
    )


def part_means(values: UserValues) -> Float64Array:
    """Return the mean over the users of each model on each part, (n_models, n_parts)."""
    means = [
        values.values[:, values.parts == part].mean(axis=1, dtype=np.float64)
        for part in np.unique(values.parts)
    ]
    return np.column_stack(means)


def draw_users(values: UserValues, rng: np.random.Generator) -> UserValues:
    """Return the values of as many users, drawn with replacement; each draw counts as another user."""
    order = np.argsort(values.users, kind="stable")  # columns by user
    _, starts, counts = np.unique(values.users[order], return_index=True, return_counts=True)
    drawn = rng.integers(0, len(starts), len(starts))
    columns = np.concatenate([order[starts[user] : starts[user] + counts[user]] for user in drawn])
    numbers = np.repeat(np.arange(len(drawn), dtype=np.int32), counts[drawn])
    return UserValues(values.values[:, columns], values.parts[columns], numbers)


def load_values(cut: Cut, recipe: Recipe) -> Float32Array:
    """Return the metrics of a recipe for all users of a cut, (len(METRICS), n_users).

    NaN for users without a relevant held-out item. Values that are not stored are computed and stored.
    """
    path = _path(cut, recipe)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft.npy")
        with limit_threads(1), threadpool_limits(1):
            np.save(draft, _evaluate_recipe(cut, recipe))
        draft.replace(path)
    values: Float32Array = np.load(path)
    return values


def evaluate_algorithm(algorithm: Algorithm, matrix: InteractionMatrix, pairs: UserItemPairs) -> Float32Array:
    """Return the metrics of a fitted algorithm for each user of the matrix, (len(METRICS), n_users)."""
    is_relevant = pairs.actual >= LIKED
    lists, _ = recommend_from_algorithm(algorithm, matrix.indptr, matrix.items, LIST_LENGTH)
    relevant = RelevantItems.from_pairs(pairs.users[is_relevant], pairs.items[is_relevant], matrix.n_users)
    hits = find_hits(lists, relevant)
    values = np.full((len(METRICS), matrix.n_users), np.nan, dtype=np.float32)
    values[0, hits.users] = ndcg(hits, LIST_LENGTH)
    scores = algorithm.score_pairs(pairs.users, pairs.items)
    users, rated = rated_ndcg(pairs.users, scores, is_relevant, LIST_LENGTH)
    values[1, users] = rated
    return values


def _evaluate_recipe(cut: Cut, recipe: Recipe) -> Float32Array:
    matrix, pairs = cut.encode()
    algorithm = recipe.create(seed_for(SEED, cut.name, recipe.algorithm)).fit(matrix)
    users = pd.Index(cut.ratings[USER].unique())
    values = np.full((len(METRICS), len(users)), np.nan, dtype=np.float32)
    values[:, users.get_indexer(pd.Index(matrix.user_ids))] = evaluate_algorithm(algorithm, matrix, pairs)
    return values


def _path(cut: Cut, recipe: Recipe) -> Path:
    name = hashlib.sha256(f"{cut.name}: {recipe.key}".encode()).hexdigest()
    return CACHE / _code_digest() / f"{name}.npy"


@cache
def _code_digest() -> str:
    """Return a digest of the code that the values depend on."""
    digests = "".join(sha256_of(ROOT / file) for file in sorted(matching_files(ROOT, CODE)))
    return hashlib.sha256(digests.encode()).hexdigest()[:16]
