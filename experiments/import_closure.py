"""Finds source files of the project: by pattern, and by following imports.

Paths are relative to the project directory, the root.
"""

import ast
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from marquee.errors import MarqueeError


def matching_files(root: Path, patterns: Iterable[str]) -> set[Path]:
    """Return the source files that match the patterns.

    Args:
        root: the project directory.
        patterns: globs relative to the root; a folder stands for every file below it.

    Raises:
        MarqueeError: a pattern matches no file. (Otherwise a file that was moved would silently drop out.)
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


def import_closure(root: Path, files: Iterable[Path], exclude: Collection[Path] = ()) -> set[Path]:
    """Return the modules among the files, and all project modules that they import, directly or indirectly.

    The source is parsed, not run. Imports inside functions count, but a module that is imported by a computed
    name is not found.

    Args:
        root: the project directory.
        files: where to start; files that are not modules are ignored.
        exclude: modules that are neither returned nor followed.
    """
    closure: set[Path] = set()
    pending = [file for file in files if file.suffix == ".py"]
    while pending:
        module = pending.pop()
        if module not in closure and module not in exclude:
            closure.add(module)
            own_name = ".".join(module.with_suffix("").parts)  # leads to the __init__.py of its packages
            names = {*_imported_names(root, module), own_name}
            pending.extend(file for name in names for file in _files_of_module(root, name))
    return closure


def _files_below(path: Path) -> Iterator[Path]:
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file() and "__pycache__" not in file.parts:
            yield file


def _imported_names(root: Path, module: Path) -> Iterator[str]:
    """Yield the dotted names of all imports of a module; `from a import b` yields both `a` and `a.b`."""
    for node in ast.walk(ast.parse((root / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(module.parts[: -node.level]) if node.level else ""
            origin = ".".join(filter(None, (package, node.module)))
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def _files_of_module(root: Path, name: str) -> Iterator[Path]:
    """Yield the files that Python runs to import a dotted name: its parent packages and the module itself."""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        base = Path(*parts[:length])
        for file in (base.with_suffix(".py"), base / "__init__.py"):
            if (root / file).is_file():
                yield file
