"""Every format becomes the same tables, and every row of it is kept."""

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

from experiments.config.offline import Data, load_params
from experiments.datasets.csv_header import positions
from experiments.datasets.csv_reader import _by_record, _Narrowed, read_cells
from experiments.datasets.encoding import survey
from experiments.datasets.items import items_of, items_table
from experiments.datasets.movielens import DATASETS, Layout
from experiments.datasets.readers import layouts, ratings_table
from marquee.errors import ConfigError, DataError
from marquee.interactions.raw_schema import INGESTED_COLUMNS

ROOT = Path(__file__).parents[3]
ROWS = {"line", "user", "item", "rating", "timestamp"}
PLAIN = Layout({name: name for name in ("user", "item", "rating", "timestamp")})


def rows(path: Path, layout: Layout = PLAIN, columns: set[str] = ROWS) -> list[tuple[Any, ...]]:
    table = ratings_table(path, layout)
    assert set(table.column_names) == set(INGESTED_COLUMNS)
    return [tuple(row[name] for name in INGESTED_COLUMNS if name in columns) for row in table.to_pylist()]


def wrong(path: Path, layout: Layout = PLAIN) -> list[tuple[Any, ...]]:
    """Line, raw, and what is wrong, of the rows that could not be read."""
    return [
        (row["line"], row["raw"], row["fault"] or row["rating_text"] or row["timestamp_text"])
        for row in ratings_table(path, layout).to_pylist()
        if row["raw"] is not None
    ]


def put(folder: Path, text: str | bytes, name: str = "ratings.csv") -> Path:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


FORMATS = {
    "ml-100k": "1\t2\t3\t881250949\n",
    "ml-1m": "1::2::3::881250949\n",
    "ml-10m": "1::2::3.0::881250949\n",
    "ml-25m": "userId,movieId,rating,timestamp\n1,2,3.0,881250949\n",
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_published_formats_are_read_alike(tmp_path, name):
    line = 2 if name == "ml-25m" else 1
    path = put(tmp_path, FORMATS[name])
    assert rows(path, DATASETS[name].ratings) == [(line, "1", "2", 3.0, 881250949.0)]


def test_the_genre_flags_of_100k_become_words(tmp_path):
    flags = "|".join("1" if n in (5, 6) else "0" for n in range(19))
    line = f'1|Misérables, "Les" (1995)|01-Jan-1995||http://x|{flags}\n'
    table = items_table(put(tmp_path, line.encode("latin-1")), DATASETS["ml-100k"].items)
    assert table.to_pylist() == [
        {"item": "1", "title": 'Misérables, "Les" (1995)', "genres": "Comedy|Crime"},
    ]


def test_items_with_colons_quotes_and_no_genres(tmp_path):
    path = put(tmp_path, b'1::"Caf\xe9": a title::Drama|War\n2::B::(no genres listed)\n')
    assert [tuple(row.values()) for row in items_table(path, DATASETS["ml-1m"].items).to_pylist()] == [
        ("1", '"Café": a title', "Drama|War"),
        ("2", "B", ""),
    ]


def test_quoted_titles_of_the_csv_archives(tmp_path):
    path = put(tmp_path, 'movieId,title,genres\n1,"American President, The (1995)",Comedy\n')
    (row,) = items_table(path, DATASETS["ml-25m"].items).to_pylist()
    assert row["title"] == "American President, The (1995)"


def test_the_first_of_two_items_with_one_id_is_kept(tmp_path, caplog):
    path = put(tmp_path, "item,title\na,first\nb,B\na,second\n,nobody\nc\n")
    table = items_table(path, Layout({"item": "item", "title": "title", "genres": "genres"}))
    assert table.to_pydict() == {"item": ["a", "b"], "title": ["first", "B"], "genres": ["", ""]}
    assert "1 items repeat an id" in caplog.text
    assert "2 lines are no items" in caplog.text


def test_items_are_made_from_the_ratings_where_there_are_none(tmp_path):
    table = items_of(ratings_table(put(tmp_path, "user,item,rating\na,x,1\nb,x,2\na,y,3\nz\n"), PLAIN))
    assert table.to_pydict() == {"item": ["x", "y"], "title": ["x", "y"], "genres": ["", ""]}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_bad_rows_keep_their_line_and_text(tmp_path, end):
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
    path = put(tmp_path, end.join(lines))
    assert wrong(path) == [
        (3, "a,y,abc,11", "abc"),
        (4, "b,x", "2 fields instead of 4"),
        (6, "b,y,4,soon", "soon"),
        (8, "d,,,", None),
    ]
    assert [row[0] for row in rows(path)] == [2, 3, 4, 6, 7, 8]
    assert rows(path)[4] == (7, "c", "x", 5.0, 12.0)


def test_an_open_quote_costs_its_own_line_only(tmp_path):
    lines = (
        ["user,item,rating", '"a, b",x,3', 'c,"x,4']
        + [f"u{n},x,{n % 5}" for n in range(200)]
        + ['d,"y\nz",5']
    )
    path = put(tmp_path, "\n".join(lines) + "\n")
    assert wrong(path) == [(3, 'c,"x,4', "a quotation mark is never closed")]
    read = rows(path)
    assert len(read) == 203
    assert read[0][:4] == (2, "a, b", "x", 3.0)
    assert read[2][:4] == (4, "u0", "x", 0.0)
    assert read[-1][:4] == (204, "d", "y\nz", 5.0)


@given(
    st.lists(
        st.lists(st.text(st.sampled_from('ab,"; \n'), max_size=4), min_size=3, max_size=3),
        min_size=1,
        max_size=8,
    ),
    st.booleans(),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arrows_reader_and_pythons_agree_on_well_formed_rows(tmp_path, cells, final_newline):
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in cells]
    path = put(tmp_path, "user,item,rating\n" + "\n".join(quoted) + "\n" * final_newline)
    found = survey(path, "utf-8")
    wanted = {"user": 0, "item": 1, "rating": 2}
    table = read_cells(path, PLAIN, wanted, found)
    assert [[row[name] for name in wanted] for row in table.to_pylist()] == cells
    assert table.equals(pa.concat_tables(list(_by_record(path, PLAIN, wanted, 3))).combine_chunks())


@given(st.text(st.sampled_from(":ab"), max_size=40), st.sampled_from(["::", "ab", ":::"]), st.integers(3, 9))
def test_a_long_separator_is_replaced_across_blocks(text, separator, size):
    narrowed, out = _Narrowed(io.BytesIO(text.encode()), separator.encode()), b""
    while block := narrowed.read(size):
        assert len(block) <= size
        out += block
    assert out.decode() == text.replace(separator, "\x1f")


def test_compressed_marked_and_oddly_ordered_files(tmp_path):
    text = "\ufeffrating;stars by;what;note\n4;a;x;hello\n"
    path = put(tmp_path, gzip.compress(text.encode()), "ratings.csv.gz")
    layout = Layout(
        {"user": "stars by", "item": "what", "rating": "rating", "timestamp": "at"}, separator=";"
    )
    assert rows(path, layout) == [(2, "a", "x", 4.0, None)]


def test_one_column_may_serve_twice(tmp_path):
    layout = Layout({"user": "1", "item": "1", "rating": "2"}, header=False)
    assert rows(put(tmp_path, "a,3\n"), layout) == [(1, "a", "a", 3.0, None)]


def test_parquet_of_other_types_and_dates(tmp_path):
    table = pa.table(
        {
            "user": pa.array([7, None], pa.int64()),
            "item": pa.array(["x", "y"]).dictionary_encode(),
            "rating": pa.array(["3", "many"]),
            "timestamp": pa.array([1_000_000_000_500, None], pa.timestamp("ms")),
        }
    )
    pq.write_table(table, tmp_path / "r.parquet")
    assert rows(tmp_path / "r.parquet") == [(1, "7", "x", 3.0, 1e9 + 0.5), (2, "", "y", None, None)]
    ((line, raw, text),) = wrong(tmp_path / "r.parquet")
    assert (line, text) == (2, "many")
    assert raw == '{"user": null, "item": "y", "rating": "many", "timestamp": null}'


def test_parquet_ids_as_floats_are_numbers_where_they_are_whole_and_text_where_not(tmp_path):
    table = pa.table({"user": [7.0, float("nan"), 9.0], "item": [2.5, 3.0, 4.0], "rating": [3.0, 4.0, 5.0]})
    pq.write_table(table, tmp_path / "r.parquet")
    assert [row[1:3] for row in rows(tmp_path / "r.parquet")] == [("7", "2.5"), ("", "3"), ("9", "4")]


def test_parquet_with_a_column_of_lists_is_one_line(tmp_path):
    table = pa.table({"user": ["a"], "item": ["x"], "rating": pa.array([[3.0]])})
    pq.write_table(table, tmp_path / "r.parquet")
    with pytest.raises(DataError, match="cannot be read as Parquet: Unsupported cast"):
        ratings_table(tmp_path / "r.parquet", PLAIN)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"user,item,rating\n", "holds no ratings under its header"),
        (b"user,item,rating\n\n\n", "holds no ratings under its header"),
        (b"user;item;rating\na;x;3\n", "looks separated by ';': set data.file.separator"),
        (b"user,film,rating\na,x,3\n", "no column 'item' for item among user, film, rating"),
        (
            b"USER,Items,rating\na,x,3\n",
            "no column 'user' for user among USER, Items, rating: did you mean 'USER'",
        ),
        (
            b"1,1193,5,978300760\n",
            r"has no header but starts with \['1', '1193', .*: set data.file.header to false",
        ),
        (b"user,user,item,rating\na,a,x,3\n", "2 columns called 'user'"),
        (b"user,item,rating\n\xe9,x,3\n", "byte 0xe9 in line 2; save the table as UTF-8"),
        (b"user,item,rating\na,x,3\n\xc3", "byte 0xc3 in line 3"),
        (b"\xef\xbb\xbf", "starts with an empty line: its header belong"),
        (b"\nuser,item,rating\n", "starts with an empty line"),
        (bytes(range(256)), "is not text: byte 0x00 in line 1"),
        (b"\xff" + bytes(9), "is not text: byte 0xff in line 1"),
        (b"PK\x03\x04more", "is a zip archive or a spreadsheet"),
        (b"PAR1rubbishPAR1", "cannot be read as Parquet"),
        (b"\x1f\x8bbroken gzip", "is damaged gzip"),
        (gzip.compress(b"user,item,rating\na,x,3\n" * 9999, mtime=0)[:-20], "is damaged gzip"),
        (gzip.compress(b"", mtime=0), "holds no bytes behind its gzip header"),
        (gzip.compress(b"a" * (3 << 20), mtime=0), "unpacks to more than 200 times"),
    ],
    ids=lambda value: "file" if isinstance(value, bytes) else None,
)
def test_bad_files_are_one_line(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as caught:
        ratings_table(put(tmp_path, content), PLAIN)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_only_called_gz(tmp_path):
    with pytest.raises(DataError, match=r"is called .gz but is not gzip"):
        ratings_table(put(tmp_path, "user,item,rating\na,x,3\n", "ratings.csv.gz"), PLAIN)


def test_columns_without_a_header_are_numbers(tmp_path):
    path = put(tmp_path, "3,a,x\n")
    names = {"user": "2", "item": "3", "rating": "1", "timestamp": "4"}
    assert positions(path, "3,a,x", Layout(names, header=False), {"timestamp"}) == {
        "user": 1,
        "item": 2,
        "rating": 0,
    }
    with pytest.raises(DataError, match="has 3 columns and no column 9 for item"):
        positions(path, "3,a,x", Layout(names | {"item": "9"}, header=False), {"timestamp"})
    with pytest.raises(ConfigError, match="item is a column number from 1, not 'film'"):
        positions(path, "3,a,x", Layout(names | {"item": "film"}, header=False), {"timestamp"})


@pytest.mark.parametrize("separator", ['"', "\n", "a\r"])
def test_a_separator_that_separates_nothing_is_an_error_of_the_parameters(separator):
    data = load_params(ROOT / "params.yaml").data.model_dump()
    file = data["file"] | {"separator": separator}
    with pytest.raises(ConfigError, match="separates nothing"):
        layouts(Data.model_validate(data | {"source": "file", "file": file}))


def test_the_file_block_becomes_a_layout():
    data = load_params(ROOT / "params.yaml").data.model_dump()
    file = data["file"] | {"separator": "\\t", "columns": {"user": "u", "item": "i", "rating": "r"}}
    ratings, items = layouts(Data.model_validate(data | {"source": "file", "file": file}))
    assert (ratings.separator, dict(ratings.columns)) == ("\t", {"user": "u", "item": "i", "rating": "r"})
    assert items.columns["title"] == "title"


@pytest.mark.skipif(
    "MARQUEE_DATA_DIR" not in os.environ, reason="MARQUEE_DATA_DIR does not name a folder of MovieLens"
)
def test_the_real_files_are_read_whole():
    folder = Path(os.environ["MARQUEE_DATA_DIR"])
    read = ratings_table(folder / "ml-1m" / "ratings.csv.gz", PLAIN)
    assert (read.num_rows, read["raw"].null_count) == (1_000_209, 1_000_209)
    assert read["line"].to_pylist()[-1] == 1_000_210
    hundred = DATASETS["ml-100k"]
    assert ratings_table(folder / "ml-100k" / "u.data", hundred.ratings).num_rows == 100_000
    items = items_table(folder / "ml-100k" / "u.item", hundred.items).to_pylist()
    assert len(items) == 1682
    assert items[0] == {"item": "1", "title": "Toy Story (1995)", "genres": "Animation|Children's|Comedy"}


rubbish = st.one_of(
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


@given(rubbish, st.sampled_from([PLAIN, *(DATASETS[name].ratings for name in FORMATS)]))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_bytes_are_there_is_a_table_or_one_line(tmp_path, content, layout):
    path, problems = put(tmp_path, content), []
    for read in (ratings_table, items_table):
        try:
            table = read(path, layout)
        except DataError as error:
            problems.append(str(error))
        else:
            assert table.num_rows <= len(content)
    assert "\n" not in "".join(problems)
