"""A scorer that gives every item the same score: with fair ties, its lists are as good as random ones.

If ties were broken by anything that is correlated with popularity, such as the order of first appearance,
its lists would be better.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.protocol.choice_loss import N_SEEDS, load_cuts
from benchmarks.protocol.recipes import LIKED
from benchmarks.protocol.user_values import LIST_LENGTH
from benchmarks.result_rows import ResultRow, format_check_mark
from experiments.evaluation.list_evaluation import ListEvaluator
from experiments.evaluation.parts import Part
from experiments.evaluation.protocol import EvaluationProtocol
from marquee.algorithms.base import UNKNOWN, Algorithm
from marquee.array_types import Float64Array
from marquee.interactions.matrix import InteractionMatrix
from marquee.logarithms import log2
from marquee.metrics.ranking import RelevantItems

MAX_GAP = 0.005


@dataclass(frozen=True)
class ConstantScorerNdcg:
    """NDCG of a constant scorer, and that of random lists on the same part."""

    constant: float
    random: float  # expected value

    @property
    def gap(self) -> float:
        """By how much the constant scorer is better."""
        return self.constant - self.random


class ConstantScorer(Algorithm):
    """Gives every item the same score."""

    def score_all_items(self, users: npt.ArrayLike) -> Float64Array:
        """Return zeros, (len(users), n_items)."""
        return np.zeros((np.size(users), self.trainset.n_items))

    def _fit(self, matrix: InteractionMatrix) -> None:
        pass


def measure_constant_scorer(share: float) -> ResultRow:
    """Measure the NDCG@10 of a constant scorer on the test parts, compared with that of random lists."""
    n_seeds = max(1, round(N_SEEDS * share))
    protocol = EvaluationProtocol(LIST_LENGTH, LIKED)
    values = [
        compare_with_random_lists(load_cuts(seed).test.make_part(), protocol) for seed in range(n_seeds)
    ]
    gap = max(abs(value.gap) for value in values)
    note = f"target a gap of {MAX_GAP} {format_check_mark(gap <= MAX_GAP)}; highest gap of a seed {gap:.4f}"
    constant, random = (
        float(np.mean([getattr(value, kind) for value in values])) for kind in ("constant", "random")
    )
    return ResultRow("constant scorer", constant, "NDCG@10", n_seeds, note, peer=random)


def compare_with_random_lists(part: Part, protocol: EvaluationProtocol) -> ConstantScorerNdcg:
    """Evaluate the lists of a constant scorer as those of any model, and compare them with random lists."""
    scores = ListEvaluator(part, protocol).evaluate(ConstantScorer().fit(part.train))
    pairs = part.held_out
    is_relevant = protocol.is_relevant(pairs.actual) & (pairs.users != UNKNOWN)
    relevant = RelevantItems.from_pairs(
        pairs.users[is_relevant], pairs.items[is_relevant], part.train.n_users
    )
    random = expected_ndcg_of_random_lists(part.train, relevant, protocol.n)
    return ConstantScorerNdcg(scores.metrics["ndcg"], float(random.mean()))


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
