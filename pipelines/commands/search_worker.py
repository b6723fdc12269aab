"""`marquee search-worker`: join a search, which may run on this machine or another one."""

import signal
import time
from collections.abc import Callable

from experiments.config import Params
from experiments.search.specification import WorkerAssignment
from experiments.search.storage import check_storage_setting
from experiments.search.task_queue import SearchNotFoundError
from experiments.search.worker import run_worker
from marquee.errors import MarqueeError
from pipelines.support.console import create_console
from pipelines.support.paths import FEEDBACK, SPLIT, TRAIN
from pipelines.support.search_spec import build_search_spec

POLL_SECONDS = 1.0  # between two checks whether the search has started


def join_search(params: Params, *, max_wait: float) -> None:
    """Work on the search described by params.yaml until the search ends, or until SIGINT or SIGTERM.

    Args:
        params: parameters of the project, which must be those of the search.
        max_wait: longest time to wait for the search to start, in seconds.

    Raises:
        MarqueeError: the data is missing, or the search did not start in time.
    """
    check_storage_setting(params.search.storage)
    for path in (TRAIN, SPLIT, FEEDBACK):
        if not path.exists():
            raise MarqueeError(f"{path} not found; run `dvc pull` or `dvc repro split`")
    should_leave = _watch_signals()
    assignment = build_search_spec(params).create_worker_assignment()
    storage = assignment.spec.search.storage.split("@")[-1]  # without user and password
    create_console().print(f"Search {assignment.key} in {storage}.")
    n_tasks = _run_worker_once_started(assignment, should_leave, max_wait)
    create_console().print(f"Finished {n_tasks} tasks.")


def _watch_signals() -> Callable[[], bool]:
    """Handle SIGINT and SIGTERM from now on; return a function that returns True once one has arrived."""
    is_leaving = False

    def leave(*_: object) -> None:
        nonlocal is_leaving
        is_leaving = True
        create_console().print("Leaving after the current task, if there is one.")

    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, leave)
    return lambda: is_leaving


def _run_worker_once_started(
    assignment: WorkerAssignment, should_leave: Callable[[], bool], max_wait: float
) -> int:
    """Wait for the search to start, then run a worker; return the number of tasks that it ran."""
    deadline = time.monotonic() + max_wait
    while not should_leave():
        try:
            return run_worker(assignment, should_leave=should_leave)
        except SearchNotFoundError as error:
            if time.monotonic() > deadline:
                raise MarqueeError(
                    f"{error}; start it with `marquee repro`, with the same params.yaml, data and code"
                ) from None
            time.sleep(POLL_SECONDS)
    return 0
