"""A worker: takes a training, does it, tells the outcome, and takes the next, until nothing more is asked.

Workers of this machine are started by the search; others join by `marquee search-worker`. They need nothing
of each other: each reads the ratings for itself and speaks to the storage alone.
"""

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.config.offline import Search
from experiments.evaluation.cross_validation import FoldSource, Parts, fold_seeds
from experiments.search.outlook import looks
from experiments.search.space import Axes, axes_of_all
from experiments.search.training import train
from experiments.search.training_queue import Claim, Studies
from experiments.search.training_result import Outcome
from marquee.algorithms.threads import ONE_BLAS_THREAD, n_threads
from marquee.errors import MarqueeError

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue

IDLE = 0.05  # seconds between looks at a storage where nothing is to be done
BEAT = 10.0  # seconds between signs of life
SILENT = 60.0  # seconds without one after which a worker of another machine is taken for dead
UNNAMED = 5.0  # seconds that a training may be without the name of who took it


@dataclass(frozen=True)
class Assignment:
    """What a worker works on. It can be sent to another process."""

    search: Search
    source: FoldSource
    seed: int
    metric: str
    key: str
    journal: Path

    def studies(self, axes: dict[str, Axes], seed: int, *, create: bool = False) -> Studies:
        """The studies of this search, with a sampler of that seed."""
        return Studies(
            self.search.storage, self.journal, self.key, axes,
            sampler=self.search.sampler, pruner=self.search.pruner, seed=seed, create=create,
        )  # fmt: skip


def work(assignment: Assignment, *, leave: Callable[[], bool], n: int | None = None) -> int:
    """Do trainings until the search is over, or until it is time to leave; return how many were done.

    Args:
        assignment: what to work on.
        leave: asked between two trainings.
        n: threads for the folds; None: as many as cores.

    Raises:
        MarqueeError: the storage cannot be reached or written.
    """
    axes = axes_of_all(assignment.search)
    studies = assignment.studies(axes, os.getpid() % 2**31)
    parts, done = assignment.source.parts(), 0
    # Once for all: to limit BLAS for each model wakes its idle threads, and they spin on the folds' cores.
    with ONE_BLAS_THREAD, ThreadPoolExecutor(min(n or n_threads(), len(parts))) as pool:
        while not (leave() or studies.is_closed):
            claim = studies.claim(own_name())
            if claim is None:
                time.sleep(IDLE)
                continue
            with _beating(claim):
                outcome = _trained(assignment, claim, axes[claim.candidate], parts, pool)
            studies.finish(claim, outcome, assignment.metric)
            done += 1
    return done


def own_name() -> str:
    """The name of this process, by which others tell whether it still runs: ids of processes come back."""
    return f"{socket.gethostname()} {os.getpid()} {_started(os.getpid())}"


def is_gone(worker: str, seen: float) -> bool:
    """Whether a worker is no more: at once where it ran on this machine, else after a minute of silence."""
    if not worker:
        return time.time() - seen > UNNAMED
    host, *process = worker.split()
    if host == socket.gethostname():
        pid, started = process
        return _started(int(pid)) != started
    return time.time() - seen > SILENT


def start_worker(assignment: Assignment, n: int, last_words: "SimpleQueue[str]") -> None:
    """The whole life of a worker that the search has started; it dies when the search's process does.

    Args:
        assignment: what to work on.
        n: threads for the folds.
        last_words: gets the reason, where it cannot go on.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the search, which ends its workers
    threading.Thread(target=_die_with_the_search, daemon=True).start()
    try:
        work(assignment, leave=lambda: False, n=n)
    except MarqueeError as error:
        last_words.put(str(error))
    except Exception as error:
        last_words.put(f"a worker of the search failed: {type(error).__name__}: {error}")
        raise


def _die_with_the_search() -> None:
    search = multiprocessing.parent_process()  # who asked for this one, not who forked it
    if search is not None:
        search.join()
    os._exit(1)  # in the middle of a training, which is asked again


def _trained(
    assignment: Assignment, claim: Claim, axes: Axes, parts: Parts, pool: ThreadPoolExecutor
) -> Outcome:
    points = axes.points(claim.training)
    pruned = assignment.search.pruner != "none"
    return train(
        claim.candidate, points, parts, fold_seeds(assignment.seed, claim.candidate), pool,
        metric=assignment.metric, looks=looks(axes.n_epochs), report=claim.report if pruned else None,
    )  # fmt: skip


@contextmanager
def _beating(claim: Claim) -> Iterator[None]:
    """Give a sign of life now and then, while this block is at work."""
    done = threading.Event()

    def beat() -> None:
        with suppress(MarqueeError):  # a storage that fails is for the worker itself to meet
            while not done.wait(BEAT):
                claim.seen(time.time())

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _started(pid: int) -> str:
    """When a process began, as the kernel counts; empty where there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]
