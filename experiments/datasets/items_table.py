"""Items table: read from a file, or derived from the interactions."""

import logging
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from experiments.datasets.interactions_reader import read_table
from experiments.datasets.table_format import ArrowColumn, TableFormat
from marquee.interactions.columns import GENRE_SEPARATOR, GENRES, ITEM, TITLE
from marquee.interactions.raw_table_columns import PARSE_ERROR, valid_id_mask

log = logging.getLogger(__name__)

NO_GENRES = "(no genres listed)"  # as written by MovieLens since 10M


def read_items(path: Path, table_format: TableFormat) -> pa.Table:
    """Read an items file; if an id occurs in several rows, the first one counts.

    Returns:
        item, title and genres (str, joined by "|"), and a column for each attribute; an item without a title
        has its id as title.

    Raises:
        ConfigError: the file has no header and a column is not given by its number.
        DataError: the file is empty, is not a table, or lacks the item column.
    """
    table = read_table(path, table_format, optional={TITLE, GENRES}).columns
    items = table.filter(pc.and_(pc.is_null(table[PARSE_ERROR]), pc.not_equal(table[ITEM], "")))
    if n_skipped := table.num_rows - items.num_rows:
        log.warning("%s: skipped %d lines without an item", path, n_skipped)
    items = _drop_repeated_ids(path, items)
    titles = items[TITLE] if TITLE in items.column_names else items[ITEM]
    genres = _genres(items, table_format)
    columns = {ITEM: items[ITEM], TITLE: pc.coalesce(titles, items[ITEM]), GENRES: genres}
    attributes = {name: pc.coalesce(items[name], "") for name in table_format.attributes}
    return pa.table({**columns, **attributes})


def items_from_interactions(interactions: pa.Table) -> pa.Table:
    """Return an items table for a source without one: a row per item, with the id as title."""
    ids = pc.unique(interactions[ITEM].drop_null())
    return pa.table({ITEM: ids, TITLE: ids, GENRES: pa.array([""] * len(ids), pa.string())})


def clean_and_complete_items(items: pd.DataFrame, used: pd.Series) -> pd.DataFrame:
    """Drop items with an invalid id, and add a row for each used item that is missing from the table.

    Args:
        items: the items table.
        used: item of each interaction.
    """
    valid = items[valid_id_mask(items[ITEM])]
    if n_dropped := len(items) - len(valid):
        log.warning("dropped %d items with an empty or invalid id", n_dropped)
    known = set(valid[ITEM])
    missing = [item for item in used.unique() if item not in known]
    if missing and len(valid):
        log.warning(
            "%d items with interactions are missing from the items table; their ids serve as titles",
            len(missing),
        )
    added = pd.DataFrame({**dict.fromkeys(items.columns, ""), ITEM: missing, TITLE: missing}, dtype=str)
    return pd.concat([valid, added], ignore_index=True)


def _drop_repeated_ids(path: Path, items: pa.Table) -> pa.Table:
    first_rows: dict[str, int] = {}
    for row, item in enumerate(items[ITEM].to_pylist()):
        first_rows.setdefault(item, row)
    if n_repeated := items.num_rows - len(first_rows):
        log.warning("%s: skipped %d rows that repeat an item id", path, n_repeated)
    return items.take(pa.array(list(first_rows.values()), pa.int64()))


def _genres(items: pa.Table, table_format: TableFormat) -> ArrowColumn:
    """Return the genres of each item, joined by "|"; empty if the file has none."""
    if table_format.genre_flags:
        return _genres_from_flags(items, table_format.genre_flags)
    if GENRES not in items.column_names:
        return pa.array([""] * items.num_rows, pa.string())
    genres = pc.coalesce(items[GENRES], "")
    return pc.if_else(pc.equal(genres, NO_GENRES), "", genres)


def _genres_from_flags(items: pa.Table, names: tuple[str, ...]) -> ArrowColumn:
    columns = [[(name if flag == "1" else "") for flag in items[name].to_pylist()] for name in names]
    rows = zip(*columns, strict=True)
    return pa.array([GENRE_SEPARATOR.join(filter(None, row)) for row in rows], pa.string())
