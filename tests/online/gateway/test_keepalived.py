"""Configuration of keepalived on two hosts that share an address."""

import shutil
import subprocess
from pathlib import Path

import pytest

from marquee.errors import ConfigError
from pipelines.commands.keepalived import print_keepalived_config
from service.gateway.keepalived import KeepalivedHost, render_keepalived

FIRST = KeepalivedHost("first", "192.0.2.1", "eth0", 150)
SECOND = KeepalivedHost("second", "192.0.2.2", "eth0", 100)
SHARED = "192.0.2.10/24"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"own": "here"}, "--own must be an IP address"),
        ({"peer": "there"}, "--peer must be an IP address"),
        ({"peer": "192.0.2.1"}, "--own and --peer must be different addresses"),
        ({"shared": "192.0.2.10"}, "--shared must be an IP address with a prefix length"),
        ({"shared": "192.0.2.10/33"}, "--shared must be an IP address with a prefix length"),
        ({"shared": "192.0.2.10/255.255.255.0"}, "--shared must be an IP address with a prefix length"),
    ],
)
def test_invalid_address_is_rejected(changes: dict[str, str], message: str) -> None:
    addresses = {"own": FIRST.address, "peer": SECOND.address, "shared": SHARED, **changes}
    with pytest.raises(ConfigError, match=message):
        print_keepalived_config(interface="eth0", port=3000, second=False, **addresses)


def test_config_contains_own_peer_and_health_check_addresses() -> None:
    config = render_keepalived(FIRST, SECOND, SHARED, port=3100)
    assert "unicast_src_ip 192.0.2.1" in config
    assert config.split("unicast_peer {")[1].split("}")[0].strip() == "192.0.2.2"
    assert "http://127.0.0.1:3100/livez" in config


@pytest.mark.server
@pytest.mark.skipif(shutil.which("keepalived") is None, reason="apt-get install keepalived")
def test_keepalived_accepts_the_config(tmp_path: Path) -> None:
    interfaces = [path.name for path in Path("/sys/class/net").iterdir() if path.name != "lo"]
    if not interfaces:
        pytest.skip("keepalived needs an interface other than the loopback")
    first, second = (KeepalivedHost(each.name, each.address, interfaces[0], 150) for each in (FIRST, SECOND))
    config = render_keepalived(first, second, SHARED, port=3000)
    assert check_config(tmp_path, config) == ""
    assert "Unknown keyword" in check_config(tmp_path, config.replace("advert_int", "advert_interval"))


def check_config(folder: Path, config: str) -> str:
    """Return keepalived's messages; its exit code is useless, since the process ends itself with a signal."""
    path = folder / "keepalived.conf"
    path.write_text(config, encoding="utf-8")
    command = ["keepalived", "--config-test", "--log-console", "-f", str(path)]
    check = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return check.stdout + check.stderr
