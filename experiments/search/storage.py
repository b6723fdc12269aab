"""Storage of a search: a journal file for one machine, or a database for several."""

import time
from pathlib import Path

import optuna

from experiments.search.journal_backend import JournalBackend
from marquee.errors import ConfigError, TrackingError, one_line_message

JOURNAL = "journal"
MAX_ATTEMPTS = 10
RETRY_SECONDS = 0.3
MAX_REASON_LENGTH = 300


def check_storage_setting(storage: str) -> None:
    """Check the form of the parameter `search.storage`, without connecting to the storage.

    Raises:
        ConfigError: it is neither `journal` nor a database URL.
    """
    if storage != JOURNAL and "://" not in storage:
        raise ConfigError(
            "search.storage must be 'journal' or a database URL such as postgresql://host/database "
            f"(got '{storage}')"
        )


def open_storage(storage: str, journal: Path) -> optuna.storages.BaseStorage:
    """Open the storage; create its file or tables if they do not exist.

    Args:
        storage: `journal`, or the URL of a database.
        journal: path of the journal file.

    Raises:
        TrackingError: the database cannot be reached or used.
    """
    if storage == JOURNAL:
        return optuna.storages.JournalStorage(JournalBackend(journal))
    return _open_database(_with_driver(storage))


def _with_driver(url: str) -> str:
    """Return the URL with the PostgreSQL driver that Marquee installs; other URLs are returned unchanged."""
    return (
        url.replace("postgresql://", "postgresql+psycopg://", 1) if url.startswith("postgresql://") else url
    )


def _open_database(url: str) -> optuna.storages.RDBStorage:
    """Connect to a database; retry errors that it raises while another process creates Optuna's tables."""
    from sqlalchemy import exc  # takes half a second to import, and a journal does not need it

    table_creation_errors = (exc.IntegrityError, exc.ProgrammingError, exc.InternalError)
    for attempts_left in reversed(range(MAX_ATTEMPTS)):
        try:
            return optuna.storages.RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
        except (optuna.exceptions.StorageInternalError, exc.ArgumentError, ImportError, ValueError) as error:
            raise TrackingError(f"search.storage cannot be used: {_reason(error)}") from error
        except exc.SQLAlchemyError as error:
            if not attempts_left or not isinstance(error, table_creation_errors):
                raise TrackingError(
                    f"search.storage cannot be reached: {_reason(error.__cause__ or error)}"
                ) from error
            time.sleep(RETRY_SECONDS)
    raise AssertionError("the last attempt returns or raises")


def _reason(error: BaseException) -> str:
    return one_line_message(error)[:MAX_REASON_LENGTH]
