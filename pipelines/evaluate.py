"""Score the fitted winner once on the test part, beside the baselines and the current champion.

The champion takes part by its algorithm and parameters, fitted on this training part.
"""

from collections.abc import Mapping

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table

from experiments.config import Params
from experiments.evaluation import TestScore, score_candidate, score_fitted
from experiments.registry import ModelVersion, champion
from experiments.tracking import Tracker
from marquee.algorithms.state import load_state
from marquee.algorithms.trainset import testset_of, trainset_of
from marquee.ratings import CodedRatings
from marquee.seeds import seed_for
from pipelines.paths import EVALUATION, FIT, TEST, TRAIN
from pipelines.provenance import rating_scale, search_run
from pipelines.screen import screen
from pipelines.stage import run, write_json

BASELINES = ("baseline_only", "normal_predictor")


def evaluate(params: Params) -> None:
    """Write results/evaluation.json, and the same figures to the search's run."""
    trainset = trainset_of(CodedRatings.from_frame(pd.read_parquet(TRAIN)), rating_scale())
    testset = testset_of(pd.read_parquet(TEST))
    algorithm, head = load_state(FIT, trainset)
    scores = {"winner": score_fitted(algorithm, head["algorithm"], testset)}
    for name in BASELINES:
        scores[name] = score_candidate(name, {}, seed_for(params.seed, "fit", name), trainset, testset)
    write_json(EVALUATION, {name: score.record() for name, score in scores.items()})
    current = champion(params.register_.model)
    if current is not None:
        seed = seed_for(params.seed, "fit", current.algorithm)
        same = (current.algorithm, current.parameters) == (head["algorithm"], head["parameters"])
        # The champion's own arrays would not do: this test part may hold ratings they were trained on.
        scores["champion"] = (
            scores["winner"]
            if same
            else score_candidate(current.algorithm, current.parameters, seed, trainset, testset)
        )
    _remember(params, scores, current)
    screen().print(_table(scores, current))


def _remember(params: Params, scores: Mapping[str, TestScore], current: ModelVersion | None) -> None:
    tracker = Tracker(params.search.experiment)
    metrics: dict[str, float] = {}
    for name, score in scores.items():
        prefix = "test" if name == "winner" else f"test_{name}"
        metrics |= {f"{prefix}_rmse": score.rmse, f"{prefix}_mae": score.mae}
    metrics["test_impossible_share"] = scores["winner"].impossible
    tags = {"champion_version": str(current.version)} if current else {}
    tracker.log(search_run(tracker), metrics=metrics, tags=tags)


def _table(scores: Mapping[str, TestScore], current: ModelVersion | None) -> Table:
    table = Table(title="On the test part, seen once", title_justify="left", box=SIMPLE_HEAD)
    for column in ("model", "RMSE", "MAE"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for name, score in scores.items():
        role = f"champion v{current.version}, refitted here" if name == "champion" and current else name
        label = f"{score.title} ({role})" if name in {"winner", "champion"} else score.title
        table.add_row(label, f"{score.rmse:.4f}", f"{score.mae:.4f}")
    return table


if __name__ == "__main__":
    run(evaluate, "evaluate")
