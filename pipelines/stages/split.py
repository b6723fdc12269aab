"""Cut the interactions into training rows, validation parts and a test part; shuffle the folds."""

import logging
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.config import Params
from marquee.array_types import Int64Array
from marquee.errors import DataError
from marquee.files.atomic_write import write_json
from marquee.interactions.aggregation import aggregate
from marquee.interactions.feedback import FeedbackSpec
from marquee.interactions.parts import N_VALIDATION_PARTS, TEST_PART, Cut
from marquee.interactions.split_choice import (
    PartSummary,
    SplitSpec,
    SplitTable,
    choose_cut,
    explain_empty_test_part,
)
from marquee.interactions.splitting import check_fold_count, shuffle_rows
from marquee.seeds import seed_for
from pipelines.support.derived_feedback import read_feedback
from pipelines.support.paths import (
    FOLDS,
    INTERACTIONS,
    SPLIT,
    TEST,
    TEST_HISTORY,
    TEST_REPEATS,
    TRAIN,
    TRAIN_ROWS,
)
from pipelines.support.stage_runner import run_stage

log = logging.getLogger(__name__)


def hold_out_test_set(params: Params) -> None:
    """Write data/split: training rows with their parts, training set, test set, folds, and a summary."""
    feedback = read_feedback()
    table = SplitTable.from_frame(pd.read_parquet(INTERACTIONS), feedback)
    settings = params.split
    spec = SplitSpec(
        settings.strategy, settings.test_share, settings.repeat, seed_for(params.seed, "holdout")
    )
    cut, reason = choose_cut(table, spec)
    TRAIN.parent.mkdir(parents=True, exist_ok=True)
    cut.training_rows(table.rows).to_parquet(TRAIN_ROWS, index=False)
    n_train = _write_sets(table, cut, spec)
    _write_folds(n_train, params, feedback)
    test = table.summarize(cut, TEST_PART, spec.repeat)
    parts = [table.summarize(cut, part, spec.repeat) for part in range(N_VALIDATION_PARTS)]
    write_json(SPLIT, _build_record(cut, reason, spec, parts, test))
    log.info("%s; its test part evaluates %d of %d users", reason, test.evaluated_users, test.users)
    if not test.evaluated_users:
        log.warning(
            "no list will have a score on the test part, because no user of it has training rows and a "
            "positive held-out pair; add data, or choose another split.strategy"
        )


def _write_sets(table: SplitTable, cut: Cut, spec: SplitSpec) -> int:
    """Write the training set and the sets of the test part; return the size of the training set."""
    rows = cut.select_rows(TEST_PART, table.keys.pairs, spec.repeat)
    n_train = _write_pairs(table, rows.train, TRAIN)
    n_test = _write_pairs(table, rows.held_out, TEST)
    _write_pairs(table, rows.repeats, TEST_REPEATS)
    _write_pairs(table, rows.history, TEST_HISTORY)
    if not n_train:
        raise DataError(
            f"the training set is empty: nothing is left of its {len(rows.train)} rows after returns are "
            "subtracted; add data"
        )
    if not n_test:
        raise DataError(explain_empty_test_part(rows))
    return n_train


def _write_pairs(table: SplitTable, rows: Int64Array, path: Path) -> int:
    """Write one row for each pair of user and item, and return their number."""
    pairs = aggregate(table.rows.iloc[rows], table.feedback.repeats)
    pairs.to_parquet(path, index=False)
    return len(pairs)


def _write_folds(n_train: int, params: Params, feedback: FeedbackSpec) -> None:
    """Write the row order of the folds; implicit feedback has no ratings to predict, and so no folds."""
    FOLDS.unlink(missing_ok=True)
    if feedback.feedback == "explicit":
        check_fold_count(n_train, params.split.folds)
        np.save(FOLDS, shuffle_rows(n_train, seed_for(params.seed, "folds")))


def _build_record(
    cut: Cut, reason: str, spec: SplitSpec, parts: list[PartSummary], test: PartSummary
) -> dict[str, object]:
    """Return the content of data/split/split.json."""
    return {
        "strategy": cut.strategy,
        "rolling": cut.is_rolling,
        "reason": reason,
        "repeat": spec.repeat,
        "parts": [asdict(part) for part in parts],
        "test": asdict(test),
    }


if __name__ == "__main__":
    run_stage(hold_out_test_set, "split")
