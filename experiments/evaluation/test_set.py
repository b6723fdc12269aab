"""Candidates side by side on one test part: errors, and lists where somebody has a hit to find."""

from dataclasses import asdict, dataclass, field
from typing import Any

from experiments.evaluation.candidate_metrics import Figures
from experiments.evaluation.cross_validation import Part
from experiments.evaluation.model_evaluation import Rule, has_hits, judge_model
from marquee.algorithms.base import Algorithm
from marquee.algorithms.registry import Parameters, candidate
from marquee.algorithms.scoring import predict_pairs
from marquee.algorithms.trainset import Trainset
from marquee.metrics.prediction import mae, rmse

OF_LISTS = ("ndcg", "recall", "coverage")


@dataclass(frozen=True)
class TestScore:
    """How one fitted model does on the test part; errors in stars."""

    __test__ = False  # no pytest class, whatever its name

    algorithm: str
    rmse: float
    mae: float
    impossible: float  # share of predictions that fell back to the global mean
    lists: Figures = field(default_factory=dict)  # empty where no held-out rating is a hit

    @property
    def title(self) -> str:
        """The algorithm's usual name."""
        return candidate(self.algorithm).title

    def record(self) -> dict[str, Any]:
        """As it is written to a file, flat."""
        told = asdict(self)
        lists: Figures = told.pop("lists")
        return {**told, **lists}


@dataclass(frozen=True)
class Examination:
    """What all are trained on, what they are tested on, and how lists are judged."""

    trainset: Trainset
    part: Part
    rule: Rule

    def score(self, algorithm: Algorithm, name: str) -> TestScore:
        """Score a model that is fitted already.

        Raises:
            DivergedError: a prediction is not a finite number.
        """
        if has_hits(self.part, self.rule):
            figures = judge_model(algorithm, self.part, self.rule).figures
            lists = {metric: figures[metric] for metric in OF_LISTS if metric in figures}
            return TestScore(name, figures["rmse"], figures["mae"], figures["impossible"], lists)
        predictions = predict_pairs(algorithm, self.part[1])
        return TestScore(
            name,
            rmse(predictions.actual, predictions.estimated),
            mae(predictions.actual, predictions.estimated),
            float(predictions.impossible.mean()),
        )

    def fit_and_score(self, name: str, parameters: Parameters, seed: int) -> TestScore:
        """Fit a candidate on the training part and score it.

        Raises:
            DivergedError: a parameter or a prediction is not finite.
        """
        algorithm = candidate(name).make(parameters, seed)
        algorithm.fit(self.trainset)
        return self.score(algorithm, name)
