"""The stages fetch, ingest, validate and split: outputs, exit codes, and one-line error messages."""

import csv
import gzip
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pytest

from experiments.report.page import SPLIT_NAMES
from marquee.interactions.parts import N_VALIDATION_PARTS, Strategy
from pipelines.stages.select import PARTS_OF_STRATEGY
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
        code = "\n".join(f"run_module('pipelines.stages.{stage}', run_name='__main__')" for stage in stages)
        command = (
            [sys.executable, "-m", f"pipelines.stages.{stages[0]}"]
            if len(stages) == 1
            else [sys.executable, "-c", f"from runpy import run_module\n{code}"]
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


IMPLICIT_COLUMNS = {"user": "user", "item": "item", "timestamp": "timestamp"}
EVENTS = {"column": "event", "weights": {"view": 1, "buy": 5, "ignore": 0, "return": -5}}


def event_table(n_users: int = 30, n_rounds: int = 10) -> str:
    """Return events of users who act in turn; every second user acts twice on each item."""
    rows = ["user,item,event,quantity,timestamp"]
    for time in range(n_rounds):
        event, start = ("view", "buy", "view")[time % 3], 1000 + time * n_users
        rows += [
            f"u{user},i{(user + time // (1 + user % 2)) % 12},{event},{1 + time},{start + user}"
            for user in range(n_users)
        ]
    return "\n".join(rows) + "\n"


def test_events_pass_all_stages_as_implicit_feedback(project: StageProject) -> None:
    extra = "u1,i1,ignore,1,2000\nu1,i1,return,1,2000\nu2,i2,buy,-1,2000\n"
    columns = IMPLICIT_COLUMNS | {"weight": "quantity", "event": EVENTS}
    project.write_source(event_table() + extra, data__file__columns=columns, split__strategy="auto")
    result = project.run(*STAGES, "split")
    assert result.returncode == 0, result.stderr
    assert "feedback is implicit, as there are no ratings; weights are column quantity times" in result.stderr
    assert "left out 2 of 303 rows whose weight is negative" in result.stderr
    assert project.read_quarantine() == {
        302: "weight is 0 for event 'ignore' (left out)",
        303: "weight is negative for event 'return' (left out)",
        304: "weight is negative for event 'buy' (left out)",
    }
    feedback = project.read_json("data/feedback.json")
    assert (feedback["feedback"], feedback["scale"], feedback["positive_from"], feedback["repeats"]) == (
        "implicit", None, 0.0, "sum",
    )  # fmt: skip
    split = project.read_json("data/split/split.json")
    assert (split["strategy"], split["rolling"]) == ("user_last", True)
    assert split["reason"].startswith("user_last split, because three windows of time would evaluate")
    files = {path.name for path in (project.folder / "data" / "split").iterdir()}
    names = {"rows", "train", "test", "repeats", "history"}
    assert files == {"split.json", *(f"{name}.parquet" for name in names)}


def test_split_files_contain_every_valid_row_once(project: StageProject) -> None:
    columns = IMPLICIT_COLUMNS | {"event": EVENTS}
    project.write_source(event_table(), data__file__columns=columns, split__strategy="time")
    assert project.run(*STAGES, "split").returncode == 0
    folder = project.folder / "data" / "split"
    rows = pd.read_parquet(folder / "rows.parquet")
    assert rows["part"].tolist() == sorted(rows["part"])  # the table is in order of time
    assert rows["part"].value_counts().to_dict() == {-1: 180, 0: 30, 1: 30, 2: 30}
    test = pd.concat([pd.read_parquet(folder / f"{name}.parquet") for name in ("test", "repeats", "history")])
    everything = pd.concat([rows, test])
    assert everything["timestamp"].sort_values().tolist() == list(range(1000, 1300))


@pytest.mark.parametrize("strategy", ["random", "time", "user_last"])
def test_rows_after_the_cut_change_no_byte_of_the_training_files(
    project: StageProject, strategy: str
) -> None:
    columns = IMPLICIT_COLUMNS | {"event": EVENTS}
    first = read_training_files(project, event_table(), columns, strategy)
    test = pd.concat(
        [pd.read_parquet(project.folder / f"data/split/{name}.parquet") for name in ("test", "repeats")]
    )
    later = {str(timestamp) for timestamp in test["timestamp"]}
    lines = event_table().splitlines()
    changed = [line.replace("view", "buy") if line.split(",")[-1] in later else line for line in lines]
    if strategy != "random":
        changed = [line + "000" if line.split(",")[-1] in later else line for line in changed]
    assert changed != lines
    assert read_training_files(project, "\n".join(changed) + "\n", columns, strategy) == first


def read_training_files(
    project: StageProject, content: str, columns: dict[str, Any], strategy: str
) -> dict[str, bytes]:
    """Run the stages, and return the files from which models are trained."""
    project.write_source(content, data__file__columns=columns, split__strategy=strategy)
    result = project.run(*STAGES, "split")
    assert result.returncode == 0, result.stderr
    folder = project.folder / "data" / "split"
    return {name: (folder / name).read_bytes() for name in ("rows.parquet", "train.parquet")}


def test_constant_ratings_are_used_as_implicit_feedback_or_refused(project: StageProject) -> None:
    table = VALID_TABLE.splitlines()
    fives = "\n".join([table[0], *(",".join([*row.split(",")[:2], "5", "1000"]) for row in table[1:])])
    project.write_source(fives)
    result = project.run(*STAGES)
    assert result.returncode == 0
    assert "all 60 ratings are 5, which says nothing about taste" in result.stderr
    assert project.read_json("data/feedback.json")["feedback"] == "implicit"
    project.write_source(fives, interactions__feedback="explicit")
    assert "set interactions.feedback to implicit" in project.run_failing(*STAGES)
    assert not (project.folder / "data" / "interactions.parquet").exists()
    assert project.read_json("results/validation.json")["interactions"] == 60


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("user,item,rating\na,x,1\na,y,2\na,z,9\n", "all 2 interactions belong to one user, 'a'"),
        ("user,item,rating\na,x,1\nb,x,2\nc,x,9\n", "all 2 interactions are of one item, 'x'"),
    ],
)
def test_unlearnable_table_is_rejected_in_one_line_and_nothing_is_lost(
    project: StageProject, content: str, message: str
) -> None:
    project.write_source(content, validate__max_invalid_share=0.5)
    assert message in project.run_failing(*STAGES)
    assert list(project.read_quarantine()) == [4]
    summary = project.read_json("results/validation.json")
    assert (summary["rows"], summary["interactions"], summary["invalid_rows"]) == (3, 2, 1)


def test_ratings_are_used_before_weights_and_the_output_says_so(project: StageProject) -> None:
    columns = {name: name for name in ("user", "item", "rating", "timestamp")} | {"weight": "rating"}
    project.write_source(VALID_TABLE, data__file__columns=columns)
    result = project.run(*STAGES)
    assert "ratings are used, column rating not: set data.file.columns.rating to null" in result.stderr
    assert "feedback is explicit, as there are ratings" in result.stderr


def test_items_without_interactions_are_reported(project: StageProject) -> None:
    project.write_source(VALID_TABLE, data__path="data/inbox")
    items = "item\n" + "".join(f"i{number}\n" for number in range(70))
    (project.folder / "data" / "inbox" / "items.csv").write_text(items)
    result = project.run(*STAGES)
    assert "10 of 70 items have no interactions, so no list will contain them" in result.stderr
    assert "only 9 users: with fewer than 20, scores say little about other users" in result.stderr
    assert len(project.read_json("results/validation.json")["warnings"]) == 2


def test_repeats_are_aggregated_after_the_split(project: StageProject) -> None:
    project.write_source(VALID_TABLE + "u0,i0,5,900\n" * 2)
    result = project.run(*STAGES, "split")
    assert "2 interactions repeat a user and item; the last one counts" in result.stderr
    assert len(pd.read_parquet(project.folder / "data" / "interactions.parquet")) == 62
    pairs = [pd.read_parquet(project.folder / f"data/split/{name}.parquet") for name in ("train", "test")]
    assert [len(frame) for frame in pairs] == [54, 6]
    both = pd.concat(pairs).set_index(["user", "item"])["rating"]
    assert both.loc[("u0", "i0")] == 1.0  # the latest, not the last in the file


def test_missing_source_is_reported_in_one_line(project: StageProject) -> None:
    project.write_params(data__source="file", data__path="gone.csv")
    assert "gone.csv not found" in project.run_failing("fetch")


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


def test_test_part_that_evaluates_nobody_is_a_warning(project: StageProject) -> None:
    """Each user has one row, so no user with a held-out pair has training rows."""
    table = "user,item\n" + "\n".join(f"u{row},i{row % 9}" for row in range(60)) + "\n"
    columns = {"user": "user", "item": "item"}
    project.write_source(table, data__file__columns=columns, split__strategy="random")
    result = project.run(*STAGES, "split")
    assert result.returncode == 0, result.stderr
    assert "its test part evaluates 0 of 6 users" in result.stderr
    assert "no list will have a score on the test part" in result.stderr


def test_table_whose_pairs_were_all_returned_is_rejected(project: StageProject) -> None:
    pairs = [f"u{row % 30},i{row % 7}" for row in range(90)]
    table = "user,item,quantity\n" + "\n".join(
        f"{pair},{amount}" for amount in (0.1, 0.2, -0.3) for pair in pairs
    )
    columns = {"user": "user", "item": "item", "weight": "quantity"}
    project.write_source(table, data__file__columns=columns, interactions__negative_weights="subtract")
    assert "no user and item have a positive weight" in project.run_failing(*STAGES)
    warnings = project.read_json("results/validation.json")["warnings"]
    assert warnings[0].startswith("90 rows with a negative weight are subtracted, which leaves nothing of ")


def test_all_users_may_have_all_items_if_repeats_are_allowed(project: StageProject) -> None:
    table = "user,item\n" + "\n".join(f"u{user},i{item}" for user in range(30) for item in range(4)) + "\n"
    columns = {"user": "user", "item": "item"}
    project.write_source(table, data__file__columns=columns)
    assert "every user has interacted with every item" in project.run_failing(*STAGES)
    project.write_source(table, data__file__columns=columns, split__repeat="allow")
    assert project.run(*STAGES).returncode == 0


def test_explanation_and_report_have_words_for_every_strategy() -> None:
    strategies = {*get_args(Strategy)}
    assert PARTS_OF_STRATEGY.keys() == SPLIT_NAMES.keys() == strategies
    assert N_VALIDATION_PARTS == 3, "PARTS_OF_STRATEGY says three"
