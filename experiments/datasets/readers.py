"""The ingested tables, and how each source is read into them.

    ratings  line (int64) | user | item (str) | rating | timestamp (float64, null where there is none)
             | raw (str: the row as it stands in the file, where something in it could not be read)
             | fault (str: why the line is no row) | rating_text | timestamp_text (str: what is no number)
    items    item | title | genres (str, joined by "|")

No row is left out but blank lines: what could not be read goes on, marked, to the checks.
"""

import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from experiments.config.offline import Data, FileFormat
from experiments.datasets.csv_numbers import parse
from experiments.datasets.line_readers import Rows, read_rows
from experiments.datasets.movielens import DATASETS, Layout
from marquee.errors import ConfigError, DataError
from marquee.interactions.matrix import GENRES, ITEM, RATING, TIMESTAMP, TITLE, USER
from marquee.interactions.raw_schema import FAULT, LINE, RATING_TEXT, RAW, TIMESTAMP_TEXT

log = logging.getLogger(__name__)


def layouts(data: Data) -> tuple[Layout, Layout]:
    """How the source's ratings and items are read."""
    if data.source in DATASETS:
        return DATASETS[data.source].ratings, DATASETS[data.source].items
    if data.source == "demo":
        same = Layout({name: name for name in (USER, ITEM, RATING, TIMESTAMP)})
        return same, Layout({name: name for name in (ITEM, TITLE, GENRES)})
    return _layout(data.file, data.file.columns.model_dump()), _layout(
        data.file, data.file.item_columns.model_dump()
    )


def ratings_table(path: Path, layout: Layout) -> pa.Table:
    """The ratings of one file, every row of it.

    Raises:
        DataError: the file is empty, is no table, or lacks a column.
    """
    rows = read_rows(path, layout, optional={TIMESTAMP})
    cells = rows.cells
    ratings, rating_texts = parse(cells[RATING])
    times, time_texts = pa.nulls(len(cells), pa.float64()), pa.nulls(len(cells), pa.string())
    if TIMESTAMP in cells.column_names:
        times, time_texts = parse(cells[TIMESTAMP])
    else:
        log.info("%s has no timestamps", path)
    table = pa.table(
        {
            LINE: cells[LINE], USER: cells[USER], ITEM: cells[ITEM], RATING: ratings, TIMESTAMP: times,
            FAULT: cells[FAULT], RATING_TEXT: rating_texts, TIMESTAMP_TEXT: time_texts,
        }
    )  # fmt: skip
    table = _with_raw(path, table, rows)
    if table.num_rows == 0:
        raise DataError(f"{path} holds no ratings{' under its header' if layout.header else ''}")
    return table


def _layout(file: FileFormat, columns: dict[str, str | None]) -> Layout:
    named = {ours: theirs for ours, theirs in columns.items() if theirs is not None}
    separator = file.separator.replace(r"\t", "\t")
    if set(separator) & set('"\r\n\0'):
        raise ConfigError(
            f"data.file.separator is {separator!r}: a quotation mark or a line end separates nothing"
        )
    return Layout(named, separator=separator, header=file.header)


def _with_raw(path: Path, table: pa.Table, rows: Rows) -> pa.Table:
    """Add the text of the rows that could not be read whole, and leave out blank lines."""
    unread = pc.or_(pc.is_valid(table[FAULT]), pc.is_valid(table[TIMESTAMP_TEXT]))
    unread = pc.or_(unread, pc.invert(pc.fill_null(pc.is_finite(table[RATING]), fill_value=False)))
    raw = pa.nulls(len(table), pa.string())
    if not pc.any(unread).as_py():
        return table.append_column(RAW, raw)
    lines = table[LINE].filter(unread).to_pylist()
    found = rows.texts(lines)
    originals = pa.array([found[line] for line in lines], pa.string())
    raw = pc.replace_with_mask(raw, unread.combine_chunks(), originals)
    table = table.append_column(RAW, raw)
    whole = table.filter(pc.fill_null(pc.not_equal(pc.utf8_trim_whitespace(table[RAW]), ""), fill_value=True))
    if blank := table.num_rows - whole.num_rows:
        log.info("%s: %d blank lines are skipped", path, blank)
    return whole
