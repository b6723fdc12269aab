"""The search scores as Surprise would, shares work, and survives bad trainings, dead workers, full disks."""

import json
import math
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
import surprise
from searches import LONG, asking_of, begin, records, run, search_of
from surprise.model_selection import KFold, cross_validate

from experiments.crossval import FoldSource, Parts
from experiments.search.journal import JournalFile
from experiments.search.run import forget_search, run_search
from experiments.search.space import axes_of_all
from experiments.search.training import train
from experiments.search.worker import is_gone, own_name, work
from marquee.errors import MarqueeError


@pytest.fixture(scope="module")
def parts(source: FoldSource) -> Parts:
    return source.parts()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as pool:
        yield pool


def same_seed(_: int) -> int:
    return 3


# One training


def test_scores_are_those_of_surprise_on_the_same_folds(
    ratings: pd.DataFrame, parts: Parts, pool: ThreadPoolExecutor
) -> None:
    data = surprise.Dataset.load_from_df(ratings, surprise.Reader(rating_scale=(1, 5)))
    twins: dict[str, tuple[list[dict[str, Any]], list[surprise.AlgoBase]]] = {
        "svd": (
            [{"n_epochs": 3}, {}],
            [surprise.SVD(n_epochs=3, random_state=3), surprise.SVD(random_state=3)],
        ),
        "slope_one": ([{}], [surprise.SlopeOne()]),
        "knn_basic": ([{"k": 2}, {"k": 9}], [surprise.KNNBasic(k=k, verbose=False) for k in (2, 9)]),
    }
    for name, (points, algorithms) in twins.items():
        outcome = train(name, points, parts, same_seed, pool, metric="rmse")
        for point, twin in zip(outcome.points, algorithms, strict=True):
            theirs = cross_validate(twin, data, ["rmse", "mae"], KFold(3, random_state=11))
            for fold in range(3):
                assert math.isclose(point.folds[fold].rmse, theirs["test_rmse"][fold], rel_tol=1e-9)
                assert math.isclose(point.folds[fold].mae, theirs["test_mae"][fold], rel_tol=1e-9)


def test_points_of_one_training_score_as_alone(parts: Parts, pool: ThreadPoolExecutor) -> None:
    points = [{"n_epochs": n, "n_factors": 5} for n in (2, 7, 4)]
    together = train("svd", points, parts, same_seed, pool, metric="rmse")
    assert [epoch for epoch, _ in together.curve] == [2, 4, 7]
    for point, shared in zip(points, together.points, strict=True):
        (alone,) = train("svd", [point], parts, same_seed, pool, metric="rmse").points
        assert [fold.rmse for fold in alone.folds] == [fold.rmse for fold in shared.folds]


def test_a_parameter_that_the_algorithm_chokes_on_fails_alone(parts: Parts, pool: ThreadPoolExecutor) -> None:
    points: list[dict[str, Any]] = [{"k": 3}, {"k": 0}, {"k": 3, "similarity": "cosin"}, {"k": "ten"}]
    first, *others = train("knn_basic", points, parts, same_seed, pool, metric="rmse").points
    assert len(first.folds) == 3
    told = [str(other.failure) for other in others]
    assert told[0] == "ParameterError: KNNBasic: k=0 must be a whole number of 1 or more"
    assert told[1].startswith("ParameterError: sim_options: name='cosin' must be one of")
    assert told[2].startswith("ParameterError: KNNBasic: k='ten'")


def test_points_before_a_divergence_keep_their_scores(parts: Parts, pool: ThreadPoolExecutor) -> None:
    points = [{"n_epochs": n, "lr_all": 0.4, "reg_all": 0.0} for n in (1, 4000)]
    first, last = train("svd", points, parts, same_seed, pool, metric="rmse").points
    assert first.folds
    assert "DivergedError: SVD diverged in epoch" in str(last.failure)


def test_a_training_may_be_given_up_between_its_points(parts: Parts, pool: ThreadPoolExecutor) -> None:
    points = [{"n_epochs": n} for n in (2, 27)]
    looked: list[int] = []

    def report(epoch: int, _: float) -> bool:
        looked.append(epoch)
        return epoch >= 3

    outcome = train("svd", points, parts, same_seed, pool, metric="rmse", looks=(1, 3, 9), report=report)
    assert looked == [1, 2, 3]  # where a point ends, too
    assert len(outcome.points[0].folds) == 3
    assert str(outcome.points[1].pruned).startswith("given up after epoch 3 with RMSE")


# The whole search


def test_the_result_does_not_depend_on_the_number_of_workers(source: FoldSource, tmp_path: Path) -> None:
    space = {"svd": {"n_factors": [2, 5], "n_epochs": [2, 4]}, "knn_basic": {"k": [3]}, "baseline_only": {}}
    one, two = (run(search_of(space, workers=n), source, tmp_path) for n in (1, 2))
    assert records(one) == records(two)
    assert [trial.number for trial in one] == list(range(6))
    assert [trial.algorithm for trial in one] == ["svd"] * 4 + ["knn_basic", "baseline_only"]
    assert list(tmp_path.iterdir()) == []  # a search that is done leaves nothing


def test_a_diverging_trial_is_kept_with_its_reason_and_the_others_go_on(
    source: FoldSource, tmp_path: Path
) -> None:
    trials = run(search_of({"svd": {"lr_all": [0.005, 1e6]}, "baseline_only": {}}), source, tmp_path)
    failed = [trial for trial in trials if trial.failure]
    assert len(trials) == 3
    assert [trial.parameters for trial in failed] == [{"lr_all": 1e6}]
    assert "DivergedError: SVD diverged in epoch 1 with lr_bu=1000000.0" in str(failed[0].failure)


def test_a_search_in_which_all_fail_ends_with_one_clear_error(source: FoldSource, tmp_path: Path) -> None:
    with pytest.raises(
        MarqueeError, match=r"all 1 trials failed; the first, SVD \(lr_all=1000000.0\): DivergedError"
    ):
        run(search_of({"svd": {"lr_all": [1e6]}}), source, tmp_path)


def test_an_adaptive_search_learns_where_it_is_good(source: FoldSource, tmp_path: Path) -> None:
    space = {"svd": {"reg_all": {"low": 0.001, "high": 10.0, "log": True}, "n_epochs": [2, 5]}}
    search = search_of({**space, "normal_predictor": {}}, sampler="tpe", n_trials=14, workers=1)
    trials = run(search, source, tmp_path)
    svd = [trial for trial in trials if trial.algorithm == "svd"]
    assert (len(svd), len(trials)) == (26, 27)
    assert len({trial.parameters["reg_all"] for trial in svd}) == 13


@pytest.mark.parametrize("pruner", ["curve", "median", "hyperband"])
def test_pruning_gives_up_what_is_worse_and_keeps_the_best(
    source: FoldSource, tmp_path: Path, pruner: str
) -> None:
    space = {"svd": {"lr_all": [0.01, 0.0005, 0.0004, 0.0003, 0.0002, 0.0001], "n_epochs": [27]}}
    every = run(search_of(space, workers=1), source, tmp_path)
    some = run(search_of(space, workers=1, pruner=pruner), source, tmp_path)
    assert min(t.mean("rmse") for t in some if t.folds) == min(t.mean("rmse") for t in every)
    assert any(trial.pruned for trial in some)
    assert all(not trial.pruned for trial in every)


def test_minutes_end_a_search_with_what_it_has(source: FoldSource, tmp_path: Path) -> None:
    space = {"svd": {"reg_all": {"low": 0.001, "high": 1.0}, "n_epochs": [500]}}
    began = time.monotonic()
    trials = run(search_of(space, sampler="random", n_trials=10**6, minutes=0.1, workers=1), source, tmp_path)
    assert 0 < len(trials) < 10**6
    assert time.monotonic() - began < 60


# Faults


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


# Who is alive


def test_a_process_that_is_no_more_is_gone_at_once_and_another_host_after_a_minute() -> None:
    here, pid, started = own_name().split()
    assert not is_gone(own_name(), 0.0)
    assert is_gone(f"{here} {pid} {int(started) + 1}", time.time())  # the number came back to another
    assert is_gone(f"{here} 999999999 1", time.time())
    assert not is_gone("elsewhere 1 1", time.time() - 30)
    assert is_gone("elsewhere 1 1", time.time() - 61)
    assert not is_gone("", time.time())
    assert is_gone("", time.time() - 6)


# The journal


def test_a_cut_line_is_cut_off_before_the_next_is_written(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = JournalFile(path)
    journal.append_logs([{"op": 1}, {"op": 2}])
    with path.open("ab") as file:
        file.write(b'{"op": 3, "half')
    assert [log["op"] for log in JournalFile(path).read_logs(0)] == [1, 2]
    journal.append_logs([{"op": 4}])
    assert [log["op"] for log in journal.read_logs(0)] == [1, 2, 4]
    assert [log["op"] for log in journal.read_logs(2)] == [4]
    assert path.read_bytes().count(b"\n") == 3


def test_a_journal_of_nothing_but_half_a_line_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b'{"op"' * 2000)
    journal = JournalFile(path)
    journal.append_logs([{"op": 1}])
    assert path.read_bytes() == b'{"op":1}\n'


def test_many_processes_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    script = (
        "import sys; from pathlib import Path; from experiments.search.journal import JournalFile\n"
        "journal = JournalFile(Path(sys.argv[1]))\n"
        "for n in range(200): journal.append_logs([{'who': sys.argv[2], 'n': n}])"
    )
    writers = [subprocess.Popen([sys.executable, "-c", script, str(path), str(n)]) for n in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    logs = list(JournalFile(path).read_logs(0))
    assert len(logs) == 600
    for who in "012":
        assert [log["n"] for log in logs if log["who"] == who] == list(range(200))


def test_a_journal_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    journal = JournalFile(tmp_path / "journal")
    (tmp_path / "journal").unlink()
    (tmp_path / "journal").mkdir()
    with pytest.raises(MarqueeError, match="cannot write to"):
        journal.append_logs([{"op": 1}])
