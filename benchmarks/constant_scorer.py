"""Lists of a model that knows nothing: a constant score for every item, compared with random scores.

If ties are broken by anything that is correlated with popularity, such as the order of first appearance, a
constant scorer has better lists than a random one.
"""

from dataclasses import dataclass
from statistics import fmean

import numpy as np
import numpy.typing as npt

from experiments.evaluation.list_evaluation import ListEvaluator
from experiments.evaluation.parts import Part
from experiments.evaluation.protocol import EvaluationProtocol
from marquee.algorithms.base import Algorithm
from marquee.array_types import Float64Array
from marquee.interactions.matrix import InteractionMatrix


@dataclass(frozen=True)
class ConstantScorerNdcg:
    """NDCG of a constant scorer and of random scorers on the same part."""

    constant: float
    random: float  # mean over the random scorers

    @property
    def difference(self) -> float:
        """By how much the constant scorer is better."""
        return self.constant - self.random


class ConstantScorer(Algorithm):
    """Gives every item the same score."""

    def score_all_items(self, users: npt.ArrayLike) -> Float64Array:
        """Return zeros, (len(users), n_items)."""
        return np.zeros((np.size(users), self.trainset.n_items))

    def _fit(self, matrix: InteractionMatrix) -> None:
        pass


class RandomScorer(ConstantScorer):
    """Gives every pair of user and item a random score.

    Args:
        seed: seed of the scores.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed

    def score_all_items(self, users: npt.ArrayLike) -> Float64Array:
        """Return a random score for each item, (len(users), n_items); that of a pair is always the same."""
        n_items = self.trainset.n_items
        return np.array(
            [np.random.default_rng([self._seed, user]).random(n_items) for user in np.ravel(users)]
        )


def measure_constant_scorer(
    part: Part, protocol: EvaluationProtocol, *, n_random: int = 5
) -> ConstantScorerNdcg:
    """Evaluate the lists of a constant scorer and of `n_random` random scorers."""
    evaluator = ListEvaluator(part, protocol)
    random = [
        evaluator.evaluate(RandomScorer(seed).fit(part.train)).metrics["ndcg"] for seed in range(n_random)
    ]
    constant = evaluator.evaluate(ConstantScorer().fit(part.train)).metrics["ndcg"]
    return ConstantScorerNdcg(constant, fmean(random))
