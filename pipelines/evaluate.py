"""Score the fitted winner once on the test part, beside the baselines and the current champion.

The champion takes part by its algorithm and parameters, fitted on this training part: its own
arrays would not do, for this test part may hold ratings that they were trained on.
"""

import hashlib
from collections.abc import Mapping

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table

from experiments.config import Params
from experiments.evaluation import TestScore, score_candidate, score_fitted
from experiments.registry import ModelVersion, champion
from marquee.algorithms.scoring import Pairs, pairs_of
from marquee.algorithms.state import load_state
from marquee.algorithms.trainset import Trainset, trainset_of
from marquee.errors import MarqueeError
from marquee.seeds import seed_for
from pipelines.paths import CHAMPION, EVALUATION, FIT, TEST, TRAIN
from pipelines.provenance import rating_scale
from pipelines.screen import screen
from pipelines.stage import run, write_json

BASELINES = ("baseline_only", "normal_predictor")


def evaluate(params: Params) -> None:
    """Write results/evaluation.json; and, for this clone alone, how the champion's recipe did."""
    trainset = trainset_of(pd.read_parquet(TRAIN), rating_scale())
    pairs = pairs_of(pd.read_parquet(TEST), trainset.matrix)
    algorithm, head = load_state(FIT, trainset)
    scores = {"winner": score_fitted(algorithm, head["algorithm"], pairs)}
    for name in BASELINES:
        scores[name] = score_candidate(name, {}, seed_for(params.seed, "fit", name), trainset, pairs)
    write_json(EVALUATION, {name: score.record() for name, score in scores.items()})
    current = champion(params.register_.model)
    CHAMPION.unlink(missing_ok=True)
    if current is not None:
        _meet_champion(current, params.seed, trainset, pairs, scores)
    screen().print(_table(scores, current))


def _meet_champion(
    current: ModelVersion, seed: int, trainset: Trainset, pairs: Pairs, scores: dict[str, TestScore]
) -> None:
    """Add the champion's score. One that cannot be made again is named, and stops nobody."""
    try:
        recipe = (current.algorithm, current.parameters, seed_for(seed, "fit", current.algorithm))
        scores["champion"] = score = score_candidate(*recipe, trainset, pairs)
    except (MarqueeError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        screen().print(f"Champion v{current.version} cannot be fitted here: {type(error).__name__}: {error}")
        return
    evaluation = hashlib.sha256(EVALUATION.read_bytes()).hexdigest()
    told = {"version": current.version, "evaluation": evaluation, "rmse": score.rmse, "mae": score.mae}
    write_json(CHAMPION, told)


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
