"""A small shop: a model of a few users and items with which every answer of a replica can be read off."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from starlette.testclient import TestClient

from marquee.model.factor_space import FactorSpace
from marquee.model.fitted_model import write_model
from service.api.asgi import Site
from service.replica import Replica
from service.settings import Settings
from tests.support.models import small_arrays
from tests.support.openapi_checks import DESCRIPTION

ITEMS = ["i0", "i1", "i2", "i3", "i4", "i5"]
TITLES = ["Alien", "Amélie", "七人の侍", "Da 5 Bloods", '"Q", & A', "Ёлки"]
GENRES = ["Horror", "Comedy", "Drama", "Drama|War", "Comedy", "Comedy"]
# Most rated first: i4, i0, i1, i2, i3, i5.
POPULAR = [4, 0, 1, 2, 3, 5]
USERS: dict[str, tuple[list[int], list[int]]] = {
    "ann": ([0, 4], [3, 2]),  # (rated in training, stored list)
    "bob": ([0, 1, 2, 4], [5]),  # has a list that is shorter than the table is wide
    "zoë/3": ([0, 1, 2, 3, 4, 5], []),  # rated everything
    "eve": ([4], []),  # has no list, though most is unseen
}
PROVENANCE = {"name": "marquee", "version": 7, "run_id": "0f0f", "git_commit": None}


def space() -> FactorSpace:
    """Scores fall from i0 to i5 for everybody known; what a newcomer likes moves along one factor.

    The factor tells comedies (1) from all others (-1).
    """
    liked = np.array([[1.0] if "Comedy" in genre else [-1.0] for genre in GENRES])
    biases = np.array([0.5, 0.4, 0.3, 0.2, 0.1, 0.0])
    spread = np.array([[0.0], [0.0], [1.0], [-1.0]])
    return FactorSpace.of((liked, biases), (spread, np.zeros(4)), offset=3.5, noise=0.5)


def write_shop(folder: Path, *, factors: bool = False, version: int | None = None) -> Path:
    """The model's folder; with a version, stamped as packaging does."""
    arrays = small_arrays(
        USERS,
        ITEMS,
        titles=TITLES,
        genres=GENRES,
        similar={0: [2, 3]},
        factors=space() if factors else None,
    )
    write_model(folder, arrays, DESCRIPTION)
    if version is not None:
        (folder / "provenance.json").write_text(json.dumps({**PROVENANCE, "version": version}))
    return folder


def settings_of(folder: Path, **told: Any) -> Settings:
    """Settings of a replica over this model, its events beside it."""
    variables = {"MARQUEE_MODEL": folder, "MARQUEE_EVENTS": folder.parent / "events", "MARQUEE_REPLICA": "r"}
    variables |= {f"MARQUEE_{name.upper()}": value for name, value in told.items()}
    return Settings.from_environment({name: str(value) for name, value in variables.items()})


@contextmanager
def open_shop(settings: Settings) -> Iterator[tuple[Replica, TestClient]]:
    """A replica that was started, and a client of its site."""
    replica = Replica(settings)
    replica.start()
    try:
        yield replica, TestClient(Site(replica), raise_server_exceptions=False)
    finally:
        replica.close()
