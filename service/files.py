"""Files that are the old one or the new one, whatever dies."""

import os
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Put a new file where the old one is; on return it is on disk.

    Raises:
        OSError: it cannot be written, and the old one is still there.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)  # on a full disk it is in the way
        raise
