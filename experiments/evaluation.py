"""Candidates side by side on one test part."""

from dataclasses import asdict, dataclass

from marquee.algorithms.algorithm import Algorithm
from marquee.algorithms.catalogue import Parameters, candidate
from marquee.algorithms.scoring import Pairs, predict_pairs
from marquee.algorithms.trainset import Trainset
from marquee.metrics import mae, rmse


@dataclass(frozen=True)
class TestScore:
    """Errors of one fitted model on the test part, in stars."""

    __test__ = False  # no pytest class, whatever its name

    algorithm: str
    rmse: float
    mae: float
    impossible: float  # share of predictions that fell back to the global mean

    @property
    def title(self) -> str:
        """The algorithm's usual name."""
        return candidate(self.algorithm).title

    def record(self) -> dict[str, object]:
        """As it is written to a file."""
        return asdict(self)


def score_fitted(algorithm: Algorithm, name: str, pairs: Pairs) -> TestScore:
    """Score a model that is fitted already.

    Raises:
        DivergedError: a prediction is not a finite number.
    """
    predictions = predict_pairs(algorithm, pairs)
    return TestScore(
        name,
        rmse(predictions.actual, predictions.estimated),
        mae(predictions.actual, predictions.estimated),
        float(predictions.impossible.mean()),
    )


def score_candidate(
    name: str, parameters: Parameters, seed: int, trainset: Trainset, pairs: Pairs
) -> TestScore:
    """Fit a candidate on the training part and score it.

    Raises:
        DivergedError: a parameter or a prediction is not finite.
    """
    algorithm = candidate(name).make(parameters, seed)
    algorithm.fit(trainset)
    return score_fitted(algorithm, name, pairs)
