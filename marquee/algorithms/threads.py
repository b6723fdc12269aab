"""How many threads work on one model, and how blocks of work are shared among them.

A block's result depends on nothing but the block, and the blocks on nothing but the data: the same
bytes come out whatever the number of threads. Kernels release the GIL, so plain threads do.
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

VARIABLE = "MARQUEE_THREADS"

_chosen: ContextVar[int | None] = ContextVar("threads", default=None)


def n_threads() -> int:
    """Threads that one model may use: what was chosen, else MARQUEE_THREADS, else the cores we may use.

    Raises:
        ConfigError: MARQUEE_THREADS is not a whole number above zero.
    """
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
    told = os.environ.get(VARIABLE)
    if told is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not told.isdecimal() or int(told) < 1:
        raise ConfigError(f"{VARIABLE}={told!r}: set it to a whole number of threads above zero, or unset it")
    return int(told)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Within this block, one model uses that many threads: 1 where folds share the cores already."""
    token = _chosen.set(number)
    try:
        yield
    finally:
        _chosen.reset(token)


def share_out(work: Callable[[int, int], object], n: int, block: int) -> None:
    """Call `work(start, stop)` for consecutive blocks of range(n), side by side where there are threads.

    Whoever is free takes the next block, so blocks of unequal cost balance.
    """
    bounds = [(start, min(start + block, n)) for start in range(0, n, block)]
    workers = min(n_threads(), len(bounds))
    if workers <= 1:
        for start, stop in bounds:
            work(start, stop)
        return
    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(work, start, stop) for start, stop in bounds]:
            done.result()


class OneBlasThread:
    """Within this block BLAS uses one thread, for it sums in another order when it uses more.

    The limit holds for the whole process. Models that are fitted side by side share it: the first to
    enter sets it, the last to leave gives back what was set before.
    """

    def __init__(self) -> None:
        self._lock, self._inside = Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._limits = _libraries().limit(limits=1, user_api="blas")
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._limits.restore_original_limits()


ONE_BLAS_THREAD = OneBlasThread()


@cache
def _libraries() -> ThreadpoolController:
    """The BLAS of NumPy and of SciPy; to look for them takes 2 ms."""
    return ThreadpoolController()
