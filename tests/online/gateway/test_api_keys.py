"""API key of the stack."""

import hashlib
import stat
from pathlib import Path

from service.gateway.api_keys import API_KEY_FILE, KEY_DIGESTS_FILE, ensure_api_key


def test_key_is_created_once(tmp_path: Path) -> None:
    ensure_api_key(tmp_path)
    key = (tmp_path / API_KEY_FILE).read_text()
    ensure_api_key(tmp_path)
    assert (tmp_path / API_KEY_FILE).read_text() == key


def test_gateways_get_the_digest_of_the_key(tmp_path: Path) -> None:
    ensure_api_key(tmp_path)
    key = (tmp_path / API_KEY_FILE).read_bytes()
    assert (tmp_path / KEY_DIGESTS_FILE).read_text() == f"{hashlib.sha256(key).hexdigest()}\n"


def test_only_the_owner_can_read_key_and_digests(tmp_path: Path) -> None:
    ensure_api_key(tmp_path)
    for name in (API_KEY_FILE, KEY_DIGESTS_FILE):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
