"""Source files of the project: those that patterns name, and those that modules import.

Paths are relative to the project's folder, here called the root.
"""

import ast
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from marquee.errors import MarqueeError


def matching_files(root: Path, patterns: Iterable[str]) -> set[Path]:
    """Return the source files that the patterns name.

    Args:
        root: the project's folder.
        patterns: globs relative to the root; a folder stands for every file below it.

    Raises:
        MarqueeError: a pattern matches no file. What was moved must not drop out unnoticed.
    """
    files: set[Path] = set()
    for pattern in patterns:
        matches = {file for path in root.glob(pattern) for file in _files_below(path)}
        if not matches:
            raise MarqueeError(
                f"no source file matches '{pattern}' in {root.resolve()}; "
                "if the file was moved or renamed, correct the pattern"
            )
        files |= {file.relative_to(root) for file in matches}
    return files


def import_closure(root: Path, files: Iterable[Path], left_out: Collection[Path] = ()) -> set[Path]:
    """Return the modules among the files, with all modules of the project that they import, transitively.

    The source is parsed and not run, so imports inside functions count too. A module that is imported by a
    computed name is not found.

    Args:
        root: the project's folder.
        files: where to begin; only modules count.
        left_out: modules that are neither returned nor followed.
    """
    found: set[Path] = set()
    waiting = [file for file in files if file.suffix == ".py"]
    while waiting:
        module = waiting.pop()
        if module not in found and module not in left_out:
            found.add(module)
            names = {*_imported_names(root, module), ".".join(module.with_suffix("").parts)}
            waiting.extend(file for name in names for file in _files_of(root, name))
    return found


def _files_below(path: Path) -> Iterator[Path]:
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file() and "__pycache__" not in file.parts:
            yield file


def _imported_names(root: Path, module: Path) -> Iterator[str]:
    """Yield dotted names of all that a module imports; of `from a import b` both a and a.b."""
    for node in ast.walk(ast.parse((root / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(module.parts[: -node.level]) if node.level else ""
            origin = ".".join(filter(None, (package, node.module)))
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def _files_of(root: Path, name: str) -> Iterator[Path]:
    """Yield the files that importing a dotted name runs: its packages, and the module itself."""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        base = Path(*parts[:length])
        for file in (base.with_suffix(".py"), base / "__init__.py"):
            if (root / file).is_file():
                yield file
