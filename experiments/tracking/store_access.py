"""Location of the MLflow store, the lock for writing to it, and conversion of its errors."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from mlflow.exceptions import MlflowException

from marquee.errors import TrackingError, one_line_message
from marquee.files.lock import file_lock

SQLITE_PREFIX = "sqlite:///"

# By default, MLflow retries an unreachable server for minutes; with these values it fails after seconds.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")


def project_root() -> Path:
    """Return the project directory. In a DVC experiment, which runs in a copy, it is the original one."""
    return Path(os.environ.get("DVC_ROOT", Path.cwd())).resolve()


def tracking_uri() -> str:
    """Return MLFLOW_TRACKING_URI or, if that is not set, the URI of mlflow.db in the project directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE_PREFIX}{project_root() / 'mlflow.db'}"


def enable_write_ahead_log(uri: str) -> None:
    """Allow the UI to read a SQLite store while a search writes to it. The setting is stored in the file."""
    with closing(sqlite3.connect(uri.removeprefix(SQLITE_PREFIX))) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


@contextmanager
def convert_mlflow_errors(uri: str) -> Iterator[None]:
    """Convert MLflow errors to a TrackingError with a message of one line."""
    try:
        yield
    except MlflowException as error:
        raise TrackingError(f"tracking store {uri} failed: {one_line_message(error)}") from error


@contextmanager
def store_lock(uri: str) -> Iterator[None]:
    """Lock a SQLite store, because two processes that create it at the same time would break it."""
    if not uri.startswith(SQLITE_PREFIX):
        yield
        return
    path = Path(uri.removeprefix(SQLITE_PREFIX) + ".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(path):
        yield
