"""Rollouts with real processes: gateways, replicas, a controller, and users who know what they like."""

import os
import signal
import subprocess
import sys

import pytest
from mlflow import MlflowClient

from experiments.tracking.registry import champion
from marquee.rollout.decision import ReasonCode
from service.gateway.traffic_split import NOBODY, split_of
from tests.support.stacks import Crowd, site, wait_until

pytestmark = [pytest.mark.server, pytest.mark.timeout(290)]


def test_the_better_is_promoted_the_worse_and_the_broken_are_rolled_back_whatever_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with site(monkeypatch) as here:
        first = here.register("stable", 2)
        worse, broken, better = (
            here.register(*told) for told in (("worse", 0), ("broken", 4), ("better", 5))
        )
        monkeypatch.setenv("MARQUEE_FAULTS", f"version={broken},error_rate=0.33")
        assert "Fault injection is on" in here.up("--replicas", "2")
        with Crowd(here) as crowd:
            here.wait_for_events()
            shadow = here.marquee("canary", "shadow", "--to", str(better), "--requests", "50")
            assert [word in shadow for word in ("version 4", "on rung personal", "of 50 requests")] == [
                True
            ] * 3
            here.marquee("canary", "start", "--to", str(worse))
            assert "runs" in here.marquee("canary", "start", fails=True)
            wait_until(lambda: here.journal().rollout().weighed, 60, here.logs)
            os.kill(here.pid("gateway-1"), signal.SIGKILL)
            assert here.wait_until_ended() == "rolled back"
            assert here.journal().rollout().reason == ReasonCode.QUALITY_WORSE
            assert (
                crowd.served > 0.995
            )  # benchmarks/chaos.py holds it to all of them, on a machine of its own
            assert here.champion() == first

            here.marquee("canary", "start", "--to", str(broken))
            assert here.wait_until_ended() == "rolled back"
            assert here.journal().rollout().reason == ReasonCode.ERROR_RATE
            assert here.journal().rollout().step == 0
            assert {split_of(here.run, gateway) for gateway in here.stack.gateways} == {NOBODY}
            failed = crowd.answers.pop(500)
            assert failed < 100
            crowd.arms.clear()

            here.marquee("canary", "start", "--to", str(better))
            wait_until(lambda: here.journal().rollout().weighed, 60, here.logs)
            os.kill(here.pid("controller"), signal.SIGKILL)
            os.kill(here.pid("gateway-2"), signal.SIGKILL)
            wait_until(lambda: here.journal().rollout().step >= 1, 60, here.logs)
            os.kill(here.pid("controller"), signal.SIGKILL)
            assert here.wait_until_ended() == "promoted", here.journal().path.read_text()
            assert here.champion() == better
        assert crowd.served > 0.995, crowd.answers
        # To the canary once, and back only when it has become stable.
        assert max(map(len, crowd.arms.values())) <= 3
        assert all(arms != ["canary", "stable", "canary"] for arms in crowd.arms.values())
        assert f'"version":{better}' in here.get("/version")[2].decode().replace(" ", "")
        history = here.marquee("canary", "history")
        assert [word in history for word in ("promoted", "rolled", "quality is worse", "errors")] == [
            True
        ] * 4
        run = MlflowClient().get_run(str(here.journal().rollout().run_id))
        assert (run.data.tags["outcome"], run.info.status) == ("promoted", "FINISHED")
        assert run.data.tags["reason"] == ReasonCode.FINAL_STEP_PASSED
        assert {"weight", "low", "high", "estimate", "p_errors"} <= set(run.data.metrics)
        drawn = MlflowClient().list_artifacts(run.info.run_id, "figures")
        assert [artifact.path for artifact in drawn] == ["figures/confidence_sequence.svg"]


def test_without_traffic_nothing_moves_and_people_may_say_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    with site(monkeypatch, unhealthy_seconds=30, step_minutes=0.001) as here:
        assert "no champion" in here.marquee("canary", "shadow", fails=True)
        assert "marquee up" in here.marquee("canary", "start", fails=True)
        assert "make repro" in here.marquee("up", fails=True)
        here.register("stable", 2)
        here.up("--replicas", "1")
        assert "is up" in here.marquee("up", fails=True)
        assert "champion already" in here.marquee("canary", "start", fails=True)
        assert "no rollout runs" in here.marquee("canary", "rollback", fails=True)
        assert "no recorded request" in here.marquee("canary", "shadow", fails=True)
        second = here.register("other", 3)

        command = [sys.executable, "-m", "pipelines.rollout", str(here.run), "marquee"]
        other = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert other.returncode == 1
        assert other.stderr == "controller: another controller steers this stack: nothing was done\n"

        here.marquee("canary", "start")
        wait_until(lambda: here.journal().rollout().reason == ReasonCode.NO_DATA, 60, here.logs)
        assert "no data" in here.marquee("canary", "status")
        here.marquee("canary", "pause")
        wait_until(lambda: "paused" in here.marquee("canary", "status"), 20, here.logs)
        here.marquee("canary", "resume")
        here.marquee("canary", "rollback")
        assert here.wait_until_ended() == "rolled back"

        here.marquee("canary", "start")
        wait_until(lambda: here.journal().rollout().weighed, 60, here.logs)
        here.marquee("canary", "promote")
        assert here.wait_until_ended() == "promoted"
        found = champion("marquee")
        assert found is not None
        assert found.version == second
        with Crowd(here) as crowd:
            assert "stable-1 is ready again" in here.marquee("restart")
        assert set(crowd.answers) <= {200, 503}  # there is but one replica to be restarted
        status = here.marquee("status")
        assert [word in status for word in ("stable-1", "gateway-2", "controller", "100%")] == [True] * 4
        os.kill(here.pid("supervisor"), signal.SIGKILL)
        wait_until(lambda: "supervisor was killed" in here.marquee("status"), 20, here.logs)
        assert here.get("/recommend/u1")[0] == 200
        assert "Down" in here.marquee("down")
        assert "Nothing is up" in here.marquee("down")
