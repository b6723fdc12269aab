"""Two hosts in network namespaces: when the one that holds the address dies, the other answers."""

import os
import shutil

import pytest

from benchmarks.takeover import pair

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(os.getuid() != 0, reason="namespaces are made by root"),
    pytest.mark.skipif(shutil.which("keepalived") is None, reason="apt-get install keepalived"),
]


def test_the_address_moves_there_and_back() -> None:
    with pair() as two:
        assert two.holder() == "one"
        assert two.gap() < 2
        assert two.gap() < 2
