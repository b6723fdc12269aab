"""Score the fitted winner once on the test part, beside the baselines and the current champion.

The champion takes part by its algorithm and parameters, fitted on this training part: its own
arrays would not do, for this test part may hold ratings that they were trained on.
"""

from collections.abc import Mapping

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table

from experiments.config.offline import Params
from experiments.evaluation.model_evaluation import Rule
from experiments.evaluation.test_set import Examination, TestScore
from experiments.tracking.registry import ModelVersion, champion
from marquee.algorithms.scoring import pairs_of
from marquee.algorithms.state import load_state
from marquee.algorithms.trainset import trainset_of
from marquee.errors import MarqueeError
from marquee.files.atomic_write import write_json
from marquee.files.digest import sha256_of
from marquee.seeds import seed_for
from pipelines.support.console import screen
from pipelines.support.paths import CHAMPION, EVALUATION, FIT, TEST, TRAIN
from pipelines.support.provenance import rating_scale
from pipelines.support.stage_runner import run

BASELINES = ("baseline_only", "normal_predictor")


def evaluate(params: Params) -> None:
    """Write results/evaluation.json; and, for this clone alone, how the champion's recipe did."""
    trainset = trainset_of(pd.read_parquet(TRAIN), rating_scale())
    part = trainset.matrix, pairs_of(pd.read_parquet(TEST), trainset.matrix)
    rule = Rule.of(params.measure.top_n, params.measure.relevant_from, rating_scale())
    examination = Examination(trainset, part, rule)
    algorithm, head = load_state(FIT, trainset)
    scores = {"winner": examination.score(algorithm, head["algorithm"])}
    for name in BASELINES:
        scores[name] = examination.fit_and_score(name, {}, seed_for(params.seed, "fit", name))
    write_json(EVALUATION, {name: score.record() for name, score in scores.items()})
    current = champion(params.register_.model)
    CHAMPION.unlink(missing_ok=True)
    if current is not None:
        _meet_champion(current, params.seed, examination, scores)
    screen().print(_table(scores, current, rule.n))


def _meet_champion(
    current: ModelVersion, seed: int, examination: Examination, scores: dict[str, TestScore]
) -> None:
    """Add the champion's score. One that cannot be made again is named, and stops nobody."""
    try:
        recipe = (current.algorithm, current.parameters, seed_for(seed, "fit", current.algorithm))
        scores["champion"] = score = examination.fit_and_score(*recipe)
    except (MarqueeError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        screen().print(f"Champion v{current.version} cannot be fitted here: {type(error).__name__}: {error}")
        return
    evaluation = sha256_of(EVALUATION)
    figures = {name: value for name, value in score.record().items() if name != "algorithm"}
    write_json(CHAMPION, {"version": current.version, "evaluation": evaluation, **figures})


def _table(scores: Mapping[str, TestScore], current: ModelVersion | None, n: int) -> Table:
    table = Table(title="On the test part, seen once", title_justify="left", box=SIMPLE_HEAD)
    for column in ("model", "RMSE", "MAE", f"NDCG@{n}", "coverage"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for name, score in scores.items():
        role = f"champion v{current.version}, refitted here" if name == "champion" and current else name
        label = f"{score.title} ({role})" if name in {"winner", "champion"} else score.title
        lists = [
            form.format(score.lists[metric]) if metric in score.lists else ""
            for metric, form in (("ndcg", "{:.4f}"), ("coverage", "{:.1%}"))
        ]
        table.add_row(label, f"{score.rmse:.4f}", f"{score.mae:.4f}", *lists)
    return table


if __name__ == "__main__":
    run(evaluate, "evaluate")
