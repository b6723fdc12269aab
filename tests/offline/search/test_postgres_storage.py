"""Searches stored in PostgreSQL: any process can join as a worker, and killed processes lose no results."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.evaluation.cross_validation import FoldSource
from experiments.search.run import TaskReport, delete_search_state, run_search
from experiments.search.specification import SearchSpec
from experiments.search.storage import open_storage
from experiments.search.task_queue import SearchNotFoundError
from experiments.search.training_space import candidate_spaces
from experiments.search.trials import Trial
from experiments.search.user_scores import UserScores
from experiments.search.worker import run_worker
from marquee.errors import TrackingError
from tests.support.part_files import write_part_files
from tests.support.postgres import find_postgres_programs, running_postgres
from tests.support.searches import (
    live_workers,
    make_search_params,
    make_search_spec,
    run_search_to_end,
    run_to_outcome,
    start_search_process,
    trial_records,
)

pytestmark = pytest.mark.database
SPACE = {"svd": {"n_factors": [2, 3, 4, 5, 6], "n_epochs": [3, 30]}, "slope_one": {}}


@pytest.fixture(scope="module")
def postgres_programs() -> Path:
    """Folder of PostgreSQL's programs."""
    programs = find_postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql, or set MARQUEE_TEST_POSTGRES)")
    return programs


@pytest.fixture(scope="module")
def database(postgres_programs: Path) -> Iterator[str]:
    """URL of a database that is empty at first."""
    with running_postgres(postgres_programs) as url:
        yield url


def join_search(spec: SearchSpec) -> int:
    """Wait until the search has started, then run its trainings; return how many this worker did."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            return run_worker(spec.create_worker_assignment(), should_leave=lambda: False)
        except SearchNotFoundError:
            time.sleep(0.1)
    raise TimeoutError("the search has not started")


def test_database_gives_the_same_results_as_a_journal(
    database: str, source: FoldSource, tmp_path: Path
) -> None:
    params = make_search_params(SPACE)
    with_database = run_search_to_end(params.model_copy(update={"storage": database}), source, tmp_path)
    assert trial_records(with_database) == trial_records(run_search_to_end(params, source, tmp_path))


def test_database_carries_the_values_of_every_user(
    database: str, source: FoldSource, ratings: pd.DataFrame, tmp_path: Path
) -> None:
    parts = write_part_files(ratings, tmp_path)
    params = make_search_params({**SPACE, "ease": {"reg": [1.0, 20.0]}}, metric="ndcg")
    outcomes = [
        run_to_outcome(params.model_copy(update={"storage": storage}), source, tmp_path / "state", parts)
        for storage in (database, "journal")
    ]
    first, second = (UserScores.from_trials(outcome.trials, outcome.columns) for outcome in outcomes)
    assert trial_records(outcomes[0].trials) == trial_records(outcomes[1].trials)
    np.testing.assert_array_equal(first.ndcg, second.ndcg)


def test_workers_join_a_search_without_workers(database: str, source: FoldSource, tmp_path: Path) -> None:
    spec = make_search_spec(make_search_params(SPACE, workers=0, storage=database), source, tmp_path)
    with ThreadPoolExecutor(3) as pool:
        search = pool.submit(run_search, spec, lambda _: None)
        workers = [pool.submit(join_search, spec) for _ in range(2)]
        trials = search.result(60).trials
        assert sum(worker.result(60) for worker in workers) == 6
    delete_search_state(spec)
    assert trial_records(trials) == trial_records(
        run_search_to_end(make_search_params(SPACE), source, tmp_path)
    )


def test_concurrent_processes_can_open_an_empty_database(
    postgres_programs: Path, source: FoldSource, tmp_path: Path
) -> None:
    with running_postgres(postgres_programs) as empty, ThreadPoolExecutor(8) as pool:
        params = make_search_params(SPACE, storage=empty)
        assignment = make_search_spec(params, source, tmp_path).create_worker_assignment()
        spaces = candidate_spaces(params)
        queues = [pool.submit(assignment.open_queue, spaces, create=True) for _ in range(8)]
        assert len({id(queue.result(60)) for queue in queues}) == 8


def test_killed_worker_and_killed_search_lose_no_trials(
    database: str, source: FoldSource, tmp_path: Path
) -> None:
    params = make_search_params(SPACE, storage=database)
    first = start_search_process(params, source, tmp_path)
    assert first.stdout
    first.stdout.readline()
    first.kill()
    first.wait()
    killed_pids: list[int | None] = []
    reported: list[Trial] = []

    def kill_first_worker(report: TaskReport) -> None:
        reported.extend(report.trials)
        if not killed_pids and live_workers():
            worker = live_workers()[0]
            worker.kill()
            killed_pids.append(worker.pid)

    spec = make_search_spec(params, source, tmp_path)
    trials = run_search(spec, kill_first_worker).trials
    delete_search_state(spec)
    assert trial_records(trials) == trial_records(
        run_search_to_end(make_search_params(SPACE), source, tmp_path)
    )
    assert len(reported) == len({str((trial.algorithm, trial.parameters)) for trial in reported})


def test_unreachable_database_error_names_the_parameter(source: FoldSource, tmp_path: Path) -> None:
    params = make_search_params(SPACE, storage="postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(TrackingError, match=r"search\.storage cannot be reached: .*[Cc]onnection refused"):
        run_search_to_end(params, source, tmp_path)


def test_database_of_unknown_type_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"search\.storage cannot be used: .*postgres$"):
        open_storage("postgres://host/database", tmp_path / "search.journal")
