"""Threads that fit or score one model: their number, and the distribution of blocks of work.

The result of a block depends only on the block, and the blocks depend only on the data, so a model has the
same bytes for any number of threads. Kernels release the GIL, so threads run in parallel.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from threading import Lock
from types import TracebackType

from threadpoolctl import ThreadpoolController

from marquee.errors import ConfigError

THREADS_VARIABLE = "MARQUEE_THREADS"

_limit: ContextVar[int | None] = ContextVar("thread limit", default=None)


def thread_count() -> int:
    """Return the number of threads that one model may use.

    The number comes from `limit_threads`, else from the environment variable MARQUEE_THREADS, else it is the
    number of cores available to the process.

    Raises:
        ConfigError: MARQUEE_THREADS is not a positive integer.
    """
    limit = _limit.get()
    if limit is not None:
        return limit
    setting = os.environ.get(THREADS_VARIABLE)
    if setting is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not setting.isdecimal() or int(setting) < 1:
        raise ConfigError(f"{THREADS_VARIABLE} must be a positive integer (got {setting!r})")
    return int(setting)


@contextmanager
def limit_threads(n: int) -> Iterator[None]:
    """Let each model use at most n threads inside the `with` block; 1 if parallel folds share the cores."""
    token = _limit.set(n)
    try:
        yield
    finally:
        _limit.reset(token)


def run_blocks(run_block: Callable[[int, int], object], n: int, block_size: int) -> None:
    """Call `run_block(start, stop)` for consecutive blocks of range(n), on up to `thread_count()` threads.

    An idle thread takes the next block, which balances the load if blocks differ in cost. Calls within a
    block share the threads that are left: threads do not inherit the limit of `limit_threads`.
    """
    bounds = [(start, min(start + block_size, n)) for start in range(0, n, block_size)]
    n_threads = thread_count()
    n_workers = min(n_threads, len(bounds))
    if n_workers <= 1:
        for start, stop in bounds:
            run_block(start, stop)
        return
    with ThreadPoolExecutor(n_workers, initializer=_limit.set, initargs=(n_threads // n_workers,)) as pool:
        for future in [pool.submit(run_block, start, stop) for start, stop in bounds]:
            future.result()


class OneBlasThread:
    """Context manager that limits BLAS to one thread.

    The order in which BLAS adds numbers, and so the last bit of a sum, depends on the number of threads.

    The limit applies to the whole process. Models that are fitted in parallel share it: the first to enter
    sets it, the last to leave restores the previous limit.
    """

    def __init__(self) -> None:
        self._lock, self._n_inside = Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._n_inside:
                self._limits = _blas_controller().limit(limits=1, user_api="blas")
            self._n_inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._n_inside -= 1
            if not self._n_inside:
                self._limits.restore_original_limits()


ONE_BLAS_THREAD = OneBlasThread()


@cache
def _blas_controller() -> ThreadpoolController:
    """Controller of the BLAS libraries of NumPy and SciPy; cached because finding them takes 2 ms."""
    return ThreadpoolController()
