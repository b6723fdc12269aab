"""Write the outcome of this pipeline run to MLflow: who won and why, test errors, version, Bento.

A stage of its own, at the end: the stages before it are skipped where nothing changed for them,
and the run of a search whose winner is the old one would have no figures to compare.
"""

import hashlib

from experiments.config import Params
from experiments.findings import OF_LISTS, Findings
from experiments.measures import BEYOND
from experiments.registry import find_version
from experiments.selection import choose
from experiments.tracking import Tracker
from experiments.trials import Trial
from marquee.atomic_write import write_json
from pipelines.evaluated import champion_score, scores
from pipelines.found import last_findings, remembered
from pipelines.paths import BENTO, CHOICE, EVALUATION, MEASURED_COSTS, PACKAGED, RECORDED, REGISTERED, REPORT
from pipelines.provenance import code_tags, data_version, search_key
from pipelines.report import write_report
from pipelines.searches import search_run
from pipelines.stage import read_json, run

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
