"""A worker that joins a search, of this machine or another: it may come and go at any time."""

import signal
import time

from experiments.config.offline import Params
from experiments.search.storage import check_storage
from experiments.search.training_queue import StudiesMissing
from experiments.search.worker import work
from marquee.errors import MarqueeError
from pipelines.support.console import screen
from pipelines.support.paths import FOLDS, TRAIN
from pipelines.support.search_spec import asking

WAIT = 1.0  # seconds between looks for a search that has not begun


def search_worker(params: Params, *, patience: float) -> None:
    """Work on the search that params.yaml describes, until it is over or somebody says to leave.

    Args:
        params: the parameters; the same as those of who searches, for they are the search's key.
        patience: seconds to wait for the search to begin.

    Raises:
        MarqueeError: the ratings are not here, or no such search has begun in time.
    """
    check_storage(params.search.storage)
    for path in (TRAIN, FOLDS):
        if not path.exists():
            raise MarqueeError(f"{path} is not here: `dvc pull` brings it, or `dvc repro split` makes it")
    leaving = False

    def leave(*_: object) -> None:
        nonlocal leaving
        leaving = True
        screen().print("Leaving after this training.")

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    assignment, began = asking(params).assignment(), time.monotonic()
    screen().print(f"Search {assignment.key} in {assignment.search.storage.split('@')[-1]}.")
    while not leaving:
        try:
            done = work(assignment, leave=lambda: leaving)
        except StudiesMissing as missing:
            if time.monotonic() - began > patience:
                raise MarqueeError(
                    f"{missing}: begin it with `marquee repro`, with the same params.yaml, data and code"
                ) from None
            time.sleep(WAIT)
            continue
        screen().print(f"{done} trainings done; the search is over, or it was time to leave.")
        return
