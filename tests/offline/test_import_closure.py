"""Source files: every pattern must match one, and imports are followed."""

from pathlib import Path

import pytest

from experiments.import_closure import import_closure, matching_files
from marquee.errors import MarqueeError

FILES = {
    "shop/__init__.py": "",
    "shop/till.py": "import json\nfrom shop import prices\n",
    "shop/prices.py": "def of(item):\n    from shop.tax.rates import RATE\n    return RATE\n",
    "shop/tax/__init__.py": "from . import rounding\n",
    "shop/tax/rates.py": "from ..money import Money\nRATE = 0.2\n",
    "shop/tax/rounding.py": "",
    "shop/money.py": "import shop.till\n",
    "shop/window.py": "import shop.till\n",
    "shop/sign.html": "<p>open</p>",
    "shop/__pycache__/till.cpython-311.pyc": "",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def names(files: set[Path]) -> set[str]:
    return {file.as_posix() for file in files}


def test_folder_matches_every_source_file_below_it(root: Path) -> None:
    expected = {name for name in FILES if "__pycache__" not in name}
    assert names(matching_files(root, ["shop"])) == expected
    assert names(matching_files(root, ["shop/tax", "shop/*.html"])) == {
        "shop/tax/__init__.py", "shop/tax/rates.py", "shop/tax/rounding.py", "shop/sign.html",
    }  # fmt: skip


@pytest.mark.parametrize("pattern", ["shop/tills.py", "shop/tax/*.html", "shop/__pycache__"])
def test_pattern_without_a_match_is_an_error(root: Path, pattern: str) -> None:
    with pytest.raises(MarqueeError, match=f"no source file matches '{pattern.replace('*', '[*]')}'"):
        matching_files(root, ["shop", pattern])


def test_imports_are_followed_through_functions_packages_and_relative_names(root: Path) -> None:
    closure = names(import_closure(root, [Path("shop/till.py")]))
    assert closure == {name for name in FILES if name.endswith(".py")} - {"shop/window.py"}


def test_files_other_than_modules_are_ignored(root: Path) -> None:
    assert import_closure(root, [Path("shop/sign.html")]) == set()
