"""Readers of interactions and items: every format gives the same tables, and no row of a file is lost."""

import gzip
import io
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.config import load_params
from experiments.config.offline import DataParams
from experiments.datasets.csv_columns import find_column_positions
from experiments.datasets.csv_reader import _read_with_python, _SubstitutingStream, read_csv_columns
from experiments.datasets.interactions_reader import (
    SourceFormats,
    choose_table_formats,
    read_interactions,
)
from experiments.datasets.items_table import items_from_interactions, read_items
from experiments.datasets.movielens import RELEASES
from experiments.datasets.table_format import TableFormat
from experiments.datasets.text_lines import validate_and_count_lines
from experiments.datasets.value_columns import choose_value_columns
from marquee.errors import ConfigError, DataError
from marquee.interactions.raw_table_columns import raw_columns

ROOT = Path(__file__).parents[3]
CSV_FORMAT = TableFormat({name: name for name in ("user", "item", "rating", "timestamp")})


def write_file(folder: Path, content: str | bytes, name: str = "ratings.csv") -> Path:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name


def read_rows(path: Path, table_format: TableFormat = CSV_FORMAT) -> list[tuple[Any, ...]]:
    """Return line number, user, item, rating and timestamp of each row."""
    table = read_interactions(path, table_format)
    assert set(table.column_names) == set(raw_columns("rating"))
    return [
        (row["line"], row["user"], row["item"], row["rating"], row["timestamp"]) for row in table.to_pylist()
    ]


def read_invalid_rows(path: Path, table_format: TableFormat = CSV_FORMAT) -> list[tuple[Any, ...]]:
    """Return line number, text and problem of the rows that could not be read completely."""
    return [
        (row["line"], row["raw"], row["parse_error"] or row["rating_text"] or row["timestamp_text"])
        for row in read_interactions(path, table_format).to_pylist()
        if row["raw"] is not None
    ]


def choose_formats(**changes: Any) -> SourceFormats:
    """Return the formats of a table whose block `data.file` has changed parameters."""
    data = load_params(ROOT / "params.yaml").data.model_dump()
    file = data["file"] | changes
    params = DataParams.model_validate(data | {"source": "file", "file": file})
    return choose_table_formats(params, choose_value_columns(params, "auto"))


MOVIELENS_LINES = {
    "ml-100k": "1\t2\t3\t881250949\n",
    "ml-1m": "1::2::3::881250949\n",
    "ml-10m": "1::2::3.0::881250949\n",
    "ml-25m": "userId,movieId,rating,timestamp\n1,2,3.0,881250949\n",
}


@pytest.mark.parametrize("name", MOVIELENS_LINES)
def test_all_movielens_formats_give_the_same_row(tmp_path: Path, name: str) -> None:
    line = 2 if name == "ml-25m" else 1
    path = write_file(tmp_path, MOVIELENS_LINES[name])
    assert read_rows(path, RELEASES[name].interactions) == [(line, "1", "2", 3.0, 881250949.0)]


def test_genre_flags_of_ml_100k_become_names(tmp_path: Path) -> None:
    flags = "|".join("1" if n in (5, 6) else "0" for n in range(19))
    line = f'1|Misérables, "Les" (1995)|01-Jan-1995||http://x|{flags}\n'
    table = read_items(write_file(tmp_path, line.encode("latin-1")), RELEASES["ml-100k"].items)
    assert table.to_pylist() == [
        {"item": "1", "title": 'Misérables, "Les" (1995)', "genres": "Comedy|Crime"},
    ]


def test_items_of_ml_1m_may_contain_colons_and_quotation_marks(tmp_path: Path) -> None:
    path = write_file(tmp_path, b'1::"Caf\xe9": a title::Drama|War\n2::B::(no genres listed)\n')
    assert [tuple(row.values()) for row in read_items(path, RELEASES["ml-1m"].items).to_pylist()] == [
        ("1", '"Café": a title', "Drama|War"),
        ("2", "B", ""),
    ]


def test_items_of_ml_25m_may_contain_quoted_commas(tmp_path: Path) -> None:
    path = write_file(tmp_path, 'movieId,title,genres\n1,"American President, The (1995)",Comedy\n')
    (row,) = read_items(path, RELEASES["ml-25m"].items).to_pylist()
    assert row["title"] == "American President, The (1995)"


def test_first_of_several_items_with_the_same_id_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_file(tmp_path, "item,title\na,first\nb,B\na,second\n,nobody\nc\n")
    table = read_items(path, TableFormat({"item": "item", "title": "title", "genres": "genres"}))
    assert table.to_pydict() == {"item": ["a", "b"], "title": ["first", "B"], "genres": ["", ""]}
    assert "skipped 1 rows that repeat an item id" in caplog.text
    assert "skipped 2 lines without an item" in caplog.text


def test_further_columns_of_items_are_their_attributes(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    pq.write_table(pa.table({"id": ["a", "b"], "lang": ["en", None], "made": [1999, 2001]}), path)
    formats = choose_formats(item_columns={"item": "id", "language": "lang", "year": "made"})
    table = read_items(path, formats.items)
    assert table.column_names == ["item", "title", "genres", "language", "year"]
    assert table.select(["language", "year"]).to_pydict() == {
        "language": ["en", ""],
        "year": ["1999", "2001"],
    }


def test_missing_attribute_column_is_an_error(tmp_path: Path) -> None:
    formats = choose_formats(item_columns={"item": "item", "language": "lang"})
    with pytest.raises(DataError, match="has no column 'lang'"):
        read_items(write_file(tmp_path, "item,title\na,A\n"), formats.items)


def test_items_are_derived_from_the_interactions(tmp_path: Path) -> None:
    path = write_file(tmp_path, "user,item,rating\na,x,1\nb,x,2\na,y,3\nz\n")
    table = items_from_interactions(read_interactions(path, CSV_FORMAT))
    assert table.to_pydict() == {"item": ["x", "y"], "title": ["x", "y"], "genres": ["", ""]}


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_invalid_rows_keep_their_line_number_and_text(tmp_path: Path, line_end: str) -> None:
    lines = [
        "user,item,rating,timestamp",
        "a,x,3,10",
        "a,y,abc,11",
        "b,x",
        "",
        "b,y,4,soon",
        "c,x, 5 ,12",
        "d,,,",
    ]
    path = write_file(tmp_path, line_end.join(lines))
    assert read_invalid_rows(path) == [
        (3, "a,y,abc,11", "abc"),
        (4, "b,x", "expected 4 fields, got 2"),
        (6, "b,y,4,soon", "soon"),
        (8, "d,,,", None),
    ]
    assert [row[0] for row in read_rows(path)] == [2, 3, 4, 6, 7, 8]
    assert read_rows(path)[4] == (7, "c", "x", 5.0, 12.0)


def test_unclosed_quotation_mark_invalidates_only_its_own_line(tmp_path: Path) -> None:
    lines = (
        ["user,item,rating", '"a, b",x,3', 'c,"x,4']
        + [f"u{n},x,{n % 5}" for n in range(200)]
        + ['d,"y\nz",5']
    )
    path = write_file(tmp_path, "\n".join(lines) + "\n")
    assert read_invalid_rows(path) == [(3, 'c,"x,4', "a quotation mark is never closed")]
    rows = read_rows(path)
    assert len(rows) == 203
    assert rows[0][:4] == (2, "a, b", "x", 3.0)
    assert rows[2][:4] == (4, "u0", "x", 0.0)
    assert rows[-1][:4] == (204, "d", "y\nz", 5.0)


@given(
    st.lists(
        st.lists(st.text(st.sampled_from('ab,"; \n'), max_size=4), min_size=3, max_size=3),
        min_size=1,
        max_size=8,
    ),
    st.booleans(),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_csv_readers_agree_on_well_formed_rows(
    tmp_path: Path, cells: list[list[str]], ends_with_newline: bool
) -> None:
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in cells]
    path = write_file(tmp_path, "user,item,rating\n" + "\n".join(quoted) + "\n" * ends_with_newline)
    positions = {"user": 0, "item": 1, "rating": 2}
    table = read_csv_columns(path, CSV_FORMAT, positions, validate_and_count_lines(path, "utf-8"))
    assert [[row[name] for name in positions] for row in table.to_pylist()] == cells
    read_by_python = pa.concat_tables(list(_read_with_python(path, CSV_FORMAT, positions, 3)))
    assert table.equals(read_by_python.combine_chunks())


@given(st.text(st.sampled_from(":ab"), max_size=40), st.sampled_from(["::", "ab", ":::"]), st.integers(3, 9))
def test_long_separator_is_substituted_across_blocks(text: str, separator: str, size: int) -> None:
    stream, output = _SubstitutingStream(io.BytesIO(text.encode()), separator.encode()), b""
    while block := stream.read(size):
        assert len(block) <= size
        output += block
    assert output.decode() == text.replace(separator, "\x1f")


def test_compressed_file_with_byte_order_mark_and_other_column_order_is_read(tmp_path: Path) -> None:
    text = "\ufeffrating;stars by;what;note\n4;a;x;hello\n"
    path = write_file(tmp_path, gzip.compress(text.encode()), "ratings.csv.gz")
    columns = {"user": "stars by", "item": "what", "rating": "rating", "timestamp": "at"}
    assert read_rows(path, TableFormat(columns, separator=";")) == [(2, "a", "x", 4.0, None)]


def test_one_column_may_serve_as_user_and_item(tmp_path: Path) -> None:
    table_format = TableFormat({"user": "1", "item": "1", "rating": "2"}, header=False)
    assert read_rows(write_file(tmp_path, "a,3\n"), table_format) == [(1, "a", "a", 3.0, None)]


def test_parquet_columns_may_have_other_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "user": pa.array([7, None], pa.int64()),
            "item": pa.array(["x", "y"]).dictionary_encode(),
            "rating": pa.array(["3", "many"]),
            "timestamp": pa.array([1_000_000_000_500, None], pa.timestamp("ms")),
        }
    )
    pq.write_table(table, tmp_path / "r.parquet")
    assert read_rows(tmp_path / "r.parquet") == [(1, "7", "x", 3.0, 1e9 + 0.5), (2, "", "y", None, None)]
    ((line, raw, text),) = read_invalid_rows(tmp_path / "r.parquet")
    assert (line, text) == (2, "many")
    assert raw == '{"user": null, "item": "y", "rating": "many", "timestamp": null}'


def test_float_ids_in_parquet_become_integers_if_all_are_whole(tmp_path: Path) -> None:
    table = pa.table({"user": [7.0, float("nan"), 9.0], "item": [2.5, 3.0, 4.0], "rating": [3.0, 4.0, 5.0]})
    pq.write_table(table, tmp_path / "r.parquet")
    assert [row[1:3] for row in read_rows(tmp_path / "r.parquet")] == [("7", "2.5"), ("", "3"), ("9", "4")]


def test_parquet_column_of_lists_is_reported_in_one_line(tmp_path: Path) -> None:
    table = pa.table({"user": ["a"], "item": ["x"], "rating": pa.array([[3.0]])})
    pq.write_table(table, tmp_path / "r.parquet")
    with pytest.raises(DataError, match="cannot be read as Parquet: Unsupported cast"):
        read_interactions(tmp_path / "r.parquet", CSV_FORMAT)


def test_parquet_without_a_column_is_reported_like_csv(tmp_path: Path) -> None:
    pq.write_table(pa.table({"user": ["a"], "items": ["x"], "rating": [3.0]}), tmp_path / "r.parquet")
    with pytest.raises(
        DataError, match="has no column 'item', only user, items, rating; did you mean 'items'"
    ):
        read_interactions(tmp_path / "r.parquet", CSV_FORMAT)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"user,item,rating\n", "contains no interactions below its header"),
        (b"user,item,rating\n\n\n", "contains no interactions below its header"),
        (b"user;item;rating\na;x;3\n", "contains ';'; set data.file.separator to ';'"),
        (
            b"user,film,rating\na,x,3\n",
            "has no column 'item', only user, film, rating; "
            "set data.file.columns.item to the name of the item column",
        ),
        (
            b"USER,Items,rating\na,x,3\n",
            "has no column 'user', only USER, Items, rating; did you mean 'USER'",
        ),
        (
            b"1,1193,5,978300760\n",
            r"has no header \(its first line is 1, 1193, .*\); set data.file.header to false",
        ),
        (b"user,user,item,rating\na,a,x,3\n", "2 columns named 'user'; rename all but the user column"),
        (
            b"user,item,rating\n\xe9,x,3\n",
            "not UTF-8 text: invalid byte 0xe9 in line 2; save the table as UTF-8",
        ),
        (b"user,item,rating\na,x,3\n\xc3", "byte 0xc3 in line 3"),
        (b"\xef\xbb\xbf", "starts with an empty line, expected its header"),
        (b"\nuser,item,rating\n", "starts with an empty line"),
        (bytes(range(256)), "is not UTF-8 text: invalid byte 0x00 in line 1"),
        (b"\xff" + bytes(9), "is not UTF-8 text: invalid byte 0xff in line 1"),
        (b"PK\x03\x04more", "is a zip archive or a spreadsheet, not a table; convert it to CSV or Parquet"),
        (b"PAR1rubbishPAR1", "cannot be read as Parquet"),
        (b"\x1f\x8bbroken gzip", "is damaged gzip"),
        (gzip.compress(b"user,item,rating\na,x,3\n" * 9999, mtime=0)[:-20], "is damaged gzip"),
        (gzip.compress(b"", mtime=0), r"is empty \(a gzip file with 0 bytes of content\)"),
        (gzip.compress(b"a" * (3 << 20), mtime=0), "decompresses to more than 200 times"),
    ],
    ids=lambda value: "file" if isinstance(value, bytes) else None,
)
def test_unusable_file_is_reported_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_interactions(write_file(tmp_path, content), CSV_FORMAT)
    assert "\n" not in str(caught.value)


def test_plain_file_named_gz_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has the suffix .gz but is not gzip; rename it or compress it"):
        read_interactions(write_file(tmp_path, "user,item,rating\na,x,3\n", "ratings.csv.gz"), CSV_FORMAT)


def test_columns_without_a_header_are_identified_by_number(tmp_path: Path) -> None:
    path = write_file(tmp_path, "3,a,x\n")
    numbers = {"user": "2", "item": "3", "rating": "1", "timestamp": "4"}

    def positions(columns: dict[str, str]) -> dict[str, int]:
        return find_column_positions(path, "3,a,x", TableFormat(columns, header=False), {"timestamp"})

    assert positions(numbers) == {"user": 1, "item": 2, "rating": 0}
    with pytest.raises(DataError, match="has only 3 columns, expected the item in column 9"):
        positions(numbers | {"item": "9"})
    with pytest.raises(ConfigError, match=r"the item column must be a number, starting at 1.*\(got 'film'\)"):
        positions(numbers | {"item": "film"})


@pytest.mark.parametrize("separator", ['"', "\n", "a\r"])
def test_invalid_separator_is_a_config_error(separator: str) -> None:
    with pytest.raises(ConfigError, match=r"data.file.separator must not contain a quotation mark"):
        choose_formats(separator=separator)


def test_formats_of_a_table_follow_the_parameters() -> None:
    formats = choose_formats(separator="\\t", columns={"user": "u", "item": "i", "rating": "r"})
    assert formats.interactions.separator == "\t"
    assert formats.interactions.columns == {"user": "u", "item": "i", "rating": "r"}
    assert formats.items.columns["title"] == "title"


@pytest.mark.skipif(
    "MARQUEE_DATA_DIR" not in os.environ, reason="set MARQUEE_DATA_DIR to a folder with ml-1m and ml-100k"
)
def test_movielens_files_are_read_completely() -> None:
    folder = Path(os.environ["MARQUEE_DATA_DIR"])
    ratings = read_interactions(folder / "ml-1m" / "ratings.csv.gz", CSV_FORMAT)
    assert (ratings.num_rows, ratings["raw"].null_count) == (1_000_209, 1_000_209)
    assert ratings["line"].to_pylist()[-1] == 1_000_210
    release = RELEASES["ml-100k"]
    assert read_interactions(folder / "ml-100k" / "u.data", release.interactions).num_rows == 100_000
    items = read_items(folder / "ml-100k" / "u.item", release.items).to_pylist()
    assert len(items) == 1682
    assert items[0] == {"item": "1", "title": "Toy Story (1995)", "genres": "Animation|Children's|Comedy"}


ARBITRARY_FILES = st.one_of(
    st.binary(max_size=200),
    st.text(st.sampled_from('ab1,;"\n\r\x00\x1f.é'), max_size=60).map(str.encode),
    st.text(st.sampled_from('ab1,"\n\r'), max_size=60).map(
        lambda text: b"user,item,rating\n" + text.encode()
    ),
    st.binary(max_size=60).map(lambda data: b"PAR1" + data + b"PAR1"),
    st.tuples(st.binary(max_size=99), st.integers(0, 40)).map(
        lambda cut: gzip.compress(cut[0], mtime=0)[: cut[1]]
    ),
)


@given(
    ARBITRARY_FILES, st.sampled_from([CSV_FORMAT, *(RELEASES[name].interactions for name in MOVIELENS_LINES)])
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_give_a_table_or_a_one_line_error(
    tmp_path: Path, content: bytes, table_format: TableFormat
) -> None:
    path, messages = write_file(tmp_path, content), []
    for read in (read_interactions, read_items):
        try:
            table = read(path, table_format)
        except DataError as error:
            messages.append(str(error))
        else:
            assert table.num_rows <= len(content)
    assert "\n" not in "".join(messages)
