"""What is measured: each function runs one part of the table and gives its rows as they come."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from statistics import mean, pstdev
from tempfile import TemporaryDirectory

from benchmarks.folds import FOLDS
from benchmarks.measure import Job, cores
from benchmarks.table import contenders as those
from benchmarks.table.contenders import Contest, Twin
from benchmarks.table.duels import LAPS, REPEATS, SURPRISE, Duel, Settings, Side, fight, quickly
from benchmarks.table.rows import END_TO_END, FIT, FOLDS_FIT, FOLDS_PREDICT, PREDICT, Row, Target

PEERS = ("-m", "benchmarks.peers")


def twin(settings: Settings, algorithm: Twin, ahead: Side | None = None) -> Iterator[Row]:
    """Everything that one algorithm costs in both libraries, and how well it predicts."""
    job = Job("fold", settings.folder, "marquee", algorithm.name, algorithm.parameters, cores=cores(2))
    sides = (quickly(job), ahead) if ahead else fight(settings, job, replace(job, library="surprise"))
    duel = Duel(algorithm.title, *sides)
    yield from duel.accuracy()
    for measure in LAPS:
        yield duel.timed(measure, algorithm.speed if measure == END_TO_END else None)
    yield from duel.memory(algorithm.memory)
    yield duel.waiting()
    if algorithm.parity is not None:
        yield from duel.differences(algorithm.parity)


def surprise_ahead(settings: Settings, algorithms: list[Twin]) -> dict[str, Side]:
    """Surprise on all of these, as many at a time as there are cores: it uses one each."""
    sides = {algorithm.title: Side() for algorithm in algorithms}
    free: SimpleQueue[tuple[int, ...]] = SimpleQueue()
    for core in cores(2):
        free.put((core,))
    if free.empty():
        free.put(())

    def run(algorithm: Twin) -> None:
        core = free.get()
        job = Job("fold", settings.folder, "surprise", algorithm.name, algorithm.parameters, cores=core)
        sides[algorithm.title].run(job, SURPRISE)
        free.put(core)
        settings.say(f"  Surprise's {algorithm.title} done")

    with ThreadPoolExecutor(free.qsize()) as pool:
        list(pool.map(run, algorithms))
    return sides


def fit_alone(settings: Settings, ahead: Side | None = None) -> Iterator[Row]:
    """SVD's fit on one thread."""
    job = Job("fold", settings.folder, "marquee", "SVD", those.SEEDED, cores=cores(1))
    sides = (quickly(job), ahead) if ahead else fight(settings, job, replace(job, library="surprise"))
    yield Duel("SVD, float64, one thread", *sides).timed(FIT, those.FIT_ALONE)


def five_folds(settings: Settings) -> Iterator[Row]:
    """SVD on five folds end to end, against `cross_validate` with its default n_jobs=1, and with 2."""
    job = Job("folds", settings.folder, "marquee", "SVD", those.SEEDED, cores=cores(2))
    ours, peer = fight(replace(settings, folds=1), job, replace(job, library="surprise"))
    yield Duel("SVD, 5 folds", ours, peer).timed(END_TO_END, those.FIVE_FOLDS)
    parallel = Side()
    parallel.run(replace(job, library="surprise", parameters={**those.SEEDED, "n_jobs": 2}), SURPRISE)
    yield Duel("SVD, 5 folds, Surprise's n_jobs=2", ours, parallel).timed(END_TO_END)


def whole_table(settings: Settings) -> Iterator[Row]:
    """The talk's whole table on five folds, ours alone, and the errors that it shows."""
    ours = Side()
    for _ in range(1 if settings.quick else REPEATS):
        ours.run(Job("whole", settings.folder, cores=cores(2)))
    yield Duel("the talk's whole table, 5 folds", ours, Side(), "").timed(END_TO_END, those.WHOLE_TABLE)
    for title, errors in (ours.results[0]["table"] if ours.results else {}).items():
        for key in ("rmse", "mae"):
            yield _of_five(title, key, errors[key])


def further(settings: Settings) -> Iterator[Row]:
    """Models past the talk's table on five folds: their errors and what they cost."""
    for model in those.FURTHER:
        job = Job("fold", settings.folder, "marquee", model.name, model.parameters, cores=cores(2))
        side = Side()
        for number in range(FOLDS):
            side.run(replace(job, fold=number))
        for key, aim in (("rmse", model.error), ("mae", None)):
            values = side.figures(key)
            if values:
                yield _of_five(model.title, key, values, aim)
        for measure, name in ((FIT, FOLDS_FIT), (PREDICT, FOLDS_PREDICT)):
            timed = Duel(model.title, side, Side(), "").timed(measure)
            yield replace(timed, measure=name)


def _of_five(title: str, key: str, values: list[float], target: Target | None = None) -> Row:
    """An error as its mean over five folds, and its standard deviation."""
    return Row(
        title, f"{key.upper()}, 5 folds", mean(values), None, "stars", len(values), "", pstdev(values),
        target=target,
    )  # fmt: skip


def compiling(settings: Settings) -> Iterator[Row]:
    """How long all kernels take to compile where there is no cache."""
    ours = Side()
    with TemporaryDirectory() as empty:
        ours.run(Job("compile", settings.folder, cores=cores(1)), NUMBA_CACHE_DIR=empty)
    yield Duel("compiling everything", ours, Side(), "").timed(END_TO_END, those.COMPILE)


def contest(settings: Settings, asked: Contest) -> Iterator[Row]:
    """A peer's algorithm and the nearest of ours."""
    job = Job(
        asked.task, settings.folder, "marquee", asked.ours, asked.our_parameters, cores=cores(asked.cores)
    )
    theirs = replace(job, library=asked.library, algorithm=asked.algorithm, parameters=asked.parameters)
    sides = fight(replace(settings, folds=1), job, theirs, (settings.peers_python, *PEERS))
    duel = Duel(asked.title, *sides, asked.library)
    if asked.task == "top_n":
        yield duel.timed(PREDICT)
        return
    yield from duel.accuracy()
    for measure in LAPS:
        yield duel.timed(measure, asked.fit if measure == FIT else None)
    yield from duel.memory()
    yield duel.waiting()


def peers_missing(python: str) -> str | None:
    """What is wrong with the peers' environment, in a line; None: nothing."""
    if Path(python).exists():
        return None
    return f"there is no {python}: run `make peers`, or name an environment with --peers-python"
