"""API keys: a gateway accepts feedback and probe requests only with one of them.

The gateways read the digests of the keys from a file, so reading that file reveals no key.
"""

import hashlib
import secrets
from collections.abc import Iterable
from pathlib import Path

from marquee.files.atomic_write import write_atomically

KEY_DIGESTS_FILE = "keys.sha256"  # read by HAProxy
API_KEY_FILE = "api-key"  # the key of the user who started the stack
KEY_BYTES = 24


def write_key_digests(folder: Path, keys: Iterable[str]) -> None:
    """Write the digests of all API keys that the gateways accept from their next start on."""
    digests = [hashlib.sha256(key.encode()).hexdigest() for key in keys]
    write_atomically(folder / KEY_DIGESTS_FILE, "".join(f"{digest}\n" for digest in digests), mode=0o600)


def ensure_api_key(folder: Path) -> None:
    """Create an API key in `API_KEY_FILE` unless the file exists, and write its digest for the gateways."""
    path = folder / API_KEY_FILE
    if not path.exists():
        write_atomically(path, secrets.token_urlsafe(KEY_BYTES), mode=0o600)
    write_key_digests(folder, [path.read_text(encoding="utf-8")])
