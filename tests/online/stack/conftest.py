"""Fixtures of the tests of the stack."""

from pathlib import Path

import pytest

from experiments.config import load_params
from pipelines.commands.up import build_stack_config
from service.stack.stack_config import StackConfig

ROOT = Path(__file__).parents[3]


@pytest.fixture
def stack(tmp_path: Path) -> StackConfig:
    """A saved configuration with two stable replicas and one canary replica."""
    params = load_params(ROOT / "params.yaml")
    config = build_stack_config(params, tmp_path, replicas=2, port=3000, host="*", events=tmp_path / "events")
    config.save()
    return config
