"""The search: Optuna says which parameters to try, a pool of processes says how good they are."""

import itertools
import multiprocessing
import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import optuna

from experiments.config import Range, Search, Space
from experiments.crossval import FoldSource, Task, score_task, start_worker
from experiments.trials import FoldScore, Trial, cost_of
from marquee.algorithms.catalogue import candidate
from marquee.errors import ConfigError, MarqueeError
from marquee.seeds import seed_for

Suggestion = tuple[optuna.Study, optuna.trial.Trial, Trial]
OnFold = Callable[[Task], None]
OnTrial = Callable[[Trial], None]

optuna.logging.set_verbosity(optuna.logging.WARNING)


def check_candidates(search: Search) -> None:
    """Refuse what the catalogue does not have, and what RMSE cannot judge, before any work is done.

    Raises:
        ConfigError: names the candidate or the parameter.
    """
    for name, space in search.candidates.items():
        candidate(name).check(space)
        if candidate(name).factory.ranks:
            raise ConfigError(
                f"search.candidates.{name}: {candidate(name).title} ranks items and predicts no rating, so "
                "that no RMSE could judge it: remove it"
            )


def plan(search: Search, seed: int) -> list[Suggestion]:
    """Every trial of the search, in the order of params.yaml: one study a candidate.

    Grid and random sampling look at no result, so all can be asked for at once, and the trials are
    the same whatever the number of workers.
    """
    check_candidates(search)
    suggestions: list[Suggestion] = []
    for name, space in search.candidates.items():
        for study, asked, parameters in _suggest(search, name, space, seed_for(seed, "sampler", name)):
            suggestions.append((study, asked, Trial(len(suggestions), name, parameters)))
    return suggestions


def run_search(
    search: Search, source: FoldSource, seed: int, *, metric: str, on_fold: OnFold, on_trial: OnTrial
) -> list[Trial]:
    """Score every planned trial on every fold.

    A trial that fails is kept with its reason; the others go on.

    Raises:
        MarqueeError: every trial failed.
    """
    suggestions = plan(search, seed)
    finished: dict[int, Trial] = {}
    scores: dict[int, dict[int, FoldScore | str]] = {trial.number: {} for _, _, trial in suggestions}
    with _workers(search.workers, source) as pool:
        pending = _submit(pool, suggestions, source.n_folds, seed)
        for future in as_completed(pending):
            task = pending[future]
            scores[task.trial][task.fold] = future.result()
            on_fold(task)
            if len(scores[task.trial]) == source.n_folds:
                trial = _finish(suggestions[task.trial], scores.pop(task.trial), metric)
                finished[trial.number] = trial
                on_trial(trial)
    trials = [finished[number] for number in sorted(finished)]
    _refuse_all_failed(trials)
    return trials


def _suggest(
    search: Search, name: str, space: Space, seed: int
) -> Iterator[tuple[optuna.Study, optuna.trial.Trial, dict[str, object]]]:
    """Parameters of one candidate's trials. An empty space is a grid of one point."""
    if search.sampler == "defaults":
        space = {}
    study = optuna.create_study(
        study_name=name, sampler=optuna.samplers.RandomSampler(seed=seed), direction="minimize"
    )
    n_trials = search.n_trials
    if not any(isinstance(values, Range) for values in space.values()):
        points = _grid(space)
        if search.sampler == "random" and n_trials < len(points):
            points = random.Random(seed).sample(points, n_trials)  # without replacement: no point twice
        for point in points:
            study.enqueue_trial(point)
        n_trials = len(points)
    for _ in range(n_trials):
        asked = study.ask()
        yield study, asked, {key: _value(asked, key, values) for key, values in space.items()}


def _grid(space: Space) -> list[dict[str, object]]:
    """Every point of a space of lists.

    Queued for Optuna rather than drawn by its `GridSampler`, which chooses points by what other
    workers visited and ends its study from within; `ask` and `tell` do not allow that. A queue is
    complete by construction.
    """
    lists = {key: values for key, values in space.items() if isinstance(values, list)}
    return [dict(zip(lists, point, strict=True)) for point in itertools.product(*lists.values())]


def _value(
    asked: optuna.trial.Trial, key: str, choices: list[bool | int | float | str | None] | Range
) -> object:
    if isinstance(choices, list):
        return asked.suggest_categorical(key, choices)
    if isinstance(choices.low, int) and isinstance(choices.high, int):
        return asked.suggest_int(key, choices.low, choices.high, log=choices.log)
    return asked.suggest_float(key, choices.low, choices.high, log=choices.log)


@contextmanager
def _workers(n_workers: int, source: FoldSource) -> Iterator[ProcessPoolExecutor]:
    """Worker processes that end with the search, whatever ends it.

    Raises:
        MarqueeError: a worker was killed from outside.
    """
    context = multiprocessing.get_context("spawn")  # a fork would copy threads and locks of MLflow
    pool = ProcessPoolExecutor(n_workers, mp_context=context, initializer=start_worker, initargs=(source,))
    try:
        yield pool
    except BaseException as error:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in multiprocessing.active_children():  # nobody waits for a fit of minutes
            worker.terminate()
        if isinstance(error, BrokenProcessPool):
            raise MarqueeError(
                "a worker process was killed, perhaps for want of memory: set search.workers lower"
            ) from error
        raise
    else:
        pool.shutdown()


def _submit(
    pool: ProcessPoolExecutor, suggestions: list[Suggestion], n_folds: int, seed: int
) -> dict[Future[FoldScore | str], Task]:
    """All tasks, fold by fold within a trial. A fold's seed is shared by all trials of an algorithm."""
    tasks = [
        Task(
            trial.number,
            trial.algorithm,
            trial.parameters,
            fold,
            seed_for(seed, "search", trial.algorithm, fold),
        )
        for _, _, trial in suggestions
        for fold in range(n_folds)
    ]
    return {pool.submit(score_task, task): task for task in tasks}


def _finish(suggestion: Suggestion, scores: dict[int, FoldScore | str], metric: str) -> Trial:
    """The trial with its scores, told to its study."""
    study, asked, planned = suggestion
    reasons = [score for _, score in sorted(scores.items()) if isinstance(score, str)]
    folds = tuple(score for _, score in sorted(scores.items()) if isinstance(score, FoldScore))
    if reasons:
        trial = Trial(planned.number, planned.algorithm, planned.parameters, failure=reasons[0])
    else:
        trial = Trial(planned.number, planned.algorithm, planned.parameters, folds, cost=cost_of(folds))
    state = optuna.trial.TrialState.FAIL if reasons else optuna.trial.TrialState.COMPLETE
    study.tell(asked, None if reasons else trial.mean(metric), state=state)
    return trial


def _refuse_all_failed(trials: list[Trial]) -> None:
    if all(trial.failure for trial in trials):
        first = trials[0]
        raise MarqueeError(
            f"all {len(trials)} trials failed; the first, {first.label}: {first.failure}; "
            f"see search.candidates in params.yaml"
        )
