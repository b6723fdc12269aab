"""The key of a search: another one as soon as code that its results depend on changes."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.evaluation.cross_validation import FoldSource
from experiments.search import run
from experiments.search.run import code_files
from experiments.source_code import import_closure
from marquee.errors import MarqueeError
from tests.support.searches import asking_of, search_of

ROOT = Path(__file__).parents[3]
WORKER = Path("experiments/search/worker.py")


@pytest.fixture(autouse=True)
def _no_cached_digest() -> Iterator[None]:
    run._code_digest.cache_clear()
    yield
    run._code_digest.cache_clear()


def test_key_covers_every_module_that_a_worker_imports_and_every_algorithm() -> None:
    covered = set(code_files())
    assert import_closure(ROOT, [WORKER]) <= covered
    assert {
        Path("experiments/evaluation/cross_validation.py"),
        Path("marquee/algorithms/kernels/slope_one.py"),
    } <= covered


def test_key_does_not_depend_on_code_that_serves_or_draws() -> None:
    outside = ("service", "pipelines", "experiments/figures", "experiments/report")
    assert not [path for path in code_files() if path.as_posix().startswith(outside)]


@pytest.mark.parametrize(
    "changed",
    [
        "experiments/evaluation/cross_validation.py",
        "marquee/interactions/splitting.py",
        "marquee/algorithms/svd.py",
    ],
)
def test_changed_code_changes_the_key(
    source: FoldSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    asking = asking_of(search_of({"baseline_only": {}}), source, tmp_path)
    before = asking.key
    root = copy_of_the_code(tmp_path / "copy")
    monkeypatch.setattr(run, "ROOT", root)
    assert (before, asking.key) == (before, before), "it is read once a process"
    run._code_digest.cache_clear()
    assert asking.key == before, "it does not depend on where the code lies"
    (root / changed).write_text((root / changed).read_text() + "\n# changed\n")
    run._code_digest.cache_clear()
    assert asking.key != before


def copy_of_the_code(root: Path) -> Path:
    for package in ("experiments", "marquee"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def test_search_refuses_to_start_where_its_code_is_not_found(
    source: FoldSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "CODE", (*run.CODE, "marquee/moved.py"))
    with pytest.raises(MarqueeError, match=r"no source file matches 'marquee/moved.py'"):
        run.run_search(asking_of(search_of({"baseline_only": {}}), source, tmp_path), lambda *_: None)
    assert not list(tmp_path.iterdir()), "no journal was begun"
