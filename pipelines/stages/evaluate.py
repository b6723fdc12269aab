"""Score the fitted winner on the test set, together with the baselines and the current champion.

The champion is refitted on the training set of this clone, because the registered model may have been trained
on ratings of this test set.
"""

from collections.abc import Mapping

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table

from experiments.config import Params
from experiments.evaluation.cross_validation import FoldData
from experiments.evaluation.protocol import EvaluationProtocol
from experiments.evaluation.test_set import TestScore, TestSet
from experiments.tracking.model_registry import ModelVersion, find_champion
from marquee.algorithms.persistence import load_fitted_algorithm
from marquee.algorithms.scoring import encode_pairs
from marquee.algorithms.trainset import build_trainset
from marquee.errors import MarqueeError
from marquee.files.atomic_write import write_json
from marquee.files.digest import sha256_of
from marquee.seeds import seed_for
from pipelines.support.console import get_console
from pipelines.support.paths import ALGORITHM_STATE, CHAMPION_SCORE, EVALUATION, TEST, TRAIN
from pipelines.support.provenance import read_rating_scale
from pipelines.support.stage_runner import run_stage

BASELINES = ("baseline_only", "normal_predictor")


def evaluate_on_test_set(params: Params) -> None:
    """Write results/evaluation.json and, in a file that is not a stage output, the champion's score."""
    trainset = build_trainset(pd.read_parquet(TRAIN), read_rating_scale())
    data = FoldData(trainset.matrix, encode_pairs(pd.read_parquet(TEST), trainset.matrix))
    protocol = EvaluationProtocol.from_params(
        params.measure.top_n, params.measure.relevance_threshold, read_rating_scale()
    )
    test_set = TestSet(trainset, data, protocol)
    algorithm, header = load_fitted_algorithm(ALGORITHM_STATE, trainset)
    scores = {"winner": test_set.score(algorithm, header["algorithm"])}
    for name in BASELINES:
        scores[name] = test_set.fit_and_score(name, {}, seed_for(params.seed, "fit", name))
    write_json(EVALUATION, {name: score.to_record() for name, score in scores.items()})
    champion = find_champion(params.registration.model)
    CHAMPION_SCORE.unlink(missing_ok=True)
    if champion is not None:
        _score_champion(champion, params.seed, test_set, scores)
    get_console().print(_build_table(scores, champion, protocol.n))


def _score_champion(
    champion: ModelVersion, root_seed: int, test_set: TestSet, scores: dict[str, TestScore]
) -> None:
    """Add the champion's score and save it; print a message if the champion cannot be refitted."""
    try:
        fit_seed = seed_for(root_seed, "fit", champion.algorithm)
        score = test_set.fit_and_score(champion.algorithm, champion.parameters, fit_seed)
    except (MarqueeError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        get_console().print(f"Champion version {champion.version} cannot be refitted: {reason}")
        return
    scores["champion"] = score
    metrics = {name: value for name, value in score.to_record().items() if name != "algorithm"}
    write_json(CHAMPION_SCORE, {"version": champion.version, "evaluation": sha256_of(EVALUATION), **metrics})


def _build_table(scores: Mapping[str, TestScore], champion: ModelVersion | None, n: int) -> Table:
    table = Table(title="Scores on the test set", title_justify="left", box=SIMPLE_HEAD)
    for column in ("model", "RMSE", "MAE", f"NDCG@{n}", "coverage"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for name, score in scores.items():
        role = f"champion v{champion.version}, refitted" if name == "champion" and champion else name
        label = (
            f"{score.algorithm_title} ({role})" if name in {"winner", "champion"} else score.algorithm_title
        )
        lists = score.lists
        ndcg = f"{lists['ndcg']:.4f}" if "ndcg" in lists else ""
        coverage = f"{lists['coverage']:.1%}" if "coverage" in lists else ""
        table.add_row(label, f"{score.rmse:.4f}", f"{score.mae:.4f}", ndcg, coverage)
    return table


if __name__ == "__main__":
    run_stage(evaluate_on_test_set, "evaluate")
