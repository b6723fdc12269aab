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


@pytest.mark.parametrize("told_by", [None, Path("/tmp/well")])
def test_keepalived_accepts_what_it_is_given(tmp_path: Path, told_by: Path | None) -> None:
    one, two = Host("one", "192.0.2.1", "lo", 150), Host("two", "192.0.2.2", "lo", 100)
    path = tmp_path / "keepalived.conf"
    path.write_text(render_address(one, two, "192.0.2.10/24", told_by=told_by))
    command = ["keepalived", "--config-test", "--log-console", "-f", str(path)]
    tested = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_the_address_moves_there_and_back() -> None:
    with pair() as two:
        assert two.holder() == "one"
        assert two.gap() < 2
        assert two.gap() < 2
