"""Journal of a rollout: entries survive kills, full disks and concurrent writers."""

import errno
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from experiments.config.online import CanaryParams
from marquee.errors import ConfigError, MarqueeError
from marquee.rollout.state import JOURNAL_VERSION
from pipelines.rollout.journal import (
    RESERVE_SUFFIX,
    Journal,
    create_journal,
    exclusive_lock,
    find_active_journal,
    list_journals,
)
from pipelines.rollout.params_conversion import dump_canary_params, parse_canary_params

FIELDS: dict[str, Any] = {
    "salt": 1,
    "champion": 1,
    "challenger": 2,
    "bento": "b",
    "run_id": None,
    "params": {},
}


def test_journal_survives_a_torn_line(tmp_path: Path) -> None:
    journal = create_journal(tmp_path, "one", **FIELDS)
    with journal.path.open("ab") as file:
        file.write(b'{"entry": "allocation_set", "time": 1.0, "allo')
    assert journal.read_rollout().allocations == ()
    journal.append("allocation_set", step=0, allocation=0.1)
    assert journal.read_rollout().allocation == 0.1
    assert [entry["entry"] for entry in journal.read_entries()] == ["started", "allocation_set"]


def test_concurrent_writers_lose_no_entry(tmp_path: Path) -> None:
    journal = create_journal(tmp_path, "one", **FIELDS)

    def append_entries() -> None:
        for _ in range(25):
            journal.append("operator_command", command="pause")

    writers = [threading.Thread(target=append_entries) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(journal.read_entries()) == 101


def test_only_one_rollout_is_active(tmp_path: Path) -> None:
    first = create_journal(tmp_path, "one", **FIELDS)
    with pytest.raises(MarqueeError, match="rollout one is running"):
        create_journal(tmp_path, "two", **FIELDS)
    first.append("concluded", outcome="rolled back", reason="no_data", message="it is a test")
    assert find_active_journal(tmp_path) is not None  # until the rollback is carried out
    first.append("finished")
    assert find_active_journal(tmp_path) is None
    create_journal(tmp_path, "two", **FIELDS)
    assert [journal.read_rollout().name for journal in list_journals(tmp_path)] == ["one", "two"]


def test_journal_is_created_with_its_first_entry_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space"):
            create_journal(tmp_path, "one", **FIELDS)
    assert find_active_journal(tmp_path) is None
    assert create_journal(tmp_path, "one", **FIELDS).read_rollout().name == "one"


def test_full_disk_has_space_reserved_for_a_rollback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, write = create_journal(tmp_path, "one", **FIELDS), os.write

    def write_without_reserve(file: int, data: bytes) -> int:
        if journal.path.with_suffix(RESERVE_SUFFIX).exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data)

    monkeypatch.setattr(os, "write", write_without_reserve)
    with pytest.raises(OSError, match="No space"):
        journal.append("held", reason="no_data", message="no data")
    journal.append("operator_command", command="roll back")
    assert journal.read_rollout().operator_action == "roll back"


def test_state_follows_new_entries(tmp_path: Path) -> None:
    journal = create_journal(tmp_path, "one", **FIELDS)
    for step in range(3):
        journal.append("allocation_set", step=step, allocation=0.1 * (step + 1))
        assert Journal(journal.path).read_rollout().step == step
    with journal.path.open("ab") as file:
        file.write(b'{"entry": "concluded", "time": 1.0, "outcome": "rolled ba')
    assert journal.read_rollout().outcome is None
    with journal.path.open("ab") as file:
        file.write(b'ck", "reason": "no_data", "message": "late"}\n')
    assert journal.read_rollout().outcome == "rolled back"
    assert journal.read_rollout().allocations[-1].allocation == pytest.approx(0.3)


def test_error_names_the_damaged_journal(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"entry": "allocation_set"}\n')
    with pytest.raises(MarqueeError, match=r"cannot read the rollout journal .*x\.jsonl"):
        Journal(path).read_rollout()
    journal = create_journal(tmp_path, "one", **FIELDS)
    journal.append("concluded", outcome="postponed", reason="no_data", message="no data")
    with pytest.raises(MarqueeError, match="postponed"):
        journal.read_rollout()


def test_error_names_a_missing_field(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"entry": "started", "version": JOURNAL_VERSION, "name": "x"}) + "\n")
    with pytest.raises(MarqueeError, match="an entry lacks the field 'time'"):
        Journal(path).read_rollout()


@pytest.mark.parametrize(
    ("first_entry", "format_number"),
    [
        ({"entry": "began", "time": 1.0, "name": "old", **FIELDS}, "1"),
        ({"entry": "started", "time": 1.0, "version": 3, "name": "new", **FIELDS}, "3"),
    ],
)
def test_journal_of_another_format_is_reported_in_one_line(
    tmp_path: Path, first_entry: dict[str, Any], format_number: str
) -> None:
    path = tmp_path / "rollouts" / "one.jsonl"
    path.parent.mkdir()
    path.write_text(json.dumps(first_entry) + "\n")
    with pytest.raises(MarqueeError) as error_info:
        find_active_journal(tmp_path)
    message = str(error_info.value)
    assert message.startswith(f"cannot read the rollout journal {path}: the journal was written by a")
    assert f"(format {format_number}, expected {JOURNAL_VERSION})" in message
    assert message.endswith("; move the file to another folder")
    assert "\n" not in message
    path.rename(tmp_path / "one.jsonl")
    assert find_active_journal(tmp_path) is None


def test_second_lock_raises_the_given_error(tmp_path: Path) -> None:
    with (
        exclusive_lock(tmp_path / "lock", "another process does it"),
        pytest.raises(MarqueeError, match="another process"),
        exclusive_lock(tmp_path / "lock", "another process does it"),
    ):
        pass


def test_rollout_params_survive_the_journal(canary_params: CanaryParams) -> None:
    tree = json.loads(json.dumps(dump_canary_params(canary_params)))
    assert parse_canary_params(tree) == canary_params


def test_invalid_params_in_a_journal_are_refused(canary_params: CanaryParams) -> None:
    with pytest.raises(ConfigError, match=r"journal contains invalid parameters: .*min_weight"):
        parse_canary_params({**dump_canary_params(canary_params), "min_weight": 0.5})
