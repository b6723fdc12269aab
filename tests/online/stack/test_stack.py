"""The pieces of the stack that can be wrong without one: its files, its journal, its figures."""

import hashlib
import json
import math
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.config.offline import load_params
from marquee.errors import ConfigError, MarqueeError
from marquee.rollout.policy import INCIDENTS
from pipelines.commands import canary
from pipelines.commands import up as module
from pipelines.commands.compose import site_of
from pipelines.commands.keepalived import address
from pipelines.commands.up import laid_out
from pipelines.rollout.journal import STATUS, Journal, active, create, held, journals
from pipelines.rollout.policy_config import canary_of, policy_of, told_of
from pipelines.rollout.preflight import users_until_alarm, users_until_surge
from pipelines.support.paths import RUN
from service.gateway.config import KEY_FILE, KEYS, ensure_api_key
from service.gateway.keepalived import Host, render_address
from service.gateway.traffic_split import ServerState
from service.stack.launch import _append, end_all, pid_of, starts_since
from service.stack.metrics_scraper import Sample, quantile, rates
from service.stack.stack_config import (
    CANARY,
    STABLE,
    Arm,
    Stack,
    load_stack,
    read_arms,
    settings_for,
    write_arms,
)

ROOT = Path(__file__).parents[3]
BEGAN: dict[str, Any] = {
    "salt": 1,
    "champion": 1,
    "challenger": 2,
    "bento": "b",
    "run_id": None,
    "policy": {},
}


def stack_in(folder: Path) -> Stack:
    params = load_params(ROOT / "params.yaml")
    made = laid_out(params, folder, replicas=2, port=3000, host="*", events=folder / "events")
    made.save()
    return made


def test_a_stack_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = stack_in(tmp_path)
    assert load_stack(tmp_path) == made
    assert made.names[:5] == ("gateway-1", "gateway-2", "stable-1", "stable-2", "canary-1")
    assert len({server.port for servers in made.replicas.values() for server in servers}) == 3
    assert made.arm_of("canary-1") == CANARY


def test_without_a_stack_one_line_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MarqueeError, match="marquee up"):
        load_stack(tmp_path)
    for damaged in ("{", "{}", "[]", '{"folder": "x", "events": "y", "gateways": [{"port": 1}]}'):
        (tmp_path / "stack.json").write_text(damaged)
        with pytest.raises(MarqueeError, match="damaged"):
            load_stack(tmp_path)


def test_it_is_up_when_the_replicas_say_so_and_not_when_a_gateway_has_not_looked_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, asked = stack_in(tmp_path), []
    up = [ServerState(STABLE, server.name, True, 0, 0, 0) for server in made.replicas[STABLE]]
    monkeypatch.setattr(module, "servers_of", lambda *_: up)
    monkeypatch.setattr(module, "ready", lambda port: asked.append(port) or len(asked) > 3)
    module._wait(made)
    first, second = (server.port for server in made.replicas[STABLE])
    assert asked == [first, first, first, first, second]
    monkeypatch.setattr(module, "ready", lambda _: False)
    monkeypatch.setattr(module, "READY_S", 0.3)
    with pytest.raises(MarqueeError, match="became ready"):
        module._wait(made)


def test_a_replica_is_told_its_arm_its_bento_and_its_port(tmp_path: Path) -> None:
    made = stack_in(tmp_path)
    write_arms(tmp_path, {STABLE: Arm("/bentos/one", 1), CANARY: Arm("/bentos/two", 2)})
    told = settings_for(made, "canary-1")
    assert (told["MARQUEE_ARM"], told["MARQUEE_BENTO"]) == ("canary", "/bentos/two")
    assert told["MARQUEE_PORT"] == str(made.server("canary-1").port)
    assert read_arms(tmp_path)[STABLE].version == 1


def test_a_pid_is_ours_only_while_the_process_that_noted_it_lives(tmp_path: Path) -> None:
    (tmp_path / "pids").mkdir()
    note = tmp_path / "pids" / "x"
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        note.write_text(f"{process.pid} {time.time()}")
        found = pid_of(tmp_path, "x")
        assert found is not None
        assert found[0] == process.pid
        note.write_text(f"{process.pid} 1000.0")  # it was given again, to somebody else
        assert pid_of(tmp_path, "x") is None
    finally:
        process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    note.write_text(f"{process.pid} {time.time()}")
    assert pid_of(tmp_path, "x") is None  # a zombie
    process.wait()
    for nothing in ("", "none of it"):
        note.write_text(nothing)
        assert pid_of(tmp_path, "x") is None
    assert pid_of(tmp_path, "never") is None


def test_what_a_killed_supervisor_left_behind_is_ended_patiently(tmp_path: Path) -> None:
    (tmp_path / "pids").mkdir()
    willing = "import time; time.sleep(60)"
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); " + willing
    commands = {"stable-1": willing, "stable-2": deaf}
    processes = {
        name: subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        for name, code in commands.items()
    }
    assert processes["stable-2"].stdout is not None
    processes["stable-2"].stdout.readline()
    for name, process in processes.items():
        (tmp_path / "pids" / name).write_text(f"{process.pid} {time.time()}")
    (tmp_path / "pids" / "gone").write_text("1 1.0")
    assert end_all(tmp_path, 0.5) == ["stable-1", "stable-2"]
    assert [process.wait() for process in processes.values()] == [-signal.SIGTERM, -signal.SIGKILL]
    assert end_all(tmp_path) == []


def test_starts_are_counted_since_a_time(tmp_path: Path) -> None:
    (tmp_path / "starts").mkdir()
    (tmp_path / "starts" / "canary-1").write_text("10.000\n20.000\n30.500\n")
    assert (starts_since(tmp_path, "canary-1", 20.0), starts_since(tmp_path, "stable-1", 0.0)) == (1, 0)


def test_a_start_behind_one_that_was_cut_off_counts(tmp_path: Path) -> None:
    (tmp_path / "starts").mkdir()
    (tmp_path / "starts" / "canary-1").write_text("10.000\n\n20.0\n30.500\n\n1\n40.000\n")
    assert starts_since(tmp_path, "canary-1", 25.0) == 2


def test_output_goes_behind_what_was_left_half_written(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\ntw")
    handle = _append(path)
    os.set_blocking(handle, False)
    os.write(handle, b"three\n")
    os.close(handle)
    assert path.read_bytes() == b"one\ntw\nthree\n"


def test_a_journal_survives_a_line_that_was_cut_off(tmp_path: Path) -> None:
    journal = create(tmp_path, "one", **BEGAN)
    with journal.path.open("ab") as file:
        file.write(b'{"entry": "weighed", "time": 1.0, "wei')
    assert journal.rollout().weighed == ()
    journal.append("weighed", step=0, weight=0.1)
    assert journal.rollout().weight == 0.1
    assert [entry["entry"] for entry in journal.entries()] == ["began", "weighed"]


def test_entries_of_several_writers_are_all_there(tmp_path: Path) -> None:
    journal = create(tmp_path, "one", **BEGAN)
    writers = [
        threading.Thread(target=lambda: [journal.append("asked", what="pause") for _ in range(25)])
        for _ in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(journal.entries()) == 101


def test_one_rollout_at_a_time(tmp_path: Path) -> None:
    first = create(tmp_path, "one", **BEGAN)
    with pytest.raises(MarqueeError, match="rollout one runs"):
        create(tmp_path, "two", **BEGAN)
    first.append("concluded", outcome="rolled back", reason="no_data", message="it is a test")
    assert active(tmp_path) is not None  # until it is brought about
    first.append("ended")
    assert active(tmp_path) is None
    create(tmp_path, "two", **BEGAN)
    assert [journal.rollout().name for journal in journals(tmp_path)] == ["one", "two"]


def test_a_journal_is_there_with_its_first_entry_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            create(tmp_path, "one", **BEGAN)
    assert active(tmp_path) is None
    assert create(tmp_path, "one", **BEGAN).rollout().name == "one"


def test_a_full_disk_has_room_for_what_ends_a_rollout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, write = create(tmp_path, "one", **BEGAN), os.write

    def full(file: int, data: bytes) -> int:
        if journal.path.with_suffix(".room").exists():
            raise OSError(28, "No space left on device")
        return write(file, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        journal.append("held", reason="no_data", message="no data")
    journal.append("asked", what="roll back")
    assert journal.rollout().asked == "roll back"


def test_a_journal_is_read_on_from_where_it_was_read(tmp_path: Path) -> None:
    journal = create(tmp_path, "one", **BEGAN)
    for number in range(3):
        journal.append("weighed", step=number, weight=0.1 * (number + 1))
        assert Journal(journal.path).rollout().step == number
    with journal.path.open("ab") as file:
        file.write(b'{"entry": "concluded", "time": 1.0, "outcome": "rolled ba')
    assert journal.rollout().outcome is None
    with journal.path.open("ab") as file:
        file.write(b'ck", "reason": "no_data", "message": "late"}\n')
    assert journal.rollout().outcome == "rolled back"
    assert journal.rollout().weighed[-1][1] == pytest.approx(0.3)


def test_a_journal_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"entry": "weighed"}\n')
    with pytest.raises(MarqueeError, match=r"x\.jsonl"):
        Journal(path).rollout()
    journal = create(tmp_path, "one", **BEGAN)
    journal.append("concluded", outcome="postponed", reason="no_data", message="no data")
    with pytest.raises(MarqueeError, match="postponed"):
        journal.rollout()


def test_a_malformed_environment_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MARQUEE_FAULTS", "version=4")
    monkeypatch.setattr(module, "haproxy", lambda: "haproxy")
    with pytest.raises(ConfigError, match="MARQUEE_FAULTS"):
        module.up(load_params(ROOT / "params.yaml"), replicas=1, port=1, host="*", events=None)
    assert list(tmp_path.iterdir()) == []


def test_status_and_history_show_a_rollout_of_an_older_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its journal and the status file hold messages without codes."""
    monkeypatch.chdir(tmp_path)
    RUN.mkdir(parents=True)
    journal = create(RUN.resolve(), "one", **{**BEGAN, "policy": {"steps": [0.1, 1.0]}})
    seen = {"name": "one", "time": time.time(), "action": "hold", "reason": "nobody came", "incidents": {}}
    empty = {"drifts": {}, "quality_users": [0, 0], "quality": {"estimate": None, "low": None, "high": None}}
    (RUN / STATUS).write_text(json.dumps(seen | empty))
    canary.show(watch=False)
    assert "hold: nobody came" in capsys.readouterr().out
    journal.append("concluded", outcome="rolled back", reason="somebody wished it", figures={})
    canary.history()
    assert "somebody wished it" in capsys.readouterr().out


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    ensure_api_key(tmp_path)
    key = (tmp_path / KEY_FILE).read_text()
    ensure_api_key(tmp_path)
    assert (tmp_path / KEY_FILE).read_text() == key
    assert (tmp_path / KEYS).read_text() == f"{hashlib.sha256(key.encode()).hexdigest()}\n"
    for name in (KEY_FILE, KEYS):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_a_second_holder_is_refused(tmp_path: Path) -> None:
    with (
        held(tmp_path / "lock", "somebody else does it"),
        pytest.raises(MarqueeError, match="somebody else"),
        held(tmp_path / "lock", "somebody else does it"),
    ):
        pass


@pytest.mark.parametrize(("share", "value"), [(0.25, 0.5), (0.5, 1.0), (0.75, 1.5), (1.0, 2.0)])
def test_a_quantile_is_straight_between_two_bounds(share: float, value: float) -> None:
    """Two answers up to 1, two more up to 2."""
    assert quantile({"1": 2, "2": 4, "+Inf": 4}, share) == value


def test_a_quantile_beyond_the_last_bound_is_the_last_bound() -> None:
    assert quantile({"1": 1, "+Inf": 4}, 0.9) == 1.0
    assert math.isnan(quantile({}, 0.5))
    assert math.isnan(quantile({"1": 0, "+Inf": 0}, 0.5))


def test_rates_are_of_what_came_between_and_a_restart_counts_from_nothing() -> None:
    before = Sample(10.0, {("marquee_requests_total", "200"): 100.0, ("marquee_requests_total", "500"): 0.0})
    after = Sample(12.0, {("marquee_requests_total", "200"): 150.0, ("marquee_requests_total", "500"): 50.0})
    found = rates([before], [after])
    assert (found.requests_per_s, found.error_rate) == (50.0, 0.5)
    assert rates([after], [Sample(14.0, {("marquee_requests_total", "200"): 5.0})]).requests_per_s == 0.0
    assert rates([None], [after]).requests_per_s == 0.0


@pytest.mark.parametrize(
    "name", ["errors", "slow", "below_personal", "empty", "popularity", "overlap", "mismatch", "quality"]
)
def test_with_the_parameters_as_they_are_every_alarm_can_go_off(name: str) -> None:
    users = users_until_alarm(policy_of(load_params(ROOT / "params.yaml").canary), name)
    assert users is not None
    assert users <= 1000


@pytest.mark.parametrize("name", INCIDENTS)
def test_and_at_the_last_step(name: str) -> None:
    users = users_until_surge(policy_of(load_params(ROOT / "params.yaml").canary), name)
    assert users is not None
    assert users <= 100


def test_an_alarm_that_cannot_go_off_is_found() -> None:
    canary = load_params(ROOT / "params.yaml").canary
    deaf = canary.model_copy(update={"tolerance": canary.tolerance.model_copy(update={"overlap": 1.0})})
    assert users_until_alarm(policy_of(deaf), "overlap") is None


def test_the_journal_keeps_the_parameters_that_a_rollout_began_with() -> None:
    canary = load_params(ROOT / "params.yaml").canary
    assert canary_of(json.loads(json.dumps(told_of(canary)))) == canary


def test_the_containers_are_bounded_and_without_rights() -> None:
    tree = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    site = site_of(load_params(ROOT / "params.yaml"), Path("/run/marquee"))
    replicas = {server.host for server in (*site.stable, *site.canary)}
    assert set(tree["services"]) == replicas | {"gateway-1", "gateway-2"}
    for service in tree["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["user"] == "${MARQUEE_UID}:${MARQUEE_GID}"
        assert {"mem_limit", "cpus", "pids_limit", "restart"} <= set(service)
        assert "latest" not in service["image"]
    assert tree["networks"]["inside"] == {"internal": True}


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"own": "here"}, "--own"), ({"peer": "192.0.2.1"}, "two hosts"), ({"shared": "192.0.2.10"}, "prefix")],
)
def test_an_address_that_is_none_is_refused(changes: dict[str, str], said: str) -> None:
    told = {"own": "192.0.2.1", "peer": "192.0.2.2", "shared": "192.0.2.10/24", **changes}
    with pytest.raises(ConfigError, match=said):
        address(interface="eth0", port=3000, second=False, **told)


def test_each_host_is_told_of_the_other_and_of_the_address() -> None:
    one, two = Host("one", "192.0.2.1", "eth0", 150), Host("two", "192.0.2.2", "eth0", 100)
    told = render_address(one, two, "192.0.2.10/24", port=3100)
    assert "unicast_src_ip 192.0.2.1" in told
    assert told.split("unicast_peer {")[1].split("}")[0].strip() == "192.0.2.2"
    assert "http://127.0.0.1:3100/livez" in told
