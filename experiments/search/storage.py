"""Where a search remembers itself: a journal file of this machine, or a database for many."""

import time
from pathlib import Path

import optuna

from experiments.search.journal import JournalFile
from marquee.errors import ConfigError, TrackingError, one_line

ATTEMPTS, PAUSE = 10, 0.3  # to open a database whose tables others are just making; seconds between
MADE_BY_OTHERS = {"IntegrityError", "ProgrammingError", "InternalError"}  # what that looks like


def check_storage(storage: str) -> None:
    """Refuse a storage that cannot be meant.

    Raises:
        ConfigError: it is neither `journal` nor an address.
    """
    if storage != "journal" and "://" not in storage:
        raise ConfigError(
            f"search.storage: '{storage}' is neither journal nor an address such as postgresql://host/database"
        )


def opened(storage: str, journal: Path) -> optuna.storages.BaseStorage:
    """The storage, its file or tables made where they are not there.

    Raises:
        TrackingError: the database cannot be reached or used.
    """
    if storage == "journal":
        return optuna.storages.JournalStorage(JournalFile(journal))
    if storage.startswith("postgresql://"):
        storage = storage.replace("postgresql://", "postgresql+psycopg://", 1)  # the driver that we bring
    for patience in range(ATTEMPTS, 0, -1):
        try:
            return optuna.storages.RDBStorage(storage, engine_kwargs={"pool_pre_ping": True})
        except (optuna.exceptions.StorageInternalError, ImportError, ValueError) as error:
            raise TrackingError(f"search.storage cannot be used: {one_line(error)[:300]}") from error
        except Exception as error:  # SQLAlchemy's own, by whichever driver
            if not type(error).__module__.startswith("sqlalchemy"):
                raise
            if patience > 1 and type(error).__name__ in MADE_BY_OTHERS:
                time.sleep(PAUSE)
                continue
            what = one_line(error.__cause__ or error)[:300]
            raise TrackingError(f"search.storage cannot be reached: {what}") from error
    raise AssertionError("the last attempt returns or raises")
