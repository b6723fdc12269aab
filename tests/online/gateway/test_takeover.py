"""Two hosts in network namespaces: when the one that holds the address dies, the other answers."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.takeover import pair
from service.gateway.keepalived import Host, render_address

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(os.getuid() != 0, reason="namespaces are made by root"),
    pytest.mark.skipif(
        any(shutil.which(program) is None for program in ("ip", "keepalived", "curl")),
        reason="apt-get install iproute2 keepalived curl",
    ),
]


def test_keepalived_accepts_what_it_is_given(tmp_path: Path) -> None:
    cards = [path.name for path in Path("/sys/class/net").iterdir() if path.name != "lo"]
    if not cards:
        pytest.skip("keepalived knows no address on the loopback")
    one, two = (Host(name, f"192.0.2.{n}", cards[0], 150) for n, name in enumerate(("one", "two"), start=1))
    rendered = render_address(one, two, "192.0.2.10/24", port=3000)
    assert _tested(tmp_path, rendered) == ""
    assert "Unknown keyword" in _tested(tmp_path, rendered.replace("advert_int", "advert_interval"))


def _tested(folder: Path, rendered: str) -> str:
    """What keepalived says of a configuration; its exit code says nothing, for it ends itself by a signal."""
    path = folder / "keepalived.conf"
    path.write_text(rendered, encoding="utf-8")
    command = ["keepalived", "--config-test", "--log-console", "-f", str(path)]
    tested = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return tested.stdout + tested.stderr


def test_the_address_moves_there_and_back_when_a_host_dies() -> None:
    with pair() as two:
        assert two.holder() == "one"
        assert two.gap(two.cut) < 2
        assert two.gap(two.cut) < 2


def test_the_address_moves_when_the_gateways_of_a_host_are_gone() -> None:
    with pair() as two:
        assert two.holder() == "one"
        assert two.gap(two.silence) < 10
