"""Fault tolerance of searches: killed processes, interrupts, time limits and full disks lose no results."""

import json
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import optuna
import pandas as pd
import pytest

from experiments.evaluation.cross_validation import FoldSource
from experiments.search.journal_backend import JournalBackend
from experiments.search.run import TaskReport, delete_search_state, run_search
from experiments.search.specification import SearchSpec
from experiments.search.task_queue import TaskQueue
from experiments.search.training_result import FOLDS, PointId, Task, TaskId, TrainingId
from experiments.search.training_space import candidate_spaces
from experiments.search.worker import current_worker_name, is_worker_dead, run_worker
from marquee.errors import MarqueeError
from tests.support.part_files import write_part_files
from tests.support.searches import (
    SLOW_SPACE,
    live_workers,
    make_search_params,
    make_search_spec,
    run_search_to_end,
    start_search_process,
    trial_records,
)

pytestmark = pytest.mark.slow


def open_queue(spec: SearchSpec, *, create: bool = False) -> TaskQueue:
    return spec.create_worker_assignment().open_queue(candidate_spaces(spec.search), create=create)


def make_task(number: int, n_factors: int) -> Task:
    return Task(TaskId(TrainingId("svd", number), FOLDS), {"n_factors": n_factors}, (0,))


def is_always_dead(*_: object) -> bool:
    return True


# Workers


def test_killed_worker_is_replaced_and_its_training_repeated(source: FoldSource, tmp_path: Path) -> None:
    params = make_search_params({"svd": {"n_factors": [2, 3, 4, 5], "n_epochs": [40]}, "baseline_only": {}})
    killed_pids: list[int | None] = []

    def kill_first_worker(*_: object) -> None:
        if not killed_pids:
            worker = live_workers()[0]
            worker.kill()
            killed_pids.append(worker.pid)

    trials = run_search(make_search_spec(params, source, tmp_path / "killed"), kill_first_worker).trials
    assert killed_pids
    assert trial_records(trials) == trial_records(run_search_to_end(params, source, tmp_path))


def test_killed_worker_changes_no_result_of_a_search_by_lists(
    source: FoldSource, ratings: pd.DataFrame, tmp_path: Path
) -> None:
    parts = write_part_files(ratings, tmp_path)
    space = {
        "svd": {"n_factors": [2, 3, 4], "n_epochs": [40]},
        "ease": {"reg": [1.0, 20.0]},
        "popularity": {},
    }
    params = make_search_params(space, metric="ndcg")
    killed_pids: list[int | None] = []

    def kill_a_worker_in_every_part(report: TaskReport) -> None:
        if report.task.part == len(killed_pids):
            worker = live_workers()[0]
            worker.kill()
            killed_pids.append(worker.pid)

    spec = make_search_spec(params, source, tmp_path / "killed", parts)
    trials = run_search(spec, kill_a_worker_in_every_part).trials
    assert len(killed_pids) == 3
    whole = run_search_to_end(params, source, tmp_path / "whole", parts)
    assert trial_records(trials) == trial_records(whole)


def test_requeued_task_is_the_same_task(source: FoldSource, tmp_path: Path) -> None:
    params = make_search_params({"svd": {"n_factors": [2, 3, 4], "n_epochs": [3]}})
    spec = make_search_spec(params, source, tmp_path)
    queue = open_queue(spec, create=True)
    leader = PointId(TrainingId("svd", 0), 1)
    task = Task(TaskId(TrainingId("svd", 2), 1), {"n_factors": 4}, (0, 2), leader)
    queue.enqueue(task, 2)
    storage = optuna.storages.JournalStorage(JournalBackend(spec.create_worker_assignment().journal))
    (waiting,) = [
        trial for study in storage.get_all_studies() for trial in storage.get_all_trials(study._study_id)
    ]
    storage.set_trial_state_values(waiting._trial_id, optuna.trial.TrialState.RUNNING)  # the worker dies now
    assert queue.claim("other") is None
    assert queue.requeue_tasks_of_dead_workers(is_always_dead) == []
    claim = queue.claim("other")
    assert claim is not None
    assert claim.task == task


def test_training_is_fatal_after_three_dead_workers_in_one_run(source: FoldSource, tmp_path: Path) -> None:
    spec = make_search_spec(
        make_search_params({"svd": {"n_factors": [4], "n_epochs": [3]}}), source, tmp_path
    )
    open_queue(spec, create=True).enqueue(make_task(0, 4), 0)
    for _ in range(5):  # each iteration: the search is interrupted and run again
        queue = open_queue(spec)
        assert queue.claim("other") is not None
        assert open_queue(spec).requeue_tasks_of_dead_workers(is_always_dead) == []
    fatal = [
        task.id
        for _ in range(3)
        if queue.claim("other")
        for task in queue.requeue_tasks_of_dead_workers(is_always_dead)
    ]
    assert fatal == [(("svd", 0), FOLDS)]


def test_training_whose_workers_are_killed_three_times_fails(source: FoldSource, tmp_path: Path) -> None:
    space = {"svd": {"n_epochs": [10**6]}, "baseline_only": {}}  # training svd would take minutes
    spec = make_search_spec(make_search_params(space, workers=1), source, tmp_path)
    with killing_workers_of_later_trainings(spec.create_worker_assignment().journal):
        svd, baseline = run_search(spec, lambda _: None).trials
    assert svd.failure == "its worker was killed 3 times, perhaps because memory ran out"
    assert baseline.folds


@contextmanager
def killing_workers_of_later_trainings(journal: Path) -> Iterator[None]:
    """Kill the workers after each claim of a training except the first, which is that of the baseline."""
    done = threading.Event()

    def kill_workers() -> None:
        n_claims = 1
        while not done.wait(0.05):
            claims = journal.read_text().count('"worker":') if journal.exists() else 0
            if claims > n_claims:
                n_claims = claims
                for worker in live_workers():
                    worker.kill()

    killer = threading.Thread(target=kill_workers)
    killer.start()
    try:
        yield
    finally:
        done.set()
        killer.join()


def test_workers_can_join_and_leave(source: FoldSource, tmp_path: Path) -> None:
    params = make_search_params({"svd": {"n_factors": list(range(2, 14)), "n_epochs": [60]}}, workers=0)
    spec = make_search_spec(params, source, tmp_path)
    n_finished = iter(range(4))  # the first worker leaves after three trainings
    with ThreadPoolExecutor(1) as pool:
        search = pool.submit(run_search, spec, lambda _: None)
        time.sleep(1)
        assert run_worker(spec.create_worker_assignment(), should_leave=lambda: next(n_finished) == 3) == 3
        assert not search.done()
        assert run_worker(spec.create_worker_assignment(), should_leave=lambda: False) == 9
        reference = run_search_to_end(
            params.model_copy(update={"workers": 1}), source, tmp_path / "reference"
        )
        assert trial_records(search.result().trials) == trial_records(reference)


def test_worker_is_dead_when_its_process_ends_or_after_a_silent_minute_on_another_host() -> None:
    host, pid, start_time = current_worker_name().split()
    assert not is_worker_dead(current_worker_name(), 0.0)
    assert is_worker_dead(f"{host} {pid} {int(start_time) + 1}", time.time())  # the process id was reused
    assert is_worker_dead(f"{host} 999999999 1", time.time())
    assert not is_worker_dead("elsewhere 1 1", time.time() - 30)
    assert is_worker_dead("elsewhere 1 1", time.time() - 61)
    assert not is_worker_dead("", time.time())
    assert is_worker_dead("", time.time() - 6)


# Time limit


def test_workers_do_not_claim_from_a_closed_queue(source: FoldSource, tmp_path: Path) -> None:
    params = make_search_params({"svd": {"n_factors": [3, 4, 5], "n_epochs": [3]}})
    spec = make_search_spec(params, source, tmp_path)
    queue = open_queue(spec, create=True)
    for number in range(3):
        queue.enqueue(make_task(number, 3 + number), number)
    queue.mark_closed()
    assert run_worker(spec.create_worker_assignment(), should_leave=lambda: False) == 0


def test_time_limit_without_any_result_is_an_error(source: FoldSource, tmp_path: Path) -> None:
    params = make_search_params({"svd": {"n_epochs": [10**6]}}, workers=0, max_minutes=0.001)
    with pytest.raises(MarqueeError, match=r"no training ended within search\.max_minutes"):
        run_search(make_search_spec(params, source, tmp_path), lambda _: None)


# Interrupted searches


def test_search_state_is_kept_until_deleted(source: FoldSource, tmp_path: Path) -> None:
    spec = make_search_spec(make_search_params({"slope_one": {}, "baseline_only": {}}), source, tmp_path)
    first = run_search(spec, lambda _: None).trials
    again = run_search(spec, lambda _: None).trials
    assert [trial.cost for trial in again] == [trial.cost for trial in first]
    delete_search_state(spec)
    assert list(tmp_path.iterdir()) == []


def test_killed_search_resumes(source: FoldSource, tmp_path: Path) -> None:
    space = {"svd": {"n_factors": [2, 3, 4, 5, 6, 7], "n_epochs": [60]}, "slope_one": {}}
    params = make_search_params(space, workers=1)
    first = start_search_process(params, source, tmp_path)
    assert first.stdout
    lines_before = [first.stdout.readline() for _ in range(3)]
    first.kill()
    lines_before += first.stdout.readlines()
    first.wait()
    second = start_search_process(params, source, tmp_path)
    output, errors = second.communicate(timeout=120)
    assert second.returncode == 0, errors
    *lines, done = output.splitlines()
    assert {line.strip() for line in lines_before} <= set(lines)
    whole = run_search_to_end(params, source, tmp_path / "whole")
    assert json.loads(done.removeprefix("done ")) == trial_records(whole)


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_search_stops_its_workers(
    source: FoldSource, tmp_path: Path, signal_number: signal.Signals
) -> None:
    search = start_search_process(make_search_params(SLOW_SPACE), source, tmp_path, start_new_session=True)
    group = os.getpgid(search.pid)
    wait_for_first_claim(tmp_path)
    search.send_signal(signal_number)
    search.communicate(timeout=30)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and is_group_alive(group):
        time.sleep(0.1)
    assert not is_group_alive(group)


def wait_for_first_claim(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not any('"worker":' in path.read_text() for path in folder.glob("*.journal")):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_search_fails_clearly_on_a_full_disk_and_can_be_resumed(source: FoldSource, tmp_path: Path) -> None:
    params = make_search_params({"svd": {"n_factors": list(range(2, 12)), "n_epochs": [3]}}, workers=1)

    def limit_file_size() -> None:  # makes writes beyond the limit fail, as on a full disk
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, 8_000))

    search = start_search_process(params, source, tmp_path, preexec_fn=limit_file_size)
    _, errors = search.communicate(timeout=120)
    assert search.returncode != 0
    assert "cannot write the search journal" in errors
    assert "free disk space and run the search again" in errors
    lines = next(tmp_path.glob("*.journal")).read_text().splitlines()
    assert all(json.loads(line) for line in lines)
    whole = run_search_to_end(params, source, tmp_path / "whole")
    assert trial_records(run_search_to_end(params, source, tmp_path)) == trial_records(whole)
