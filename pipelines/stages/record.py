"""Write the outcome of this pipeline run to MLflow: who won and why, test errors, version, Bento.

A stage of its own, at the end: the stages before it are skipped where nothing changed for them,
and the run of a search whose winner is the old one would have no figures to compare.
"""

import hashlib

from experiments.config.offline import Params
from experiments.evaluation.candidate_metrics import BEYOND
from experiments.search.trials import Trial
from experiments.selection.rule import choose
from experiments.selection.search_results import OF_LISTS, Findings
from experiments.tracking.registry import find_version
from experiments.tracking.runs import Tracker
from marquee.files.atomic_write import write_json
from pipelines.commands.report import write_report
from pipelines.support.evaluation_results import champion_score, scores
from pipelines.support.paths import (
    BENTO,
    CHOICE,
    EVALUATION,
    MEASURED_COSTS,
    PACKAGED,
    RECORDED,
    REGISTERED,
    REPORT,
)
from pipelines.support.provenance import code_tags, data_version, search_key
from pipelines.support.stage_results import last_findings, remembered
from pipelines.support.stage_runner import read_json, run
from pipelines.support.tracked_searches import search_run

OUTCOME = (CHOICE, EVALUATION, REGISTERED, BENTO)


def record(params: Params) -> None:
    """Write results/recorded.json, the report, and the headline of this pipeline's run."""
    tracker = Tracker(params.search.experiment)
    outcome = hashlib.sha256(b"".join(path.read_bytes() for path in OUTCOME)).hexdigest()[:16]
    run_id = tracker.run_of(search_run(tracker), outcome, data_version(), code_tags())
    findings = last_findings(params)
    winner = findings.by_number[read_json(CHOICE)["trial"]]
    tracker.log(run_id, metrics=_metrics(winner, findings), tags=_tags(params, findings, winner))
    tracker.log_json(run_id, remembered(params, MEASURED_COSTS), MEASURED_COSTS)
    curves = {f"epoch_{findings.metric}/{one.algorithm}": one.curve for one in findings.leaders if one.curve}
    tracker.log_curves(run_id, curves)
    for path in write_report(params, findings, winner):
        tracker.log_file(run_id, path, "report" if path == REPORT else "figures")
    digest = read_json(REGISTERED)["digest"]
    write_json(RECORDED, {"search_key": search_key(), "outcome": outcome, "model_digest": digest})


def _metrics(winner: Trial, findings: Findings) -> dict[str, float]:
    """The winner's figures in cross-validation and on the test part, beside baselines and champion."""
    metrics = winner.metrics()
    measured = findings.measured.get(winner.number)
    if measured is not None and measured.folds:
        metrics |= {f"{name}_at_{findings.n}": measured.mean(name) for name in OF_LISTS}
        metrics |= {name: measured.mean(name) for name in BEYOND}
    for name, score in scores().items():
        prefix = "test" if name == "winner" else f"test_{name}"
        metrics |= {f"{prefix}_{metric}": value for metric, value in score.items() if metric != "algorithm"}
    champion = champion_score()
    metrics |= {f"test_champion_{name}": value for name, value in champion.items() if name != "version"}
    for metric in ("rmse", "ndcg"):
        if metric in champion:
            metrics[f"test_{metric}_minus_champion"] = metrics[f"test_{metric}"] - champion[metric]
    return metrics


def _tags(params: Params, findings: Findings, winner: Trial) -> dict[str, str]:
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
        tags["over_budget"] = "; ".join(map(str, choose(findings, params.select).over_budget))
    if champion := champion_score():
        tags["champion_version"] = str(champion["version"])
    return {name: value for name, value in tags.items() if value}


if __name__ == "__main__":
    run(record, "record")
