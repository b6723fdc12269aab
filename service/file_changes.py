"""Detection of changed files by comparing file metadata."""

from pathlib import Path

_Snapshot = tuple[tuple[str, int, int, int], ...]  # name, inode, modification time and size of each file


class ChangeDetector:
    """Detects changes of a file, or of any file directly in a folder.

    All files of a model folder are compared, not only its manifest: while a folder is being copied, each
    further file counts as another change.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._snapshot: _Snapshot | None = ()

    def detect_change(self) -> bool:
        """Return True if anything has changed since the previous call; the first call returns True."""
        previous, self._snapshot = self._snapshot, self._take_snapshot()
        return self._snapshot != previous

    def _take_snapshot(self) -> _Snapshot | None:
        """Return the metadata of the files; None if the path does not exist."""
        try:
            files = sorted(self.path.iterdir()) if self.path.is_dir() else [self.path]
            stats = [file.stat() for file in files]
        except OSError:
            return None
        return tuple(
            (file.name, stat.st_ino, stat.st_mtime_ns, stat.st_size)
            for file, stat in zip(files, stats, strict=True)
        )
