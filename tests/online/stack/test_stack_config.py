"""Configuration of the stack: its files, and the environment of the replicas."""

from dataclasses import replace
from pathlib import Path

import pytest

from experiments.config.online import ServingParams
from marquee.errors import MarqueeError
from marquee.rollout.arms import CANARY, STABLE
from service.settings import Settings
from service.stack.stack_config import (
    Arm,
    StackConfig,
    load_stack_config,
    read_arms,
    replica_environment,
    write_arms,
)


def test_saved_config_is_loaded_again(stack: StackConfig) -> None:
    assert load_stack_config(stack.folder) == stack
    assert stack.process_names[:5] == ("gateway-1", "gateway-2", "stable-1", "stable-2", "canary-1")
    assert len({replica.port for replica in stack.all_replicas}) == 3
    assert stack.find_arm_of_replica("canary-1") == CANARY


def test_missing_config_is_reported(tmp_path: Path) -> None:
    with pytest.raises(MarqueeError, match="marquee up"):
        load_stack_config(tmp_path)


@pytest.mark.parametrize(
    "content", ["{", "{}", "[]", '{"folder": "x", "events": "y", "gateways": [{"port": 1}]}']
)
def test_damaged_config_is_reported(tmp_path: Path, content: str) -> None:
    (tmp_path / "stack.json").write_text(content)
    with pytest.raises(MarqueeError, match="damaged"):
        load_stack_config(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"stable": 1}', '{"stable": {"bento": "x"}}'])
def test_damaged_arms_are_reported(tmp_path: Path, content: str) -> None:
    (tmp_path / "arms.json").write_text(content)
    with pytest.raises(MarqueeError, match=r"arms\.json is damaged"):
        read_arms(tmp_path)


def test_replica_gets_arm_bento_and_port_from_its_environment(stack: StackConfig) -> None:
    write_arms(stack.folder, {STABLE: Arm("/bentos/one", 1), CANARY: Arm("/bentos/two", 2)})
    environment = replica_environment(stack, "canary-1")
    assert (environment["MARQUEE_ARM"], environment["MARQUEE_BENTO"]) == ("canary", "/bentos/two")
    assert environment["MARQUEE_PORT"] == str(stack.find_replica("canary-1").port)
    assert read_arms(stack.folder)[STABLE].version == 1


def test_replica_gets_the_serving_parameters(stack: StackConfig) -> None:
    settings = ServingParams(repeat_after=30).to_environment()
    changed = replace(stack, replica_settings=settings)
    changed.save()
    write_arms(stack.folder, {STABLE: Arm("/bentos/one", 1)})
    environment = replica_environment(load_stack_config(stack.folder), "stable-1")
    assert Settings.from_environment(environment).repeat_after == 30
    assert ServingParams(repeat_after=None).to_environment() == {}
