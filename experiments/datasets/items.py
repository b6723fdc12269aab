"""The items table: from a file of items, or from the ratings alone."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from experiments.datasets.line_readers import read_rows
from experiments.datasets.movielens import Layout
from marquee.interactions.matrix import GENRE_SEPARATOR, GENRES, ITEM, TITLE
from marquee.interactions.raw_schema import FAULT, is_good_id

log = logging.getLogger(__name__)

NO_GENRES = "(no genres listed)"


def items_table(path: Path, layout: Layout) -> pa.Table:
    """The items of one file; of two rows with one id, the first.

    Raises:
        DataError: the file is empty, is no table, or lacks a column.
    """
    cells = read_rows(path, layout, optional={TITLE, GENRES}).cells
    read = cells.filter(pc.and_(pc.is_null(cells[FAULT]), pc.not_equal(cells[ITEM], "")))
    if faults := cells.num_rows - read.num_rows:
        log.warning("%s: %d lines are no items and are left out", path, faults)
    ids: list[str] = read[ITEM].to_pylist()
    rows = dict(zip(reversed(ids), reversed(range(len(ids))), strict=True))
    if repeated := len(ids) - len(rows):
        log.warning("%s: %d items repeat an id; the first of each is kept", path, repeated)
    first = read.take(pa.array(sorted(rows.values()), pa.int64()))
    titles = first[TITLE] if TITLE in first.column_names else first[ITEM]
    genres = _genres(first, layout)
    return pa.table({ITEM: first[ITEM], TITLE: pc.coalesce(titles, first[ITEM]), GENRES: genres})


def items_of(ratings: pa.Table) -> pa.Table:
    """One row an item that was rated, where the source says nothing of items."""
    ids = pc.unique(ratings[ITEM].drop_null())
    return pa.table({ITEM: ids, TITLE: ids, GENRES: pa.array([""] * len(ids), pa.string())})


def complete_items(items: pd.DataFrame, rated: pd.Series) -> pd.DataFrame:
    """The items whose id is an id, and a row for each rated item that the table does not know."""
    good = items[is_good_id(items[ITEM])]
    if left_out := len(items) - len(good):
        log.warning("%d items have no usable id and are left out", left_out)
    known = set(good[ITEM])
    unknown = [item for item in rated.unique() if item not in known]
    if unknown and len(good):
        log.warning("%d rated items are not in the items table: their id is their title", len(unknown))
    added = pd.DataFrame({ITEM: unknown, TITLE: unknown, GENRES: ""}, dtype=str)
    return pd.concat([good, added], ignore_index=True)


def _genres(items: pa.Table, layout: Layout) -> Any:
    """Genres joined by "|": from one column each, from one column, or none."""
    if layout.flags:
        flags = [[(name if flag == "1" else "") for flag in items[name].to_pylist()] for name in layout.flags]
        return pa.array(
            [GENRE_SEPARATOR.join(filter(None, row)) for row in zip(*flags, strict=True)], pa.string()
        )
    if GENRES not in items.column_names:
        return pa.array([""] * items.num_rows, pa.string())
    genres = pc.coalesce(items[GENRES], "")
    return pc.if_else(pc.equal(genres, NO_GENRES), "", genres)
