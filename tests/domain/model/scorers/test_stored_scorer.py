"""Kinds of stored scorers: importing the package registers every kind, so that any model can be opened."""

from pathlib import Path

import marquee.model.scorers
from marquee.model.scorers.stored_scorer import KINDS

FOLDER = Path(marquee.model.scorers.__path__[0])


def test_package_imports_every_module_that_registers_a_kind() -> None:
    modules = {path.stem for path in FOLDER.glob("*.py") if "\n@register_kind\n" in path.read_text()}
    assert modules == set(marquee.model.scorers.__all__)
    assert {kind.__module__.rpartition(".")[2] for kind in KINDS.values()} == modules
