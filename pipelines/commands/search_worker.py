"""`marquee search-worker`: join a running search, from this machine or another one."""

import signal
import time

from experiments.config import Params
from experiments.search.storage import check_storage_setting
from experiments.search.task_queue import SearchNotFoundError
from experiments.search.worker import run_worker
from marquee.errors import MarqueeError
from pipelines.support.console import get_console
from pipelines.support.paths import SPLIT, TRAIN
from pipelines.support.search_spec import build_search_spec

POLL_SECONDS = 1.0  # between two checks whether the search has started


def join_search(params: Params, *, patience: float) -> None:
    """Work on the search described by params.yaml until the search ends, or until SIGINT or SIGTERM.

    Args:
        params: parameters of the project, which must be those of the search.
        patience: seconds to wait for the search to start.

    Raises:
        MarqueeError: the data is missing, or the search did not start in time.
    """
    check_storage_setting(params.search.storage)
    for path in (TRAIN, SPLIT):
        if not path.exists():
            raise MarqueeError(f"{path} not found; run `dvc pull` or `dvc repro split`")
    console = get_console()
    is_leaving = False

    def leave(*_: object) -> None:
        nonlocal is_leaving
        is_leaving = True
        console.print("Leaving after the current task.")

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    assignment, started = build_search_spec(params).create_worker_assignment(), time.monotonic()
    storage = assignment.spec.search.storage.split("@")[-1]  # without user and password
    console.print(f"Search {assignment.key} in {storage}.")
    while not is_leaving:
        try:
            n_tasks = run_worker(assignment, should_leave=lambda: is_leaving)
        except SearchNotFoundError as error:
            if time.monotonic() - started > patience:
                raise MarqueeError(
                    f"{error}; start it with `marquee repro`, with the same params.yaml, data and code"
                ) from None
            time.sleep(POLL_SECONDS)
        else:
            console.print(f"Finished {n_tasks} tasks.")
            return
