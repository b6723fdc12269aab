"""How work is shared among threads."""

import threading

import pytest

from marquee.algorithms.threads import VARIABLE, n_threads, share_out, threads
from marquee.errors import ConfigError


def test_every_block_is_done_once_whatever_the_number_of_threads() -> None:
    for number in (1, 3, 50):
        done: list[tuple[int, int]] = []
        with threads(number):
            share_out(lambda start, stop: done.append((start, stop)), 10, 4)  # noqa: B023  runs at once
        assert sorted(done) == [(0, 4), (4, 8), (8, 10)]


def test_one_thread_is_the_callers_own() -> None:
    who = []
    with threads(1):
        share_out(lambda *_: who.append(threading.current_thread()), 3, 1)
    assert set(who) == {threading.current_thread()}


def test_an_error_in_a_block_is_raised() -> None:
    def fail(start: int, _: int) -> None:
        if start:
            raise MemoryError

    with threads(2), pytest.raises(MemoryError):
        share_out(fail, 4, 1)


def test_the_choice_ends_with_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "3")
    with threads(2):
        assert n_threads() == 2
    assert n_threads() == 3


def test_without_a_choice_it_is_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert n_threads() >= 1


@pytest.mark.parametrize("wrong", ["0", "-1", "two", ""])
def test_a_wrong_number_is_refused(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, wrong)
    with pytest.raises(ConfigError, match=VARIABLE):
        n_threads()
