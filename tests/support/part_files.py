"""Files of the stage `split`, written from any table of interactions."""

import json
from pathlib import Path

import pandas as pd

from experiments.evaluation.parts import PartSource
from marquee.array_types import RatingScale
from marquee.interactions.aggregation import RepeatsPolicy
from marquee.interactions.columns import RATING
from marquee.interactions.parts import (
    Cut,
    RepeatPolicy,
    RowKeys,
    Strategy,
    cut_at_random,
    cut_by_time,
    cut_user_last,
)

SCALE: RatingScale = (1.0, 5.0)


def cut_rows(rows: pd.DataFrame, strategy: Strategy, repeat: RepeatPolicy, share: float = 0.1) -> Cut:
    keys = RowKeys.from_frame(rows)
    if strategy == "random":
        return cut_at_random(keys, share, 7, repeat)
    return cut_by_time(keys, share) if strategy == "time" else cut_user_last(keys, share)


def write_part_files(
    rows: pd.DataFrame,
    folder: Path,
    *,
    cut: Cut | None = None,
    strategy: Strategy = "random",
    repeat: RepeatPolicy = "exclude",
    repeats: RepeatsPolicy | None = None,
) -> PartSource:
    """Write the training rows with their parts; return their source.

    Args:
        rows: interactions with ratings or weights.
        folder: existing folder.
        cut: part of each row; None: the rows are cut by the strategy.
        strategy: how the rows are, or were, cut.
        repeat: whether held-out pairs with a training row are excluded or allowed.
        repeats: value of repeated pairs; None: "last" for ratings, "sum" for weights.
    """
    cut = cut or cut_rows(rows, strategy, repeat)
    cut.training_rows(rows).to_parquet(folder / "rows.parquet", index=False)
    (folder / "split.json").write_text(json.dumps({"strategy": cut.strategy, "repeat": repeat}))
    is_explicit = RATING in rows
    return PartSource(
        folder / "rows.parquet",
        folder / "split.json",
        repeats or ("last" if is_explicit else "sum"),
        SCALE if is_explicit else None,
    )
