"""Scores of fitted models on the test set, which is held out before the search."""

from dataclasses import asdict, dataclass, field
from typing import Any

from experiments.evaluation.candidate_record import MetricValues
from experiments.evaluation.cross_validation import FoldData
from experiments.evaluation.model_evaluation import evaluate_model, has_relevant_items
from experiments.evaluation.protocol import EvaluationProtocol
from marquee.algorithms.base import Algorithm
from marquee.algorithms.registry import Parameters, find_algorithm
from marquee.algorithms.scoring import predict_pairs
from marquee.algorithms.trainset import Trainset
from marquee.metrics.prediction import mae, rmse

LIST_METRICS = ("ndcg", "recall", "coverage")


@dataclass(frozen=True)
class TestScore:
    """Scores of one fitted model on the test set; errors in stars."""

    __test__ = False  # not a pytest class, despite its name

    algorithm: str
    rmse: float
    mae: float
    impossible: float  # share of predictions that fell back to the global mean
    lists: MetricValues = field(default_factory=dict)  # empty if no held-out item is relevant

    @property
    def algorithm_title(self) -> str:
        """Display name of the algorithm."""
        return find_algorithm(self.algorithm).title

    def to_record(self) -> dict[str, Any]:
        """Return the scores as flat JSON values."""
        record = asdict(self)
        lists: MetricValues = record.pop("lists")
        return {**record, **lists}


@dataclass(frozen=True)
class TestSet:
    """Test set, the training set that all candidates are fitted to, and the evaluation protocol."""

    __test__ = False  # not a pytest class, despite its name

    trainset: Trainset
    data: FoldData
    protocol: EvaluationProtocol

    def score(self, algorithm: Algorithm, name: str) -> TestScore:
        """Score a fitted model.

        Raises:
            DivergedError: a prediction is not a finite number.
        """
        if has_relevant_items(self.data, self.protocol):
            metrics = evaluate_model(algorithm, self.data, self.protocol).metrics
            lists = {metric: metrics[metric] for metric in LIST_METRICS if metric in metrics}
            return TestScore(name, metrics["rmse"], metrics["mae"], metrics["impossible"], lists)
        predictions = predict_pairs(algorithm, self.data.test)
        return TestScore(
            name,
            rmse(predictions.actual, predictions.estimated),
            mae(predictions.actual, predictions.estimated),
            float(predictions.impossible.mean()),
        )

    def fit_and_score(self, name: str, parameters: Parameters, seed: int) -> TestScore:
        """Fit a candidate on the training set and score it.

        Raises:
            DivergedError: a parameter or a prediction is not finite.
        """
        algorithm = find_algorithm(name).create(parameters, seed)
        algorithm.fit(self.trainset)
        return self.score(algorithm, name)
