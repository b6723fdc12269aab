"""Whole rollouts with real processes (gateways, replicas, a controller) and simulated users."""

import os
import signal
import subprocess
import sys

import pytest
from mlflow import MlflowClient

from experiments.tracking.store_access import tracking_uri
from marquee.rollout.decision_types import ReasonCode
from pipelines.rollout.journal import Journal
from service.gateway.traffic_split import NO_CANARY, query_split
from tests.support.stacks import SimulatedUsers, StackProject, stack_project
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.server, pytest.mark.timeout(290)]

MIN_SUCCESS_RATE = 0.995  # benchmarks/chaos.py requires a higher rate, on an idle machine
MAX_FAILED_REQUESTS = 100  # until a canary that fails a third of its requests is rolled back


def assert_contains(output: str, *parts: str) -> None:
    missing = [part for part in parts if part not in output]
    assert not missing, f"{missing} missing in:\n{output}"


def kill(project: StackProject, name: str) -> None:
    os.kill(project.pid(name), signal.SIGKILL)


def wait_for_step(project: StackProject, step: int) -> None:
    wait_until(lambda: project.journal().read_rollout().step >= step, 60, project.logs)


def test_rollout_outcomes_survive_killed_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    with stack_project(monkeypatch) as project:
        first = project.register_version("stable", 2)
        worse = project.register_version("worse", 0)
        broken = project.register_version("broken", 4)
        better = project.register_version("better", 5)
        monkeypatch.setenv("MARQUEE_FAULTS", f"version={broken},error_rate=0.33")
        assert_contains(project.up("--replicas", "2"), "Fault injection is on")
        with SimulatedUsers(project) as users:
            project.wait_for_events()
            shadow = project.marquee("canary", "shadow", "--to", str(better), "--requests", "50")
            assert_contains(
                shadow, f"version {better}", "fallback level personal", "averaged over 50 requests"
            )
            roll_out_worse_version(project, users, worse)
            assert project.champion_version() == first
            roll_out_broken_version(project, broken)
            assert users.statuses.pop(500) < MAX_FAILED_REQUESTS
            users.arms.clear()
            roll_out_better_version(project, better)
        assert users.success_rate > MIN_SUCCESS_RATE, users.statuses
        # Each user switches to the canary at most once, and back to stable only after the promotion.
        assert max(map(len, users.arms.values())) <= 3
        assert all(arms != ["canary", "stable", "canary"] for arms in users.arms.values())
        assert f'"version":{better}' in project.get("/version")[2].decode().replace(" ", "")
        assert_contains(
            project.marquee("canary", "history"), "promoted", "rolled back", "quality is worse", "errors"
        )
        check_mlflow_run(project.journal())


def roll_out_worse_version(project: StackProject, users: SimulatedUsers, version: int) -> None:
    """Roll out a worse version, and kill a gateway meanwhile."""
    project.marquee("canary", "start", "--to", str(version))
    assert_contains(project.marquee("canary", "start", fails=True), "is running")
    wait_for_step(project, 0)
    kill(project, "gateway-1")
    assert project.wait_for_outcome() == "rolled back"
    assert project.journal().read_rollout().reason == ReasonCode.QUALITY_WORSE
    assert users.success_rate > MIN_SUCCESS_RATE


def roll_out_broken_version(project: StackProject, version: int) -> None:
    project.marquee("canary", "start", "--to", str(version))
    assert project.wait_for_outcome() == "rolled back"
    rollout = project.journal().read_rollout()
    assert (rollout.reason, rollout.step) == (ReasonCode.ERROR_RATE, 0)
    splits = {query_split(project.run_folder, gateway) for gateway in project.stack.gateways}
    assert splits == {NO_CANARY}


def roll_out_better_version(project: StackProject, version: int) -> None:
    """Roll out a better version; meanwhile, kill the controller twice and a gateway once."""
    project.marquee("canary", "start", "--to", str(version))
    wait_for_step(project, 0)
    kill(project, "controller")
    kill(project, "gateway-2")
    wait_for_step(project, 1)
    kill(project, "controller")
    assert project.wait_for_outcome() == "promoted", project.journal().path.read_text()
    assert project.champion_version() == version


def check_mlflow_run(journal: Journal) -> None:
    client = MlflowClient(tracking_uri())
    run = client.get_run(str(journal.read_rollout().run_id))
    assert (run.data.tags["outcome"], run.info.status) == ("promoted", "FINISHED")
    assert run.data.tags["reason"] == ReasonCode.FINAL_STEP_PASSED
    assert {"allocation", "low", "high", "estimate", "p_errors"} <= set(run.data.metrics)
    figures = client.list_artifacts(run.info.run_id, "figures")
    assert [artifact.path for artifact in figures] == ["figures/confidence_sequence.svg"]


def test_rollout_without_traffic_holds_and_obeys_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    with stack_project(monkeypatch, unhealthy_seconds=30, min_step_minutes=0.001) as project:
        assert_contains(project.marquee("canary", "shadow", fails=True), "no champion")
        assert_contains(project.marquee("canary", "start", fails=True), "marquee up")
        assert_contains(project.marquee("up", fails=True), "make repro")
        project.register_version("stable", 2)
        project.up("--replicas", "1")
        assert_contains(project.marquee("up", fails=True), "already running")
        assert_contains(project.marquee("canary", "start", fails=True), "already the champion")
        assert_contains(project.marquee("canary", "rollback", fails=True), "no rollout is running")
        assert_contains(project.marquee("canary", "shadow", fails=True), "no recorded request")
        second = project.register_version("other", 3)
        check_second_controller_exits(project)

        project.marquee("canary", "start")
        wait_until(lambda: project.journal().read_rollout().reason == ReasonCode.NO_DATA, 60, project.logs)
        assert_contains(project.marquee("canary", "status"), "no data")
        project.marquee("canary", "pause")
        wait_until(lambda: "paused by an operator" in project.marquee("canary", "status"), 20, project.logs)
        project.marquee("canary", "resume")
        project.marquee("canary", "rollback")
        assert project.wait_for_outcome() == "rolled back"

        project.marquee("canary", "start")
        wait_for_step(project, 0)
        project.marquee("canary", "promote")
        assert project.wait_for_outcome() == "promoted"
        assert project.champion_version() == second
        with SimulatedUsers(project) as users:
            assert_contains(project.marquee("restart"), "stable-1 is ready with version")
        assert set(users.statuses) <= {200, 503}  # no second replica can serve during the restart
        assert_contains(project.marquee("status"), "stable-1", "gateway-2", "controller", "100%")
        kill(project, "supervisor")
        wait_until(lambda: "supervisor was killed" in project.marquee("status"), 20, project.logs)
        assert project.get("/recommend/u1")[0] == 200
        assert_contains(project.marquee("down"), "Stopped")
        assert_contains(project.marquee("down"), "not running")


def check_second_controller_exits(project: StackProject) -> None:
    command = [sys.executable, "-m", "pipelines.rollout", str(project.run_folder), "marquee"]
    second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert second.returncode == 1
    assert second.stderr == "controller: another controller is running for this stack\n"
