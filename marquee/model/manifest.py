"""Manifest of a fitted model: recipes, training data, scorers, and a SHA-256 digest of each file."""

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from marquee.array_types import RatingScale
from marquee.errors import ModelError
from marquee.files.digest import sha256_of
from marquee.model.feedback_weights import FeedbackWeights
from marquee.model.manifest_checks import find_manifest_problems
from marquee.model.recipe import Recipe
from marquee.rating_scale import find_liked_rating
from marquee.top_n import MAX_PERSONAL_AGREEMENT

SCHEMA_VERSION = 5
MANIFEST_NAME = "manifest.json"
HASHING_THREADS = 4

ScoreUnit: TypeAlias = Literal["stars", "relative"]


@dataclass(frozen=True)
class Manifest:
    """Description of a fitted model. It depends only on data, code and parameters, so it is reproducible.

    Attributes:
        recommender: recipe of the recommended lists.
        predictor: recipe of the predicted ratings; None for implicit feedback.
        feedback: kind of the training data.
        scale: lowest and highest possible rating; None for implicit feedback.
        global_mean: mean of the training ratings, in stars; None for implicit feedback.
        score_unit: unit of the scores of recommended items: stars (predicted ratings), or relative (only the
            order of one user's scores has a meaning).
        list_agreement: `marquee.metrics.list_agreement` of the stored lists, 1 if everybody gets the same;
            None if no two lists can be compared.
        repeats_allowed: True if items that a user has interacted with may be recommended.
        metrics: scores of the recipes on the test set.
        metrics_note: what these scores were measured on.
        data_source: name of the data source.
        data_digest: source digest.
        counts: numbers of users, items, interactions, and items per stored list.
        libraries: versions by name.
        scorers: kind and constants of the stored scorers: `recommender` and `predictor`.
        files: SHA-256 by file name.
        feedback_weights: weight of each kind of feedback, as in training; None for explicit feedback.
        trained_until: latest timestamp of the training data, in UTC seconds; None if it has no timestamps.
        schema_version: version of this format.
    """

    recommender: Recipe
    predictor: Recipe | None
    feedback: Literal["explicit", "implicit"]
    scale: RatingScale | None
    global_mean: float | None
    score_unit: ScoreUnit
    list_agreement: float | None
    repeats_allowed: bool
    metrics: Mapping[str, float]
    metrics_note: str
    data_source: str
    data_digest: str
    counts: Mapping[str, int]
    libraries: Mapping[str, str]
    files: Mapping[str, str]
    scorers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    feedback_weights: FeedbackWeights | None = None
    trained_until: float | None = None
    schema_version: int = SCHEMA_VERSION

    @property
    def digest(self) -> str:
        """Digest of the whole model, since the manifest contains the digest of each file."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @property
    def is_personal(self) -> bool:
        """False if the recommender gives nearly the same list to everybody, as Popularity does."""
        return self.list_agreement is None or self.list_agreement <= MAX_PERSONAL_AGREEMENT

    @property
    def liked_from(self) -> float:
        """Lowest rating that counts as liking, or the lowest weight above 0."""
        if self.scale is None:
            return float(np.nextafter(0.0, 1.0))
        return find_liked_rating(self.scale)

    @property
    def has_shared_recipe(self) -> bool:
        """True if the recommender also predicts the ratings."""
        return self.predictor == self.recommender

    def describe_missing_predictor(self) -> str:
        """Return why there is no predictor, as a clause."""
        if self.feedback == "implicit":
            return "it was trained on implicit feedback, so there are no ratings to predict"
        return "no candidate of its search predicts ratings"

    def to_json(self) -> str:
        """Return the canonical JSON text: equal manifests have equal texts."""
        return json.dumps(asdict(self), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a model folder.

    Raises:
        ModelError: the manifest is missing, invalid, or has an unsupported schema version.
    """
    path = folder / MANIFEST_NAME
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{folder} is not a fitted model: it has no {MANIFEST_NAME}") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); export the model again") from None
    version = tree.get("schema_version") if isinstance(tree, dict) else None
    if version != SCHEMA_VERSION:
        raise ModelError(
            f"{path} has schema version {version}, expected {SCHEMA_VERSION}; export the model again"
        )
    names = {attribute.name for attribute in fields(Manifest)}
    for problem in find_manifest_problems(tree, names):
        raise ModelError(f"{path} {problem}; export the model again")
    predictor, scale, weights = tree["predictor"], tree["scale"], tree["feedback_weights"]
    parsed = {
        "recommender": Recipe(**tree["recommender"]),
        "predictor": None if predictor is None else Recipe(**predictor),
        "scale": None if scale is None else (scale[0], scale[1]),
        "feedback_weights": None if weights is None else FeedbackWeights(**weights),
    }
    return Manifest(**(tree | parsed))


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Check the digests of all files in a model folder.

    Raises:
        ModelError: a file is missing, damaged or not in the manifest; the message names it.
    """
    present = {path.name for path in folder.iterdir() if path.suffix == ".npy"}
    names = sorted(present & set(manifest.files))
    with ThreadPoolExecutor(HASHING_THREADS) as pool:  # hashlib releases the GIL
        digests = dict(zip(names, pool.map(sha256_of, (folder / name for name in names)), strict=True))
    for name in sorted(present | set(manifest.files)):
        if name not in present:
            raise ModelError(f"{folder / name} is missing; copy the model again")
        if name not in manifest.files:
            raise ModelError(f"{folder / name} is not in the manifest; copy the model again")
        if digests[name] != manifest.files[name]:
            raise ModelError(f"{folder / name} is damaged: wrong SHA-256 digest; copy the model again")
