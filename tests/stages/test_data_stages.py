"""fetch, ingest and validate as a person runs them: outputs, exit codes, one line for what is wrong."""

import csv
import gzip
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).parents[2]
GOOD = "user,item,rating,timestamp\n" + "".join(f"u{n % 9},i{n},{1 + n % 5},{1000 + n}\n" for n in range(60))
DATA = os.environ.get("MARQUEE_DATA_DIR")


class Project:
    """A folder with a params.yaml of its own, in which stages run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "data" / "inbox").mkdir(parents=True)
        self.set()

    def set(self, **changes: Any) -> None:
        """Write params.yaml: the repository's, with keys changed by their dotted names (`__` for the dot)."""
        tree = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        tree["data"]["demo"]["n_ratings"] = 2000
        for dotted, value in changes.items():
            *path, key = dotted.split("__")
            block = tree
            for part in path:
                block = block[part]
            block[key] = value
        (self.folder / "params.yaml").write_text(yaml.safe_dump(tree))

    def put(self, content: str | bytes, name: str = "ratings.csv", **changes: Any) -> None:
        """Put a table into the inbox and make it the source."""
        data = content if isinstance(content, bytes) else content.encode()
        (self.folder / "data" / "inbox" / name).write_bytes(data)
        self.set(**{"data__source": "file", "data__path": f"data/inbox/{name}", **changes})

    def run(self, *stages: str) -> subprocess.CompletedProcess[str]:
        """Run stages in one process, each as `python -m pipelines.stages.NAME`; stop at the first failure."""
        code = "\n".join(
            f"from pipelines.stages.{stage} import {stage}\n"
            f"from pipelines.support.stage_runner import run\n"
            f"run({stage}, '{stage}')"
            for stage in stages
        )
        command = (
            [sys.executable, "-m", f"pipelines.stages.{stages[0]}"]
            if len(stages) == 1
            else [sys.executable, "-c", code]
        )
        env = {**os.environ, "PYTHONPATH": str(ROOT), "MARQUEE_CACHE": str(self.folder / "cache")}
        return subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)

    def fails(self, *stages: str, exit_code: int = 1) -> str:
        """Run stages that must fail with one line; that line."""
        done = self.run(*stages)
        assert done.returncode == exit_code, done.stderr
        assert "Traceback" not in done.stderr
        lines = [line for line in done.stderr.splitlines() if line.startswith(f"{stages[-1]}: ")]
        assert len(lines) == 1, done.stderr
        assert done.stderr.splitlines()[-1] == lines[0]
        return lines[0].removeprefix(f"{stages[-1]}: ")

    def json(self, path: str) -> dict[str, Any]:
        tree: dict[str, Any] = json.loads((self.folder / path).read_text())
        return tree

    def quarantine(self) -> dict[int, str]:
        with (self.folder / "data" / "quarantine.csv").open(newline="") as stream:
            return {int(row["line"]): row["reasons"] for row in csv.DictReader(stream)}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


ALL = ("fetch", "ingest", "validate")


def test_the_demo_goes_through_all_three(project):
    done = project.run(*ALL)
    assert done.returncode == 0, done.stderr
    found = project.json("results/validation.json")
    assert (found["rows_in"], found["rows_bad"], found["has_timestamps"]) == (2000, 0, True)
    assert sum(found["histogram"].values()) == found["ratings"]
    ratings = pd.read_parquet(project.folder / "data" / "ratings.parquet")
    assert {name: str(kind) for name, kind in ratings.dtypes.items()} == {
        "user": "str", "item": "str", "rating": "float32", "timestamp": "int64",
    }  # fmt: skip
    items = pd.read_parquet(project.folder / "data" / "items.parquet")
    assert list(items.columns) == ["item", "title", "genres"]
    assert set(ratings["item"]) <= set(items["item"])


def test_bad_rows_are_set_aside_and_the_rest_goes_on(project):
    bad = "u1,i900,9,1000\nu1,i901,abc,1000\nu1,i902\n,i903,3,1000\nu1,i0,4,9999\n"
    project.put(GOOD + bad, validate__max_bad_share=0.1)
    assert project.run(*ALL).returncode == 0
    assert project.quarantine() == {
        62: "rating 9 is outside 1 to 5",
        63: "rating 'abc' is not a number",
        64: "2 fields instead of 4",
        65: "user is empty",
    }
    found = project.json("results/validation.json")
    assert (found["rows_in"], found["rows_good"], found["rows_bad"]) == (65, 61, 4)


def test_the_source_note_holds_the_digest_of_what_was_read(project):
    project.put(GOOD)
    assert project.run("fetch").returncode == 0
    first = project.json("data/source.json")
    assert [file["name"] for file in first["files"]] == ["ratings.csv"]
    assert (first["ratings"], first["items"], first["scale"]) == ("ratings.csv", None, [1.0, 5.0])
    project.put(GOOD.replace("u1,", "v1,"))
    assert project.run("fetch").returncode == 0
    assert project.json("data/source.json")["digest"] != first["digest"]


RUBBISH = random.Random(0).randbytes(5000)
INGEST = {
    "an empty file": (b"", "ratings.csv is empty (0 bytes)"),
    "a wrong separator": (GOOD.replace(",", ";"), "looks separated by ';': set data.file.separator"),
    "a missing column": (
        GOOD.replace("item", "film"),
        "has no column 'item' for item among user, film, rating",
    ),
    "binary rubbish": (RUBBISH, "is not text: byte"),
    "only a header": ("user,item,rating\n", "holds no ratings under its header"),
}


@pytest.mark.parametrize("what", INGEST)
def test_ingest_says_in_one_line_what_is_wrong_with(project, what):
    content, message = INGEST[what]
    project.put(content)
    assert message in project.fails("fetch", "ingest")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty (0 bytes)"),
        (gzip.compress(b"", mtime=0), "holds no bytes behind its gzip header"),
        (GOOD.encode(), "is called .gz but is not gzip"),
    ],
    ids=lambda value: "file" if isinstance(value, bytes) else None,
)
def test_a_gzip_with_nothing_in_it_is_one_line(project, content, message):
    project.put(content, "ratings.csv.gz")
    assert message in project.fails("fetch", "ingest")


def test_a_rating_that_is_no_number_is_one_line_where_none_may_be(project):
    project.put(GOOD + "u1,i900,abc,1000\n", validate__max_bad_share=0)
    line = project.fails(*ALL)
    assert "1 of 61 rows are bad" in line
    assert "first: line 62 (rating 'abc' is not a number)" in line
    assert project.quarantine() == {62: "rating 'abc' is not a number"}
    assert not (project.folder / "data" / "ratings.parquet").exists()


BROKEN = {
    "u1,i900,7,1000": "1 rating is outside the scale",
    "u1,i901,,1000": "1 rating is missing",
    ",i902,3,1000": "1 user is empty",
    "u1,i903,3,99999999999": "1 timestamp is in the future",
    "u1,i904,3,-5": "1 timestamp is before 1970",
    "u1,i905,3,": "1 timestamp is missing while other rows have one",
}


def test_validate_names_every_rule_that_is_broken_in_one_line(project):
    project.put(GOOD + "\n".join(BROKEN) + "\n")
    line = project.fails(*ALL)
    assert "6 of 66 rows are bad" in line
    assert [message for message in BROKEN.values() if message not in line] == []
    assert list(project.quarantine()) == [62, 63, 64, 65, 66, 67]


def test_a_second_rating_is_refused_where_that_is_the_policy(project):
    project.put(GOOD + "u0,i0,5,5000\n", validate__duplicates="refuse")
    assert "line 62 (the same user and item as line 2)" in project.fails(*ALL)


def test_a_path_that_is_not_there_is_one_line(project):
    project.set(data__source="file", data__path="gone.csv")
    assert "gone.csv does not exist" in project.fails("fetch")


def test_an_official_archive_that_is_something_else_is_one_line(project):
    project.put(RUBBISH, "ml-1m.zip", data__source="ml-1m")
    assert "is no archive of ml-1m" in project.fails("fetch")


def test_a_column_name_without_a_header_is_an_error_of_the_parameters(project):
    project.put(GOOD, data__file__header=False)
    assert "without a header user is a column number" in project.fails("fetch", "ingest", exit_code=2)


def test_a_stage_before_its_time_says_so(project):
    assert "run the pipeline" in project.fails("ingest")


@pytest.mark.skipif(DATA is None, reason="MARQUEE_DATA_DIR does not name a folder of MovieLens")
def test_the_real_100k_goes_through(project):
    project.set(data__source="ml-100k", data__path=str(Path(DATA or "") / "ml-100k"))
    done = project.run(*ALL)
    assert done.returncode == 0, done.stderr
    found = project.json("results/validation.json")
    assert (found["ratings"], found["users"], found["items"], found["rows_bad"]) == (100_000, 943, 1682, 0)
