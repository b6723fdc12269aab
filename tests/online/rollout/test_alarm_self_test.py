"""Alarm self-test: every alarm can go off with the parameters of the project."""

import pytest

from experiments.config.online import CanaryParams
from marquee.rollout.evidence import GUARDRAIL_METRICS, LIST_METRICS
from pipelines.rollout.alarm_self_test import count_users_until_alarm, count_users_until_last_step_alarm
from pipelines.rollout.params_conversion import build_policy


@pytest.mark.parametrize("name", [*GUARDRAIL_METRICS, *LIST_METRICS, "sample_ratio_mismatch", "quality"])
def test_default_params_let_every_alarm_go_off(canary_params: CanaryParams, name: str) -> None:
    n_users = count_users_until_alarm(build_policy(canary_params), name)
    assert n_users is not None
    assert n_users <= 1000


@pytest.mark.parametrize("name", GUARDRAIL_METRICS)
def test_default_params_let_every_alarm_go_off_in_the_last_step(
    canary_params: CanaryParams, name: str
) -> None:
    n_users = count_users_until_last_step_alarm(build_policy(canary_params), name)
    assert n_users is not None
    assert n_users <= 100


def test_alarm_that_cannot_go_off_is_detected(canary_params: CanaryParams) -> None:
    max_increase = canary_params.max_increase.model_copy(update={"overlap": 1.0})
    params = canary_params.model_copy(update={"max_increase": max_increase})
    assert count_users_until_alarm(build_policy(params), "overlap") is None
