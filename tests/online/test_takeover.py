"""Two hosts in network namespaces: when the one that holds the address dies, the other answers."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.takeover import pair
from service.gateway.address import Host, render_address

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(os.getuid() != 0, reason="namespaces are made by root"),
    pytest.mark.skipif(shutil.which("keepalived") is None, reason="apt-get install keepalived"),
]


def test_keepalived_accepts_what_it_is_given(tmp_path: Path) -> None:
    cards = [path.name for path in Path("/sys/class/net").iterdir() if path.name != "lo"]
    if not cards:
        pytest.skip("keepalived knows no address on the loopback")
    one, two = (Host(name, f"192.0.2.{n}", cards[0], 150) for n, name in enumerate(("one", "two"), start=1))
    path = tmp_path / "keepalived.conf"
    path.write_text(render_address(one, two, "192.0.2.10/24", told_by=tmp_path / "well"))
    command = ["keepalived", "--config-test", "--log-console", "-f", str(path)]
    tested = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_the_address_moves_there_and_back() -> None:
    with pair() as two:
        assert two.holder() == "one"
        assert two.gap() < 2
        assert two.gap() < 2
