"""Pool of worker processes on this machine; dead workers are replaced.

Workers are forked from a server process that has already imported everything they need. A worker or its
replacement therefore starts in milliseconds, and the imports run only once, while the search itself starts.
"""

import multiprocessing
from collections.abc import Iterable
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from types import TracebackType

from experiments.search.specification import WorkerAssignment
from experiments.search.worker import run_worker_process
from marquee.algorithms.registry import find_algorithm
from marquee.algorithms.threads import thread_count
from marquee.errors import MarqueeError

CONTEXT = multiprocessing.get_context("forkserver")  # forking this process would copy its threads and locks
KERNELS = "marquee.algorithms.kernels.numba_preload"


def preload_worker_imports(candidates: Iterable[str]) -> None:
    """Start the fork server, which imports what workers on these candidates need; do not wait for it."""
    algorithms = {find_algorithm(name).module_name for name in candidates}
    CONTEXT.set_forkserver_preload([run_worker_process.__module__, KERNELS, *sorted(algorithms)])
    forkserver.ensure_running()


class WorkerPool:
    """Context manager that runs the `search.workers` worker processes of a search.

    On exit, it waits for the workers, which end when the queue is closed. After an exception, it stops them
    at once.
    """

    def __init__(self, assignment: WorkerAssignment) -> None:
        self._assignment = assignment
        self._size = assignment.spec.search.workers
        self._threads_per_worker = max(1, thread_count() // max(1, self._size))
        self._workers: list[BaseProcess] = []
        self._errors = CONTEXT.SimpleQueue()

    def __enter__(self) -> "WorkerPool":
        if self._size:
            preload_worker_imports(self._assignment.spec.search.candidates)
        self.replace_dead_workers()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            for worker in self._workers:
                worker.terminate()  # do not wait for trainings, which can take minutes
        for worker in self._workers:
            worker.join()

    def replace_dead_workers(self) -> None:
        """Start new workers in place of dead ones.

        Raises:
            MarqueeError: a worker has reported an error that would end its replacement too.
        """
        if not self._errors.empty():
            raise MarqueeError(self._errors.get())
        self._workers = [worker for worker in self._workers if worker.is_alive()]
        self._workers += [self._start_worker() for _ in range(self._size - len(self._workers))]

    def _start_worker(self) -> BaseProcess:
        arguments = (self._assignment, self._threads_per_worker, self._errors)
        worker = CONTEXT.Process(target=run_worker_process, args=arguments, daemon=True)
        worker.start()
        return worker
