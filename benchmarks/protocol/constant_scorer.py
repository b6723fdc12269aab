"""A scorer that gives every item the same score: with fair ties, its lists are as good as random ones."""

import numpy as np

from benchmarks.protocol.choice_loss import N_SEEDS, load_cuts
from benchmarks.protocol.recipes import LIKED
from benchmarks.protocol.user_values import LIST_LENGTH
from benchmarks.result_rows import ResultRow, format_check_mark
from marquee.algorithms.top_n_retrieval import recommend_from_scorer
from marquee.array_types import Float64Array
from marquee.interactions.matrix import InteractionMatrix
from marquee.logarithms import log2
from marquee.metrics.ranking import RelevantItems, find_hits, ndcg

MAX_GAP = 0.005


def measure_constant_scorer(share: float) -> ResultRow:
    """Measure the NDCG@10 of a constant scorer on the test parts, compared with that of random lists."""
    n_seeds = max(1, round(N_SEEDS * share))
    values = np.array([_compare_with_random(seed) for seed in range(n_seeds)])
    gap = float(np.abs(values[:, 0] - values[:, 1]).max())
    note = f"target a gap of {MAX_GAP} {format_check_mark(gap <= MAX_GAP)}; highest gap of a seed {gap:.4f}"
    constant, random = values.mean(axis=0).tolist()
    return ResultRow("constant scorer", constant, "NDCG@10", n_seeds, note, peer=random)


def expected_ndcg_of_random_lists(matrix: InteractionMatrix, relevant: RelevantItems, n: int) -> Float64Array:
    """Return the expected NDCG of a random list of unseen items, for each user with a relevant item.

    Each position holds a relevant item with the probability r / m: r relevant items of m unseen ones. So the
    expected gain is r / m times that of a list full of hits.
    """
    users = np.flatnonzero(relevant.counts)
    owners = np.repeat(np.arange(matrix.n_users), relevant.counts)
    n_reachable = np.bincount(owners[relevant.items >= 0], minlength=matrix.n_users)[users]
    n_unseen = matrix.n_items - matrix.by_user.counts[users]
    gains = np.cumsum(1 / log2(np.arange(2, n + 2)))
    n_listed = np.minimum(n, n_unseen)
    ideal = gains[np.minimum(n, relevant.counts[users]) - 1]
    return np.asarray(n_reachable / n_unseen * gains[n_listed - 1] / ideal)


def _compare_with_random(seed: int) -> tuple[float, float]:
    """Return the NDCG of the constant scorer and of random lists on the test part of a seed."""
    matrix, pairs = load_cuts(seed).test.encode()
    liked = pairs.actual >= LIKED
    relevant = RelevantItems.from_pairs(pairs.users[liked], pairs.items[liked], matrix.n_users)
    lists, _ = recommend_from_scorer(
        lambda users: np.zeros((len(users), matrix.n_items)),
        matrix.indptr, matrix.items, matrix.n_items, LIST_LENGTH,
    )  # fmt: skip
    constant = ndcg(find_hits(lists, relevant), LIST_LENGTH).mean()
    return float(constant), float(expected_ndcg_of_random_lists(matrix, relevant, LIST_LENGTH).mean())
