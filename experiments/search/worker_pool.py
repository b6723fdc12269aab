"""The search's workers on this machine: as many as were asked for, replaced when they die, gone when it ends.

They are forked from a server that has imported what they need and does nothing else: a worker, or its
successor, is at work in milliseconds, and the imports are paid once, while the search itself gets ready.
"""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess

from experiments.search.worker import Assignment, start_worker
from marquee.algorithms.registry import candidate
from marquee.algorithms.threads import n_threads
from marquee.errors import MarqueeError

CONTEXT = multiprocessing.get_context("forkserver")  # a fork of this process would copy threads and locks
LOADED = "marquee.algorithms.kernels.preload"


def prepare(candidates: Iterable[str]) -> None:
    """Begin to import what workers on these candidates need; this process may do something else meanwhile."""
    homes = {f"marquee.algorithms.{candidate(name).home.split('.')[0]}" for name in candidates}
    CONTEXT.set_forkserver_preload([start_worker.__module__, LOADED, *sorted(homes)])
    forkserver.ensure_running()


@contextmanager
def crew(assignment: Assignment) -> Iterator[Callable[[], None]]:
    """`search.workers` workers; what is given replaces those that have died.

    They end with the search, whatever ends it.

    Raises:
        MarqueeError: a worker said why none can go on.
    """
    n = max(1, n_threads() // max(1, assignment.search.workers))
    workers: list[BaseProcess] = []
    last_words = CONTEXT.SimpleQueue()

    def keep_up() -> None:
        if not last_words.empty():
            raise MarqueeError(last_words.get())
        workers[:] = [worker for worker in workers if worker.is_alive()]
        for _ in range(assignment.search.workers - len(workers)):
            worker = CONTEXT.Process(target=start_worker, args=(assignment, n, last_words), daemon=True)
            worker.start()
            workers.append(worker)

    if assignment.search.workers:
        prepare(assignment.search.candidates)
    keep_up()
    try:
        yield keep_up
    except BaseException:
        for worker in workers:
            worker.terminate()  # nobody waits for a fit of minutes
        raise
    finally:
        for worker in workers:
            worker.join()
