"""Write the outcome of this pipeline run to MLflow: who won and why, test errors, version, Bento.

A stage of its own, at the end: the stages before it are skipped where nothing changed for them,
and the run of a search whose winner is the old one would have no figures to compare.
"""

import hashlib

from experiments.config import Params
from experiments.figures import accuracy_against_time
from experiments.registry import find_version
from experiments.selection import choose
from experiments.tracking import Tracker
from experiments.trials import Trial
from pipelines.leaderboard import last_trials
from pipelines.paths import BENTO, CHAMPION, CHOICE, EVALUATION, PACKAGED, RECORDED, REGISTERED
from pipelines.provenance import code_tags, data_version, search_key
from pipelines.searches import search_run
from pipelines.stage import read_json, run, write_json

OUTCOME = (CHOICE, EVALUATION, REGISTERED, BENTO)


def record(params: Params) -> None:
    """Write results/recorded.json and the headline of this pipeline's run."""
    tracker = Tracker(params.search.experiment)
    outcome = hashlib.sha256(b"".join(path.read_bytes() for path in OUTCOME)).hexdigest()[:16]
    run_id = tracker.run_of(search_run(tracker), outcome, data_version(), code_tags())
    trials, choice = last_trials(params), read_json(CHOICE)
    winner = next(trial for trial in trials if trial.number == choice["trial"])
    tracker.log(run_id, metrics=_metrics(winner), tags=_tags(params, trials, winner))
    if winner.cost is not None:
        figure = accuracy_against_time(trials, params.select.metric, winner)
        tracker.log_figure(run_id, figure, "accuracy_time.png")
    digest = read_json(REGISTERED)["digest"]
    write_json(RECORDED, {"search_key": search_key(), "outcome": outcome, "model_digest": digest})


def _metrics(winner: Trial) -> dict[str, float]:
    """The winner's figures in cross-validation and on the test part, beside baselines and champion."""
    metrics = winner.metrics()
    for name, score in read_json(EVALUATION).items():
        prefix = "test" if name == "winner" else f"test_{name}"
        metrics |= {f"{prefix}_{metric}": score[metric] for metric in ("rmse", "mae", "impossible")}
    return metrics | {
        f"test_champion_{name}": value for name, value in _champion().items() if name != "version"
    }


def _champion() -> dict[str, float]:
    """How the champion's recipe did in the very evaluation that lies here; empty if it was another."""
    told = read_json(CHAMPION) if CHAMPION.exists() else {}
    if told.pop("evaluation", None) != hashlib.sha256(EVALUATION.read_bytes()).hexdigest():
        return {}
    return told


def _tags(params: Params, trials: list[Trial], winner: Trial) -> dict[str, str]:
    registered = read_json(REGISTERED)
    version = find_version(registered["model"], registered["digest"])
    tags = {
        "choice": winner.label,
        "choice_reason": read_json(CHOICE)["reason"],
        "model_digest": registered["digest"],
        "model_version": f"{registered['model']} {version.version if version else '?'}",
        "bento": read_json(PACKAGED)["tag"],
    }
    if winner.cost is not None:
        tags["over_budget"] = "; ".join(choose(trials, params.select).over_budget)
    if champion := _champion():
        tags["champion_version"] = str(champion["version"])
    return {name: value for name, value in tags.items() if value}


if __name__ == "__main__":
    run(record, "record")
