"""Sample model small enough to derive responses by hand, and a replica that serves it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from starlette.testclient import TestClient

from marquee.model.factor_scoring import FactorSpace
from marquee.model.fitted_model import write_model
from marquee.model.history_weighting import HistoryWeighting
from marquee.model.scorers.item_weights import ItemWeights
from marquee.model.scorers.rating_factors import RatingFactors
from marquee.model.string_table import StringTable
from service.api.serving_application import ServingApplication
from service.replica import Replica
from service.settings import Settings
from tests.support.manifest_fields import MANIFEST_FIELDS
from tests.support.model_builder import build_small_model_arrays

ITEMS = ["i0", "i1", "i2", "i3", "i4", "i5"]
TITLES = ["Alien", "Amélie", "七人の侍", "Da 5 Bloods", '"Q", & A', "Ёлки"]
GENRES = ["Horror", "Comedy", "Drama", "Drama|War", "Comedy", "Comedy"]
ITEMS_BY_POPULARITY = [4, 0, 1, 2, 3, 5]  # most rated first
USERS: dict[str, tuple[list[int], list[int]]] = {
    "ann": ([0, 4], [3, 2]),  # (rated in training, stored list)
    "bob": ([0, 1, 2, 4], [5]),  # stored list shorter than the table is wide
    "zoë/3": ([0, 1, 2, 3, 4, 5], []),  # rated every item
    "eve": ([4], []),  # no stored list, although most items are unseen
}
PROVENANCE = {"name": "marquee", "version": 7, "run_id": "0f0f", "git_commit": None}


def sample_factor_space() -> FactorSpace:
    """Return a space in which ann, bob and eve score i0 highest and i5 lowest; zoë scores comedies highest.

    Its one factor separates comedies (1) from other items (-1); fold-in moves an unknown user along it.
    """
    item_factors = np.array([[1.0] if "Comedy" in genre else [-1.0] for genre in GENRES])
    item_biases = np.array([0.5, 0.4, 0.3, 0.2, 0.1, 0.0])
    user_factors = np.array([[0.0], [0.0], [1.0], [-1.0]])
    return FactorSpace.from_parameters(
        (item_factors, item_biases), (user_factors, np.zeros(4)), offset=3.5, noise=0.5
    )


def sample_item_weights(bound: float | None = 4.0) -> ItemWeights:
    """Return weights of an item-item model: every item supports the next one by 2 and the one before by 1.

    In training, values of at least `bound` count, or all above 0 without a bound; all interactions of `USERS`
    count.
    """
    next_items = [[(item + 1) % 6, (item - 1) % 6] for item in range(6)]
    return ItemWeights(
        np.array(next_items, dtype=np.int32),
        np.array([[2.0, 1.0]] * 6, dtype=np.float32),
        HistoryWeighting("binary", bound),
    )


SCORERS: dict[str, Callable[[], dict[str, Any]]] = {
    "none": dict,
    "factors": lambda: {"recommender": RatingFactors(sample_factor_space())},
    "item weights": lambda: {"recommender": sample_item_weights()},
    "implicit item weights": lambda: {"recommender": sample_item_weights(bound=None)},
    "separate": lambda: {
        "recommender": sample_item_weights(),
        "predictor": RatingFactors(sample_factor_space()),
    },
}


def write_sample_model(
    folder: Path,
    *,
    scorers: str = "none",
    version: int | None = None,
    attributes: StringTable | None = None,
    **fields: Any,
) -> Path:
    """Write the sample model and return its folder.

    Args:
        folder: destination.
        scorers: key of `SCORERS`.
        version: adds the provenance of a packaged model.
        attributes: attributes of the items.
        **fields: fields of the manifest that differ from `MANIFEST_FIELDS`.
    """
    arrays = build_small_model_arrays(
        USERS, ITEMS, titles=TITLES, genres=GENRES, similar={0: [2, 3]}, **SCORERS[scorers]()
    )
    arrays = replace(arrays, attributes=attributes)
    write_model(folder, arrays, {**MANIFEST_FIELDS, **fields})
    if version is not None:
        (folder / "provenance.json").write_text(json.dumps({**PROVENANCE, "version": version}))
    return folder


def replica_settings(folder: Path, **overrides: Any) -> Settings:
    """Return settings of a replica that serves the model in `folder` and writes events beside it."""
    variables = {"MARQUEE_MODEL": folder, "MARQUEE_EVENTS": folder.parent / "events", "MARQUEE_REPLICA": "r"}
    variables |= {f"MARQUEE_{name.upper()}": value for name, value in overrides.items()}
    return Settings.from_environment({name: str(value) for name, value in variables.items()})


class RunningReplica(NamedTuple):
    """Started replica, and a client of its application."""

    replica: Replica
    client: TestClient


@contextmanager
def running_replica(settings: Settings) -> Iterator[RunningReplica]:
    """Run a replica during the `with` block."""
    replica = Replica(settings)
    replica.start()
    try:
        client = TestClient(ServingApplication(replica), raise_server_exceptions=False)
        yield RunningReplica(replica, client)
    finally:
        replica.close()
