"""`marquee recommend`: its formats agree with the service, and no error leaves a partial file."""

import csv
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

from marquee.events import Feedback, encode
from pipelines import cli
from pipelines.commands import recommend
from tests.support.sample_replica import replica_settings, running_replica, write_sample_model


class Outcome(NamedTuple):
    """Exit code and output of a command."""

    code: int
    stdout: str
    stderr: str


RunCommand = Callable[..., Outcome]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> RunCommand:
    """Run `marquee recommend` in a folder that contains only the folder `model`, with the sample model."""
    write_sample_model(tmp_path / "model", scorers="factors")
    monkeypatch.chdir(tmp_path)
    for variable in ("MARQUEE_MODEL", "MARQUEE_AVAILABILITY"):
        monkeypatch.delenv(variable, raising=False)

    def run_command(*arguments: str) -> Outcome:
        options = arguments if "--model" in arguments else (*arguments, "--model", "model")
        monkeypatch.setattr(sys, "argv", ["marquee", "recommend", *options])
        return Outcome(_exit_code_of(cli.main), *capfd.readouterr())

    return run_command


def _exit_code_of(function: Callable[[], None]) -> int:
    try:
        function()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else -1
    return 0


def written_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "model")


def rows_of_service(folder: Path, users: list[str], n: int, **settings: Any) -> list[dict[str, Any]]:
    """Return the rows that the command must write, from responses of the service."""
    rows = []
    with running_replica(replica_settings(folder, **settings)) as running:
        for user in users:
            response = running.client.get(f"/recommend/{user}", params={"n": n}).json()
            rows += [
                {"user": user, "rank": rank, "item": entry["item"], "score": entry["score"]}
                | {"level": response["fallback_level"]}
                for rank, entry in enumerate(response["items"], 1)
            ]
    return rows


@pytest.mark.parametrize("n", [1, 2, 4])
def test_every_format_contains_what_the_service_responds(run: RunCommand, tmp_path: Path, n: int) -> None:
    Path("rules.json").write_text(json.dumps({"hidden": ["i2"]}))
    Path("users.txt").write_text("eve\nann\nstranger\nbob\n")
    rules, users = ("--rules", "rules.json"), ("--users", "users.txt", "--n", str(n))
    for name in ("lists.csv", "lists.jsonl", "lists.parquet"):
        assert run(*users, *rules, "--output", name).code == 0
    expected = rows_of_service(
        tmp_path / "model", ["eve", "ann", "stranger", "bob"], n, availability="rules.json"
    )
    lines = Path("lists.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        row | {"score": pytest.approx(row["score"], abs=1e-4)} for row in expected
    ]
    with Path("lists.csv").open(encoding="utf-8", newline="") as file:
        texts = list(csv.DictReader(file))
    as_json = [json.loads(line) for line in lines]
    assert [
        {**row, "rank": int(row["rank"]), "score": float(row["score"]) if row["score"] else None}
        for row in texts
    ] == as_json
    table = pd.read_parquet("lists.parquet")
    assert table.drop(columns="score").to_dict("records") == [
        {key: value for key, value in row.items() if key != "score"} for row in as_json
    ]
    assert table["score"].isna().tolist() == [row["score"] is None for row in as_json]
    assert [str(kind) for kind in table.dtypes] == ["str", "int32", "str", "float32", "str"]


def test_all_users_are_written_in_the_order_of_training(run: RunCommand) -> None:
    outcome = run("--all", "--n", "1", "--format", "csv", "--output", "-")
    assert outcome.stdout == (
        "user,rank,item,score,level\nann,1,i3,4.75,personal\nbob,1,i5,4.75,personal\neve,1,i0,5,live\n"
    )
    assert "Wrote 3 items for 4 users to standard output" in outcome.stderr
    assert outcome.stderr.endswith("personal 2; live 1; no item is left for 1\n")
    assert written_files(Path()) == []


def test_default_output_is_a_parquet_file(run: RunCommand) -> None:
    assert run("--all").stdout.startswith("Wrote 11 items for 4 users to recommendations.parquet in ")
    assert written_files(Path()) == ["recommendations.parquet"]
    assert len(pd.read_parquet("recommendations.parquet")) == 11


def test_link_to_a_file_stays_a_link(run: RunCommand) -> None:
    Path("folder").mkdir()
    Path("folder/lists.csv").write_text("old")
    Path("link.csv").symlink_to("folder/lists.csv")
    assert run("--all", "--output", "link.csv").code == 0
    assert Path("link.csv").is_symlink()
    assert Path("folder/lists.csv").read_text().startswith("user,rank")


def test_feedback_in_a_folder_of_events_counts(run: RunCommand, tmp_path: Path) -> None:
    feedback = {"event_id": "e1", "user": "ann", "item": "i3", "kind": "rating", "value": 5}
    with running_replica(replica_settings(tmp_path / "model")) as running:
        assert running.client.post("/feedback", json=feedback).status_code == 202
        response = running.client.get("/recommend/ann", params={"n": 1}).json()
    assert run("--all", "--n", "1", "--events", "events", "--output", "lists.jsonl").code == 0
    first = json.loads(Path("lists.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert (first["user"], first["level"]) == ("ann", "live")
    assert first["item"] == response["items"][0]["item"] != "i3"


def test_feedback_in_a_file_that_is_closed_during_the_command_counts(
    run: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [Feedback(f"e{item}", 1.0, "ann", f"i{item}", "rating", 5.0) for item in range(1, 5)]
    path = Path("events/one/feedback-1-000001.jsonl.open")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(encode(event) + b"\n" for event in events))
    (path.parent / "exposure-1-000001.jsonl").mkdir()  # exposures are not even opened
    open_file = os.open

    def rotate_and_open(name: Any, *arguments: Any, **options: Any) -> int:
        if name == path:
            path.rename(path.with_suffix(""))
        return open_file(name, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", rotate_and_open)
        outcome = run("--all", "--events", "events", "--output", "-", "--format", "csv")
    assert outcome.code == 0
    assert [line for line in outcome.stdout.splitlines() if line.startswith("ann,")] == ["ann,1,i5,3.5,live"]


def test_ids_are_quoted_where_the_format_needs_it(run: RunCommand) -> None:
    user = 'a "b", c'
    Path("users.txt").write_text(f"{user}\n")
    for name in ("lists.csv", "lists.jsonl"):
        assert run("--users", "users.txt", "--n", "1", "--output", name).code == 0
    [row] = csv.DictReader(io.StringIO(Path("lists.csv").read_text()))
    assert row["user"] == json.loads(Path("lists.jsonl").read_text())["user"] == user


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("users.csv", "id,user\r\n1,ann\r\n\r\n2,bob\r\n", ()),
        ("users.csv", '\ufeffname\n"ann"\n"bob"\n', ("--column", "name")),
        ("users.tsv", "ann\r\nbob", ()),
    ],
)
def test_users_are_read_from_text_and_from_csv(
    run: RunCommand, name: str, content: str, options: tuple[str, ...]
) -> None:
    Path(name).write_bytes(content.encode())
    output = run("--users", name, *options, "--n", "1", "--format", "csv", "--output", "-").stdout
    assert [line.split(",")[0] for line in output.splitlines()] == ["user", "ann", "bob"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "users.txt contains no user ids; expected one per line"),
        ("ann\nbob\nann\n", "users.txt, line 3: user 'ann' is repeated; it is in line 1, too"),
        ("ann\n\nbob\n", "users.txt, line 2: user id must not be empty (got '')"),
        ("a\x00b\n", "users.txt, line 1: user id must not contain control characters"),
        (300 * "x", "users.txt, line 1: user id must have at most 256 bytes"),
        ("\udcff", "users.txt is not UTF-8 text (byte 0: invalid start byte)"),
    ],
)
def test_invalid_users_are_one_line_and_write_nothing(run: RunCommand, content: str, problem: str) -> None:
    Path("users.txt").write_bytes(content.encode(errors="surrogateescape"))
    outcome = run("--users", "users.txt", "--output", "lists.csv")
    assert outcome.code == 1
    assert outcome.stderr.startswith(f"marquee: {problem}")
    assert outcome.stderr.count("\n") == 1
    assert written_files(Path()) == ["users.txt"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("id,name\n", "users.csv has no column 'user' (it has: id, name); name one with --column"),
        ("user,age\nann\n", "users.csv, line 2: 1 fields, expected 2 as in the header"),
        ('user\n"ann\n', "users.csv is not CSV (unexpected end of data)"),
        ("user\n", "users.csv contains no user ids; expected one per line"),
    ],
)
def test_invalid_csv_of_users_is_one_line(run: RunCommand, content: str, problem: str) -> None:
    Path("users.csv").write_text(content)
    outcome = run("--users", "users.csv")
    assert (outcome.code, outcome.stderr) == (1, f"marquee: {problem}\n")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "use either --all or --users FILE, to say whose lists to write"),
        (("--all", "--users", "x"), "use either --all or --users FILE, to say whose lists to write"),
        (("--all", "--n", "0"), "--n must be at least 1 (got 0)"),
        (("--all", "--format", "xml"), "--format must be one of parquet, csv, jsonl (got 'xml')"),
        (("--all", "--column", "id"), "--column needs --users: it names the column of the user ids"),
        (
            ("--all", "--output", "a/b.csv"),
            "--output: the folder a does not exist; create it first",
        ),
        (("--all", "--output", "model"), "--output must be a file (got the folder model)"),
        (
            ("--users", "none.txt"),
            "--users: none.txt cannot be read (No such file or directory); "
            "name a file with one user id per line",
        ),
        (
            ("--users", "model"),
            "--users: model cannot be read (Is a directory); name a file with one user id per line",
        ),
        (("--all", "--rules", "none"), "none cannot be read (No such file or directory)"),
        (
            ("--all", "--events", "none"),
            "--events: the folder none does not exist; name that of the replicas' events",
        ),
    ],
)
def test_invalid_option_is_one_line_with_exit_code_2(
    run: RunCommand, arguments: tuple[str, ...], problem: str
) -> None:
    assert run(*arguments) == Outcome(2, "", f"marquee: {problem}\n")
    assert written_files(Path()) == []


def test_missing_model_says_what_to_do(run: RunCommand) -> None:
    outcome = run("--all", "--model", "models/fitted_model")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert "models/fitted_model does not exist; run `make repro` first" in outcome.stderr


@pytest.mark.parametrize("output_format", ["csv", "parquet"])
def test_full_disk_is_one_line(run: RunCommand, output_format: str) -> None:
    outcome = run("--all", "--format", output_format, "--output", "/dev/full")
    assert outcome.code == 1
    assert outcome.stderr == (
        "marquee: /dev/full cannot be written (No space left on device); choose another --output\n"
    )


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("output_format", ["csv", "parquet"])
def test_failure_keeps_the_old_file(
    run: RunCommand, monkeypatch: pytest.MonkeyPatch, output_format: str, error: BaseException
) -> None:
    """The second block fails, after the first was written."""
    name = f"lists.{output_format}"
    Path(name).write_text("old")
    monkeypatch.setattr(recommend, "ROWS_PER_BLOCK", 1)
    count_lists = recommend.ListCounts.add

    def fail_at_second(counts: recommend.ListCounts, lists: Any) -> None:
        if counts.items:
            raise error
        count_lists(counts, lists)

    monkeypatch.setattr(recommend.ListCounts, "add", fail_at_second)
    outcome = run("--all", "--output", name)
    assert outcome.code == (130 if isinstance(error, KeyboardInterrupt) else 1)
    assert name in outcome.stderr
    assert Path(name).read_text() == "old"
    assert written_files(Path()) == [name]
