"""deploy/compose.yaml: services match the configuration of the gateways and run without privileges."""

from pathlib import Path

import yaml

from experiments.config import load_params
from pipelines.commands.compose_mounts import build_shared_gateway_config

ROOT = Path(__file__).parents[3]
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())


def test_services_are_the_gateways_and_the_replicas_of_the_site() -> None:
    config = build_shared_gateway_config(load_params(ROOT / "params.yaml"), Path("/run/marquee"))
    replicas = {replica.host for replica in (*config.stable, *config.canary)}
    assert set(COMPOSE["services"]) == replicas | {"gateway-1", "gateway-2"}


def test_containers_have_limits_and_no_privileges() -> None:
    for service in COMPOSE["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["user"] == "${MARQUEE_UID}:${MARQUEE_GID}"
        assert {"mem_limit", "cpus", "pids_limit", "restart"} <= set(service)
        assert "latest" not in service["image"]


def test_replicas_cannot_reach_outside_networks() -> None:
    assert COMPOSE["networks"]["replicas"] == {"internal": True}
