"""The stages fetch, ingest, validate and split: outputs, exit codes, and one-line error messages."""

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

from tests.support.commands import run_command
from tests.support.params import write_changed_params

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
VALID_TABLE = "user,item,rating,timestamp\n" + "".join(
    f"u{n % 9},i{n},{1 + n % 5},{1000 + n}\n" for n in range(60)
)
MOVIELENS_FOLDER = os.environ.get("MARQUEE_DATA_DIR")


class StageProject:
    """Folder with its own params.yaml in which stages can be run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "data" / "inbox").mkdir(parents=True)
        self.write_params()

    def write_params(self, **changes: Any) -> None:
        """Write params.yaml with changed keys; `data__path` stands for the key `data.path`."""

        def change(tree: dict[str, Any]) -> None:
            tree["data"]["demo"]["n_ratings"] = 2000
            for dotted, value in changes.items():
                *path, key = dotted.split("__")
                block = tree
                for part in path:
                    block = block[part]
                block[key] = value

        write_changed_params(self.folder / "params.yaml", change)

    def write_source(self, content: str | bytes, name: str = "ratings.csv", **changes: Any) -> None:
        """Write a table to the inbox and make it the data source."""
        data = content if isinstance(content, bytes) else content.encode()
        (self.folder / "data" / "inbox" / name).write_bytes(data)
        self.write_params(**{"data__source": "file", "data__path": f"data/inbox/{name}", **changes})

    def run(self, *stages: str) -> subprocess.CompletedProcess[str]:
        """Run the stages in order in one process; the first failure ends it."""
        code = "\n".join(
            f"from pipelines.stages.{stage} import {stage}\n"
            f"from pipelines.support.stage_runner import run_stage\n"
            f"run_stage({stage}, '{stage}')"
            for stage in stages
        )
        command = (
            [sys.executable, "-m", f"pipelines.stages.{stages[0]}"]
            if len(stages) == 1
            else [sys.executable, "-c", code]
        )
        env = {**os.environ, "PYTHONPATH": str(ROOT), "MARQUEE_CACHE": str(self.folder / "cache")}
        return run_command(command, self.folder, env)

    def run_failing(self, *stages: str, exit_code: int = 1) -> str:
        """Run stages, the last of which must fail with a one-line message, and return that message."""
        result = self.run(*stages)
        assert result.returncode == exit_code, result.stderr
        assert "Traceback" not in result.stderr
        lines = [line for line in result.stderr.splitlines() if line.startswith(f"{stages[-1]}: ")]
        assert len(lines) == 1, result.stderr
        assert result.stderr.splitlines()[-1] == lines[0]
        return lines[0].removeprefix(f"{stages[-1]}: ")

    def read_json(self, path: str) -> dict[str, Any]:
        tree: dict[str, Any] = json.loads((self.folder / path).read_text())
        return tree

    def read_quarantine(self) -> dict[int, str]:
        """Return the reasons for which rows were quarantined, by line number."""
        with (self.folder / "data" / "quarantine.csv").open(newline="") as stream:
            return {int(row["line"]): row["reasons"] for row in csv.DictReader(stream)}


@pytest.fixture
def project(tmp_path: Path) -> StageProject:
    return StageProject(tmp_path)


STAGES = ("fetch", "ingest", "validate")


def test_demo_data_passes_all_stages(project: StageProject) -> None:
    result = project.run(*STAGES)
    assert result.returncode == 0, result.stderr
    summary = project.read_json("results/validation.json")
    assert (summary["rows"], summary["invalid_rows"], summary["has_timestamps"]) == (2000, 0, True)
    assert sum(summary["histogram"].values()) == summary["interactions"]
    ratings = pd.read_parquet(project.folder / "data" / "interactions.parquet")
    assert {name: str(kind) for name, kind in ratings.dtypes.items()} == {
        "user": "str", "item": "str", "rating": "float32", "timestamp": "int64",
    }  # fmt: skip
    items = pd.read_parquet(project.folder / "data" / "items.parquet")
    assert list(items.columns) == ["item", "title", "genres"]
    assert set(ratings["item"]) <= set(items["item"])


def test_invalid_rows_are_quarantined_and_the_others_kept(project: StageProject) -> None:
    invalid_rows = "u1,i900,9,1000\nu1,i901,abc,1000\nu1,i902\n,i903,3,1000\nu1,i0,4,9999\n"
    project.write_source(VALID_TABLE + invalid_rows, validate__max_invalid_share=0.1)
    assert project.run(*STAGES).returncode == 0
    assert project.read_quarantine() == {
        62: "rating 9 is outside 1 to 5",
        63: "rating 'abc' is not a number",
        64: "expected 4 fields, got 2",
        65: "user is empty",
    }
    summary = project.read_json("results/validation.json")
    assert (summary["rows"], summary["valid_rows"], summary["invalid_rows"]) == (65, 61, 4)


def test_source_digest_depends_on_the_content(project: StageProject) -> None:
    project.write_source(VALID_TABLE)
    assert project.run("fetch").returncode == 0
    first = project.read_json("data/source.json")
    assert [file["name"] for file in first["files"]] == ["ratings.csv"]
    assert (first["interactions"], first["items"], first["scale"]) == ("ratings.csv", None, [1.0, 5.0])
    project.write_source(VALID_TABLE.replace("u1,", "v1,"))
    assert project.run("fetch").returncode == 0
    assert project.read_json("data/source.json")["digest"] != first["digest"]


RANDOM_BYTES = random.Random(0).randbytes(5000)
UNREADABLE_TABLES: dict[str, tuple[str | bytes, str]] = {
    "an empty file": (b"", "ratings.csv is empty (0 bytes)"),
    "a wrong separator": (VALID_TABLE.replace(",", ";"), "contains ';'; set data.file.separator to ';'"),
    "a missing column": (
        VALID_TABLE.replace("item", "film"),
        "has no column 'item', only user, film, rating",
    ),
    "binary data": (RANDOM_BYTES, "is not UTF-8 text: invalid byte"),
    "only a header": ("user,item,rating\n", "contains no interactions below its header"),
}


@pytest.mark.parametrize("case", UNREADABLE_TABLES)
def test_unreadable_table_is_reported_in_one_line(project: StageProject, case: str) -> None:
    content, message = UNREADABLE_TABLES[case]
    project.write_source(content)
    assert message in project.run_failing("fetch", "ingest")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty (0 bytes)"),
        (gzip.compress(b"", mtime=0), "is empty (a gzip file with 0 bytes of content)"),
        (VALID_TABLE.encode(), "has the suffix .gz but is not gzip"),
    ],
    ids=lambda value: "file" if isinstance(value, bytes) else None,
)
def test_invalid_gzip_file_is_reported_in_one_line(
    project: StageProject, content: bytes, message: str
) -> None:
    project.write_source(content, "ratings.csv.gz")
    assert message in project.run_failing("fetch", "ingest")


def test_invalid_rating_fails_validation_if_none_is_allowed(project: StageProject) -> None:
    project.write_source(VALID_TABLE + "u1,i900,abc,1000\n", validate__max_invalid_share=0)
    message = project.run_failing(*STAGES)
    assert "1 of 61 rows are invalid" in message
    assert "first: line 62 (rating 'abc' is not a number)" in message
    assert project.read_quarantine() == {62: "rating 'abc' is not a number"}
    assert not (project.folder / "data" / "interactions.parquet").exists()


INVALID_ROWS = {
    "u1,i900,7,1000": "rating is outside the scale (1)",
    "u1,i901,,1000": "rating is missing (1)",
    ",i902,3,1000": "user is empty (1)",
    "u1,i903,3,99999999999": "timestamp is in the future (1)",
    "u1,i904,3,-5": "timestamp is before 1970 (1)",
    "u1,i905,3,": "timestamp is missing while other rows have one (1)",
}


def test_all_broken_rules_are_reported_in_one_line(project: StageProject) -> None:
    project.write_source(VALID_TABLE + "\n".join(INVALID_ROWS) + "\n")
    message = project.run_failing(*STAGES)
    assert "6 of 66 rows are invalid" in message
    assert [rule for rule in INVALID_ROWS.values() if rule not in message] == []
    assert list(project.read_quarantine()) == [62, 63, 64, 65, 66, 67]


def test_repeated_rating_fails_validation_under_policy_refuse(project: StageProject) -> None:
    project.write_source(VALID_TABLE + "u0,i0,5,5000\n", interactions__repeats="refuse")
    assert "line 62 (same user and item as line 2)" in project.run_failing(*STAGES)


def test_missing_source_is_reported_in_one_line(project: StageProject) -> None:
    project.write_params(data__source="file", data__path="gone.csv")
    assert "gone.csv does not exist" in project.run_failing("fetch")


def test_invalid_movielens_archive_is_reported_in_one_line(project: StageProject) -> None:
    project.write_source(RANDOM_BYTES, "ml-1m.zip", data__source="ml-1m")
    assert "is not an ml-1m archive" in project.run_failing("fetch")


def test_column_name_without_header_is_a_config_error(project: StageProject) -> None:
    project.write_source(VALID_TABLE, data__file__header=False)
    assert "the user column must be a number, starting at 1" in project.run_failing(
        "fetch", "ingest", exit_code=2
    )


def test_error_about_missing_output_says_to_run_the_pipeline(project: StageProject) -> None:
    assert "run the pipeline" in project.run_failing("ingest")


@pytest.mark.skipif(MOVIELENS_FOLDER is None, reason="set MARQUEE_DATA_DIR to a folder with ml-100k")
def test_movielens_100k_passes_all_stages(project: StageProject) -> None:
    project.write_params(data__source="ml-100k", data__path=str(Path(MOVIELENS_FOLDER or "") / "ml-100k"))
    result = project.run(*STAGES)
    assert result.returncode == 0, result.stderr
    summary = project.read_json("results/validation.json")
    assert (summary["interactions"], summary["users"], summary["items"], summary["invalid_rows"]) == (
        100_000,
        943,
        1682,
        0,
    )
