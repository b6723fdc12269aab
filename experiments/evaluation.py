"""Candidates side by side on one test part."""

from dataclasses import asdict, dataclass

from marquee.algorithms.catalogue import Algorithm, Parameters, candidate
from marquee.algorithms.scoring import predict_pairs
from marquee.algorithms.state import refuse_diverged
from marquee.algorithms.trainset import Testset, Trainset
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


def score_fitted(algorithm: Algorithm, name: str, testset: Testset) -> TestScore:
    """Score a model that is fitted already."""
    pairs = predict_pairs(algorithm, testset)
    return TestScore(
        name,
        rmse(pairs.actual, pairs.estimated),
        mae(pairs.actual, pairs.estimated),
        float(pairs.impossible.mean()),
    )


def score_candidate(
    name: str, parameters: Parameters, seed: int, trainset: Trainset, testset: Testset
) -> TestScore:
    """Fit a candidate on the training part and score it.

    Raises:
        Diverged: its parameters are not finite.
    """
    algorithm = candidate(name).make(parameters, seed)
    algorithm.fit(trainset)
    refuse_diverged(algorithm)
    return score_fitted(algorithm, name, testset)
