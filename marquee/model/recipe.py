"""Recipe of a model: what was trained, independent of the data that it was trained on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """Algorithm, parameters and seed; together with the training data, they determine the trained model."""

    algorithm: str  # name in the algorithm registry
    parameters: Mapping[str, Any]
    seed: int
