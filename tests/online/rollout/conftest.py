"""Fixtures of the rollout tests."""

from pathlib import Path

import pytest

from experiments.config import load_params
from experiments.config.online import CanaryParams
from pipelines.commands.up import build_stack_config
from service.stack.stack_config import StackConfig

PARAMS = load_params(Path(__file__).parents[3] / "params.yaml")


@pytest.fixture
def canary_params() -> CanaryParams:
    """The rollout parameters of params.yaml."""
    return PARAMS.canary


@pytest.fixture
def stack(tmp_path: Path) -> StackConfig:
    """A saved configuration with two stable replicas and one canary replica; no process is running."""
    events = tmp_path / "events"
    config = build_stack_config(PARAMS, tmp_path, replicas=2, port=1, host="127.0.0.1", events=events)
    config.save()
    return config
