"""Thread limits, and the distribution of blocks over threads."""

import threading

import pytest

from marquee.algorithms.threads import THREADS_VARIABLE, limit_threads, run_blocks, thread_count
from marquee.errors import ConfigError


@pytest.mark.parametrize("n_threads", [1, 3, 50])
def test_every_block_is_processed_once(n_threads: int) -> None:
    blocks: list[tuple[int, int]] = []
    with limit_threads(n_threads):
        run_blocks(lambda start, stop: blocks.append((start, stop)), 10, 4)
    assert sorted(blocks) == [(0, 4), (4, 8), (8, 10)]


def test_single_thread_is_the_calling_thread() -> None:
    threads = []
    with limit_threads(1):
        run_blocks(lambda *_: threads.append(threading.current_thread()), 3, 1)
    assert set(threads) == {threading.current_thread()}


@pytest.mark.parametrize(("n_threads", "n_blocks", "left"), [(2, 5, 1), (6, 2, 3), (5, 2, 2)])
def test_calls_within_blocks_share_the_threads_that_are_left(
    n_threads: int, n_blocks: int, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(THREADS_VARIABLE, "100")
    counts = []
    with limit_threads(n_threads):
        run_blocks(lambda *_: counts.append(thread_count()), n_blocks, 1)
    assert counts == [left] * n_blocks


def test_error_in_a_block_is_raised() -> None:
    def fail(start: int, _: int) -> None:
        if start:
            raise MemoryError

    with limit_threads(2), pytest.raises(MemoryError):
        run_blocks(fail, 4, 1)


def test_thread_limit_overrides_environment_within_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREADS_VARIABLE, "3")
    with limit_threads(2):
        assert thread_count() == 2
    assert thread_count() == 3


def test_default_thread_count_is_positive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(THREADS_VARIABLE, raising=False)
    assert thread_count() >= 1


@pytest.mark.parametrize("setting", ["0", "-1", "two", ""])
def test_invalid_setting_is_rejected(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREADS_VARIABLE, setting)
    with pytest.raises(ConfigError, match=rf"MARQUEE_THREADS must be a positive integer \(got '{setting}'\)"):
        thread_count()
