"""A search survives dead workers, kills, interrupts and full disks, and loses nothing."""

import json
import multiprocessing
import os
import resource
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest

from experiments.evaluation.cross_validation import FoldSource
from experiments.search.journal import JournalFile
from experiments.search.run import forget_search, run_search
from experiments.search.space import axes_of_all
from experiments.search.worker import is_gone, own_name, work
from marquee.errors import MarqueeError
from tests.support.searches import LONG, asking_of, begin, records, run, search_of


def test_a_killed_worker_is_replaced_and_what_it_had_is_done_again(
    source: FoldSource, tmp_path: Path
) -> None:
    space = {"svd": {"n_factors": [2, 3, 4, 5], "n_epochs": [40]}, "baseline_only": {}}
    killed = []

    def kill_one(*_: object) -> None:
        if not killed:
            worker = multiprocessing.active_children()[0]
            worker.kill()
            killed.append(worker.pid)

    faulty = run_search(asking_of(search_of(space), source, tmp_path / "faulty"), kill_one)
    assert killed
    assert records(faulty) == records(run(search_of(space), source, tmp_path))


def test_a_training_whose_worker_died_before_its_parameters_were_written_is_asked_as_it_was(
    source: FoldSource, tmp_path: Path
) -> None:
    asking = asking_of(search_of({"svd": {"n_factors": [2, 3, 4], "n_epochs": [3]}}), source, tmp_path)
    axes = axes_of_all(asking.search)
    studies = asking.assignment().studies(axes, 1, create=True)
    asked = {"n_factors": 4}
    studies.ask(("svd", 2), 2, asked)
    storage = optuna.storages.JournalStorage(JournalFile(asking.assignment().journal))
    (study,) = storage.get_all_studies()
    (waiting,) = storage.get_all_trials(study._study_id)
    storage.set_trial_state_values(waiting._trial_id, optuna.trial.TrialState.RUNNING)  # and then, kill -9
    assert studies.claim("other") is None
    assert studies.retire(lambda *_: True) == []
    claim = studies.claim("other")
    assert claim is not None
    assert (claim.slot, claim.training) == (2, asked)


def test_a_training_that_was_interrupted_often_has_killed_nobody(source: FoldSource, tmp_path: Path) -> None:
    asking = asking_of(search_of({"svd": {"n_factors": [4], "n_epochs": [3]}}), source, tmp_path)
    axes = axes_of_all(asking.search)
    asking.assignment().studies(axes, 1, create=True).ask(("svd", 0), 0, {"n_factors": 4})
    for _ in range(5):  # each time the search is run again, and ended in the middle
        studies = asking.assignment().studies(axes, 1)
        assert studies.claim("other") is not None
        assert asking.assignment().studies(axes, 1).retire(lambda *_: True) == []
    deadly = [slot for _ in range(3) if studies.claim("other") for slot, _ in studies.retire(lambda *_: True)]
    assert deadly == [("svd", 0)]


def test_workers_leave_what_waits_when_the_minutes_are_over(source: FoldSource, tmp_path: Path) -> None:
    asking = asking_of(search_of({"svd": {"n_factors": [3, 4, 5], "n_epochs": [3]}}), source, tmp_path)
    studies = asking.assignment().studies(axes_of_all(asking.search), 1, create=True)
    for number in range(3):
        studies.ask(("svd", number), number, {"n_factors": 3 + number})
    studies.close()
    assert work(asking.assignment(), leave=lambda: False) == 0


def test_minutes_in_which_nothing_ends_are_said_to_be_too_few(source: FoldSource, tmp_path: Path) -> None:
    search = search_of({"svd": {"n_epochs": [10**6]}}, workers=0, minutes=0.001)
    with pytest.raises(MarqueeError, match=r"no training ended within search\.minutes"):
        run_search(asking_of(search, source, tmp_path), lambda *_: None)


def test_a_search_is_kept_until_its_trials_are_safe(source: FoldSource, tmp_path: Path) -> None:
    asking = asking_of(search_of({"slope_one": {}, "baseline_only": {}}), source, tmp_path)
    first = run_search(asking, lambda *_: None)
    again = run_search(asking, lambda *_: None)  # the stage died before it wrote them down
    assert [trial.cost for trial in again] == [trial.cost for trial in first]
    forget_search(asking)
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_kills_its_workers_is_given_up(source: FoldSource, tmp_path: Path) -> None:
    space = {"svd": {"n_epochs": [10**6]}, "baseline_only": {}}  # svd would take minutes
    asking = asking_of(search_of(space, workers=1), source, tmp_path)
    done = threading.Event()

    def kill_whoever_has_svd() -> None:  # as the kernel does to who takes too much memory
        path, killed = asking.assignment().journal, 1  # the first to be named took the baseline
        while not done.wait(0.05):
            taken = path.read_text().count('"worker":') if path.exists() else 0
            if taken > killed:
                killed = taken
                for worker in multiprocessing.active_children():
                    worker.kill()

    killer = threading.Thread(target=kill_whoever_has_svd)
    killer.start()
    trials = run_search(asking, lambda *_: None)
    done.set()
    killer.join()
    svd, baseline = trials
    assert svd.failure == "its worker was killed 3 times, perhaps for want of memory"
    assert baseline.folds


def test_a_killed_search_goes_on_where_it_was(source: FoldSource, tmp_path: Path) -> None:
    space = {"svd": {"n_factors": [2, 3, 4, 5, 6, 7], "n_epochs": [60]}, "slope_one": {}}
    search = search_of(space, workers=1)
    first = begin(search, source, tmp_path)
    assert first.stdout
    before = [first.stdout.readline() for _ in range(3)]
    first.kill()
    before += first.stdout.readlines()
    first.wait()
    again = begin(search, source, tmp_path)
    output, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    *told, done = output.splitlines()
    assert {line.strip() for line in before} <= set(told)
    assert json.loads(done.removeprefix("done ")) == records(run(search, source, tmp_path / "whole"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_search_leaves_no_worker_behind(
    source: FoldSource, tmp_path: Path, number: signal.Signals
) -> None:
    search = begin(search_of(LONG), source, tmp_path, start_new_session=True)
    group = os.getpgid(search.pid)
    _wait_for_a_training(tmp_path)
    search.send_signal(number)
    search.communicate(timeout=30)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and _group_lives(group):
        time.sleep(0.1)
    assert not _group_lives(group)


def _wait_for_a_training(home: Path) -> None:
    deadline = time.monotonic() + 60
    while not any('"worker":' in path.read_text() for path in home.glob("*.journal")):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_full_disk_is_one_line_and_the_search_goes_on_afterwards(
    source: FoldSource, tmp_path: Path
) -> None:
    search = search_of({"svd": {"n_factors": list(range(2, 12)), "n_epochs": [3]}}, workers=1)

    def limit() -> None:  # what a full disk does: writes past that are refused
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, 8_000))

    full = begin(search, source, tmp_path, preexec_fn=limit)
    _, errors = full.communicate(timeout=120)
    assert full.returncode != 0
    assert "cannot write to" in errors
    assert "make room, and run it again" in errors
    lines = next(tmp_path.glob("*.journal")).read_text().splitlines()
    assert all(json.loads(line) for line in lines)
    assert records(run(search, source, tmp_path)) == records(run(search, source, tmp_path / "whole"))


def test_a_worker_may_join_and_leave(source: FoldSource, tmp_path: Path) -> None:
    search = search_of({"svd": {"n_factors": list(range(2, 14)), "n_epochs": [60]}}, workers=0)
    asking = asking_of(search, source, tmp_path)
    with ThreadPoolExecutor(1) as pool:
        searching = pool.submit(run_search, asking, lambda *_: None)
        time.sleep(1)
        left = []
        assert work(asking.assignment(), leave=lambda: len(left) >= 3 or left.append(1) is not None) == 3  # type: ignore[func-returns-value]
        assert not searching.done()
        assert work(asking.assignment(), leave=lambda: False) == 9
        assert records(searching.result()) == records(
            run(search.model_copy(update={"workers": 1}), source, tmp_path / "whole")
        )


def test_a_process_that_is_no_more_is_gone_at_once_and_another_host_after_a_minute() -> None:
    here, pid, started = own_name().split()
    assert not is_gone(own_name(), 0.0)
    assert is_gone(f"{here} {pid} {int(started) + 1}", time.time())  # the number came back to another
    assert is_gone(f"{here} 999999999 1", time.time())
    assert not is_gone("elsewhere 1 1", time.time() - 30)
    assert is_gone("elsewhere 1 1", time.time() - 61)
    assert not is_gone("", time.time())
    assert is_gone("", time.time() - 6)
