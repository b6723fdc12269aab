"""A search by a database: workers of several machines share it, and a killed one costs nothing."""

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from experiments.evaluation.cross_validation import FoldSource
from experiments.search.run import Asking, forget_search, run_search
from experiments.search.space import axes_of_all
from experiments.search.training_queue import StudiesMissing
from experiments.search.trials import Trial
from experiments.search.worker import work
from marquee.errors import TrackingError
from tests.support.postgres import postgres, programs
from tests.support.searches import asking_of, begin, records, run, search_of

pytestmark = pytest.mark.database
SPACE = {"svd": {"n_factors": [2, 3, 4, 5, 6], "n_epochs": [3, 30]}, "slope_one": {}}


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    found = programs()
    if found is None:
        pytest.skip("there is no PostgreSQL: apt-get install postgresql, or set MARQUEE_TEST_POSTGRES")
    with postgres(found) as address:
        yield address


def test_a_database_gives_what_a_journal_gives(database: str, source: FoldSource, tmp_path: Path) -> None:
    search = search_of(SPACE)
    by_database = run(search.model_copy(update={"storage": database}), source, tmp_path)
    assert records(by_database) == records(run(search, source, tmp_path))


def test_workers_join_a_search_that_has_none_of_its_own(
    database: str, source: FoldSource, tmp_path: Path
) -> None:
    search = search_of(SPACE, workers=0, storage=database)
    asking = asking_of(search, source, tmp_path)
    with ThreadPoolExecutor(3) as pool:
        searching = pool.submit(run_search, asking, lambda *_: None)
        joined = [pool.submit(_join, asking) for _ in range(2)]
        trials = searching.result(60)
        assert sum(worker.result(60) for worker in joined) == 6
    forget_search(asking)
    assert records(trials) == records(run(search_of(SPACE), source, tmp_path))


def test_whoever_comes_at_once_to_an_empty_database_finds_or_makes_its_tables(
    source: FoldSource, tmp_path: Path
) -> None:
    found = programs()
    if found is None:
        pytest.skip("there is no PostgreSQL: apt-get install postgresql, or set MARQUEE_TEST_POSTGRES")
    with postgres(found) as empty, ThreadPoolExecutor(8) as pool:
        search = search_of(SPACE, storage=empty)
        assignment = asking_of(search, source, tmp_path).assignment()
        axes = axes_of_all(search)
        opened = [pool.submit(assignment.studies, axes, seed, create=True) for seed in range(8)]
        assert len({id(one.result(60)) for one in opened}) == 8


def _join(asking: Asking) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            return work(asking.assignment(), leave=lambda: False)
        except StudiesMissing:
            time.sleep(0.1)
    raise TimeoutError("the search never began")


def test_a_killed_worker_and_a_killed_search_lose_nothing(
    database: str, source: FoldSource, tmp_path: Path
) -> None:
    search = search_of(SPACE, storage=database)
    first = begin(search, source, tmp_path)
    assert first.stdout
    first.stdout.readline()
    first.kill()
    first.wait()
    killed: list[int | None] = []
    told: list[Trial] = []

    def kill_one(trials: list[Trial], *_: object) -> None:
        told.extend(trials)
        if not killed and multiprocessing.active_children():
            multiprocessing.active_children()[0].kill()
            killed.append(1)

    asking = asking_of(search, source, tmp_path)
    trials = run_search(asking, kill_one)
    forget_search(asking)
    assert records(trials) == records(run(search_of(SPACE), source, tmp_path))
    assert len(told) == len({str((trial.algorithm, trial.parameters)) for trial in told})


def test_a_database_that_is_not_there_is_one_line(source: FoldSource, tmp_path: Path) -> None:
    search = search_of(SPACE, storage="postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(TrackingError, match=r"search\.storage cannot be reached: .*[Cc]onnection refused"):
        run(search, source, tmp_path)
