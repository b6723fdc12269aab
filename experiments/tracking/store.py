"""Where the MLflow store is, who may write to it, and its errors as ours."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from mlflow.exceptions import MlflowException

from marquee.errors import TrackingError, one_line
from marquee.files.lock import locked

# A server that is not there is said so in seconds; MLflow's own patience is minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")


def project_root() -> Path:
    """The project's folder; the one an experiment was started from, where DVC runs it in a copy."""
    return Path(os.environ.get("DVC_ROOT", Path.cwd())).resolve()


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI where set, else a SQLite file in the project's folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{project_root() / 'mlflow.db'}"


def let_readers_in(database: Path) -> None:
    """Write-ahead logging, once: the UI reads while a search writes."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """MLflow's own errors as one line of ours."""
    try:
        yield
    except MlflowException as error:
        raise TrackingError(f"the tracking store {uri} refused: {one_line(error)}") from error


@contextmanager
def store_lock(uri: str) -> Iterator[None]:
    """One process at a time creates a SQLite store (two at once break it) or registers in it."""
    if not uri.startswith("sqlite:///"):
        yield
        return
    path = Path(uri.removeprefix("sqlite:///") + ".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        yield
