"""Rollouts in MLflow: metrics over time, outcome, journal and figure."""

import math
from collections.abc import Iterator

import pytest
from mlflow import MlflowClient

from experiments.figures.rollout import RolloutPoint
from experiments.tracking.rollout_runs import RolloutRun
from experiments.tracking.store_access import tracking_uri
from marquee.rollout.decision_types import ReasonCode
from marquee.rollout.state import RolloutOutcome

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _tracking_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tracking store of all tests of this module, since creating one takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        yield


@pytest.fixture
def run() -> RolloutRun:
    return RolloutRun.start("test-rollouts", "one", {"champion": "1"}, {"steps": [0.1, 1.0]})


def test_run_contains_metrics_outcome_journal_and_figure(run: RolloutRun) -> None:
    run.log_metrics({"allocation": 0.1, "p_errors": math.nan}, timestamp=1000.0)
    run.log_metrics({"allocation": 0.5, "estimate": 0.2, "low": -0.1, "high": 0.5}, timestamp=1060.0)
    unknown, known = run.load_points()
    assert (unknown.minutes, unknown.allocation, unknown.low, unknown.high) == (0, 0.1, -math.inf, math.inf)
    assert math.isnan(unknown.estimate)
    assert known == RolloutPoint(minutes=1, allocation=0.5, estimate=0.2, low=-0.1, high=0.5)
    for _ in range(2):  # as by a controller that was killed in between
        run.finish(RolloutOutcome.PROMOTED, ReasonCode.FINAL_STEP_PASSED, "no alarm", [{"entry": "started"}])
    client = MlflowClient(tracking_uri())
    stored = client.get_run(run.run_id)
    assert stored.info.status == "FINISHED"
    assert (stored.data.tags["outcome"], stored.data.tags["reason"]) == ("promoted", "final_step_passed")
    assert "p_errors" not in stored.data.metrics
    artifacts = {artifact.path for artifact in client.list_artifacts(run.run_id)}
    assert {"journal.jsonl", "figures"} <= artifacts


def test_run_without_metrics_has_no_figure(run: RolloutRun) -> None:
    run.finish(RolloutOutcome.ROLLED_BACK, None, "no replica became ready", [])
    assert [artifact.path for artifact in MlflowClient(tracking_uri()).list_artifacts(run.run_id)] == [
        "journal.jsonl"
    ]


def test_canceled_run_is_marked_as_killed(run: RolloutRun) -> None:
    run.cancel("another rollout is running")
    stored = MlflowClient(tracking_uri()).get_run(run.run_id)
    assert (stored.info.status, stored.data.tags["message"]) == ("KILLED", "another rollout is running")
