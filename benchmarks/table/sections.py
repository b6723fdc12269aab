"""Sections of the benchmark; each function runs one section and yields its results as they arrive."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from statistics import mean, pstdev
from tempfile import TemporaryDirectory

from benchmarks.fold_tables import N_FOLDS
from benchmarks.machine import available_cores
from benchmarks.process_jobs import Job
from benchmarks.table.compared_algorithms import (
    ACCURATE_MODELS,
    FIVE_FOLDS_SPEEDUP,
    MAX_COMPILE_SECONDS,
    MAX_PUBLISHED_SECONDS,
    SEEDED,
    SVD_FIT_SPEEDUP,
    ModelSpec,
    PeerSpec,
    TwinSpec,
)
from benchmarks.table.comparisons import Comparison, Measure, Target
from benchmarks.table.paired_runs import (
    PHASES,
    REPEATS,
    SURPRISE_COMMAND,
    PairedRuns,
    RunSeries,
    RunSettings,
    run_in_one_process,
    run_in_turn,
)

PEER_MODULE = ("-m", "benchmarks.table.peer_job")


def compare_twin(
    settings: RunSettings, twin: TwinSpec, surprise: RunSeries | None = None
) -> Iterator[Comparison]:
    """Compare an algorithm of Surprise with its twin: accuracy, time, memory, and difference of predictions.

    Args:
        settings: settings of all measurements.
        twin: algorithm to compare.
        surprise: runs of Surprise, if they are already done.
    """
    job = Job("fold", settings.folder, "marquee", twin.class_name, twin.parameters, cores=available_cores(2))
    pair = PairedRuns(twin.title, *_run_with_surprise(settings, job, surprise))
    yield from pair.compare_accuracy()
    for measure in PHASES:
        yield pair.compare_seconds(measure, twin.speedup if measure == Measure.END_TO_END else None)
    yield from pair.compare_memory(twin.memory)
    yield pair.compare_waiting()
    if twin.difference is not None:
        yield from pair.compare_predictions(twin.difference)


def run_surprise_in_parallel(settings: RunSettings, twins: list[TwinSpec]) -> dict[str, RunSeries]:
    """Run Surprise's algorithms, one per core at a time; return the runs by title."""
    series = {twin.title: RunSeries() for twin in twins}
    free_cores: SimpleQueue[tuple[int, ...]] = SimpleQueue()
    for core in available_cores(2):
        free_cores.put((core,))
    if free_cores.empty():  # the system cannot list its cores
        free_cores.put(())

    def run(twin: TwinSpec) -> None:
        cores = free_cores.get()
        job = Job("fold", settings.folder, "surprise", twin.class_name, twin.parameters, cores=cores)
        series[twin.title].run(job, SURPRISE_COMMAND)
        free_cores.put(cores)
        settings.report_progress(f"  Surprise's {twin.title} finished")

    with ThreadPoolExecutor(free_cores.qsize()) as pool:
        list(pool.map(run, twins))
    return series


def compare_svd_fit(settings: RunSettings, surprise: RunSeries | None = None) -> Iterator[Comparison]:
    """Compare the time to fit SVD on one thread."""
    job = Job("fold", settings.folder, "marquee", "SVD", SEEDED, cores=available_cores(1))
    pair = PairedRuns("SVD, float64, one thread", *_run_with_surprise(settings, job, surprise))
    yield pair.compare_seconds(Measure.FIT, SVD_FIT_SPEEDUP)


def compare_five_folds(settings: RunSettings) -> Iterator[Comparison]:
    """Compare SVD on five folds with Surprise's `cross_validate`, with n_jobs=1 (its default) and 2."""
    job = Job("folds", settings.folder, "marquee", "SVD", SEEDED, cores=available_cores(2))
    surprise_job = replace(job, library="surprise")
    ours, surprise = run_in_turn(replace(settings, n_folds=1), job, surprise_job)
    yield PairedRuns("SVD, 5 folds", ours, surprise).compare_seconds(Measure.END_TO_END, FIVE_FOLDS_SPEEDUP)
    parallel = RunSeries()
    parallel.run(replace(surprise_job, parameters={**SEEDED, "n_jobs": 2}), SURPRISE_COMMAND)
    yield PairedRuns("SVD, 5 folds, Surprise's n_jobs=2", ours, parallel).compare_seconds(Measure.END_TO_END)


def measure_published_algorithms(settings: RunSettings) -> Iterator[Comparison]:
    """Measure all published algorithms on five folds, without a peer: total seconds, errors of each."""
    series = RunSeries()
    for _ in range(1 if settings.quick else REPEATS):
        series.run(Job("published", settings.folder, cores=available_cores(2)))
    runs = _without_peer("all published algorithms, 5 folds", series)
    yield runs.compare_seconds(Measure.END_TO_END, MAX_PUBLISHED_SECONDS)
    for title, errors in (series.results[0]["errors"] if series.results else {}).items():
        yield _fold_errors(title, Measure.FOLDS_RMSE, errors["rmse"])
        yield _fold_errors(title, Measure.FOLDS_MAE, errors["mae"])


def measure_accurate_models(settings: RunSettings) -> Iterator[Comparison]:
    """Measure the models that are more accurate than the twins, on five folds."""
    for model in ACCURATE_MODELS:
        yield from _measure_model(settings, model)


def _measure_model(settings: RunSettings, model: ModelSpec) -> Iterator[Comparison]:
    job = Job(
        "fold", settings.folder, "marquee", model.class_name, model.parameters, cores=available_cores(2)
    )
    series = RunSeries()
    for fold in range(N_FOLDS):
        series.run(replace(job, fold=fold))
    if series.results:
        yield _fold_errors(model.title, Measure.FOLDS_RMSE, series.values("rmse"), model.rmse)
        yield _fold_errors(model.title, Measure.FOLDS_MAE, series.values("mae"))
    runs = _without_peer(model.title, series)
    yield replace(runs.compare_seconds(Measure.FIT), measure=Measure.FOLDS_FIT)
    yield replace(runs.compare_seconds(Measure.PREDICT), measure=Measure.FOLDS_PREDICT)


def measure_compilation(settings: RunSettings) -> Iterator[Comparison]:
    """Measure the time to compile the kernels of the twins with an empty cache."""
    series = RunSeries()
    with TemporaryDirectory() as empty:
        series.run(Job("compile", settings.folder, cores=available_cores(1)), NUMBA_CACHE_DIR=empty)
    runs = _without_peer("compiling everything", series)
    yield runs.compare_seconds(Measure.END_TO_END, MAX_COMPILE_SECONDS)


def compare_peer(settings: RunSettings, peer: PeerSpec) -> Iterator[Comparison]:
    """Compare an algorithm of another library with Marquee's most similar algorithm."""
    our_job = Job(
        peer.task, settings.folder, "marquee", peer.marquee_class, peer.marquee_parameters,
        cores=available_cores(peer.n_cores),
    )  # fmt: skip
    peer_job = replace(our_job, library=peer.library, algorithm=peer.algorithm, parameters=peer.parameters)
    command = (settings.peers_python, *PEER_MODULE)
    pair = PairedRuns(
        peer.title, *run_in_turn(replace(settings, n_folds=1), our_job, peer_job, command), peer.library
    )
    if peer.task == "top_n":
        yield pair.compare_seconds(Measure.PREDICT)
        return
    yield from pair.compare_accuracy()
    for measure in PHASES:
        yield pair.compare_seconds(measure, peer.fit_speedup if measure == Measure.FIT else None)
    yield from pair.compare_memory()
    yield pair.compare_waiting()


def find_peers_problem(python: str) -> str | None:
    """Return an error message if the environment of the peers is missing, otherwise None."""
    if Path(python).exists():
        return None
    return f"{python} not found; run `make .venv-peers`, or choose an environment with --peers-python"


def _run_with_surprise(
    settings: RunSettings, job: Job, surprise: RunSeries | None
) -> tuple[RunSeries, RunSeries]:
    if surprise is not None:
        return run_in_one_process(job), surprise
    return run_in_turn(settings, job, replace(job, library="surprise"))


def _without_peer(subject: str, series: RunSeries) -> PairedRuns:
    return PairedRuns(subject, series, RunSeries(), library=None)


def _fold_errors(
    title: str, measure: Measure, errors: list[float], target: Target | None = None
) -> Comparison:
    """Return the mean of an error over the folds, with its standard deviation as the spread."""
    return Comparison(
        title, measure, mean(errors), None, "stars", len(errors), library=None, our_spread=pstdev(errors),
        target=target,
    )  # fmt: skip
