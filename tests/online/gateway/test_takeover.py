"""Two hosts in network namespaces: if one host dies, the other takes over the shared address."""

import os
import shutil

import pytest

from benchmarks.takeover import host_pair

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(os.getuid() != 0, reason="creating network namespaces needs root"),
    pytest.mark.skipif(
        any(shutil.which(program) is None for program in ("ip", "keepalived", "curl")),
        reason="apt-get install iproute2 keepalived curl",
    ),
]


def test_address_moves_back_and_forth_when_hosts_die() -> None:
    with host_pair() as pair:
        assert pair.wait_for_holder() == "one"
        assert pair.measure_outage(pair.disconnect) < 2
        assert pair.measure_outage(pair.disconnect) < 2


def test_address_moves_when_the_gateways_of_a_host_stop() -> None:
    with host_pair() as pair:
        assert pair.wait_for_holder() == "one"
        assert pair.measure_outage(pair.stop_server) < 10
