"""API key of the stack."""

import hashlib
import stat
from pathlib import Path

from service.gateway.api_keys import API_KEY_FILE, KEY_DIGESTS_FILE, ensure_api_key


def test_key_is_created_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    ensure_api_key(tmp_path)
    key = (tmp_path / API_KEY_FILE).read_text()
    ensure_api_key(tmp_path)
    assert (tmp_path / API_KEY_FILE).read_text() == key
    assert (tmp_path / KEY_DIGESTS_FILE).read_text() == f"{hashlib.sha256(key.encode()).hexdigest()}\n"
    for name in (API_KEY_FILE, KEY_DIGESTS_FILE):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
