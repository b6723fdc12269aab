"""Search key: it changes if code changes that the results depend on, and not otherwise."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.evaluation.cross_validation import FoldSource
from experiments.import_closure import import_closure
from experiments.search import specification
from experiments.search.run import run_search
from experiments.search.specification import source_files
from marquee.errors import MarqueeError
from tests.support.searches import make_search_params, make_search_spec

ROOT = Path(__file__).parents[3]
WORKER = Path("experiments/search/worker.py")


@pytest.fixture(autouse=True)
def _no_cached_digest() -> Iterator[None]:
    specification._code_digest.cache_clear()
    yield
    specification._code_digest.cache_clear()


def copy_code(root: Path) -> Path:
    for package in ("experiments", "marquee"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def test_key_covers_every_module_that_a_worker_imports_and_every_algorithm() -> None:
    covered = set(source_files())
    assert import_closure(ROOT, [WORKER]) <= covered
    assert {
        Path("experiments/evaluation/cross_validation.py"),
        Path("marquee/algorithms/kernels/slope_one.py"),
    } <= covered


def test_key_does_not_cover_serving_and_reporting_code() -> None:
    outside = ("service", "pipelines", "experiments/figures", "experiments/report")
    assert not [path for path in source_files() if path.as_posix().startswith(outside)]


@pytest.mark.parametrize(
    "changed",
    [
        "experiments/evaluation/cross_validation.py",
        "marquee/interactions/splitting.py",
        "marquee/algorithms/svd.py",
    ],
)
@pytest.mark.slow
def test_changed_code_changes_the_key(
    source: FoldSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    spec = make_search_spec(make_search_params({"baseline_only": {}}), source, tmp_path)
    original_key = spec.compute_key()
    root = copy_code(tmp_path / "copy")
    monkeypatch.setattr(specification, "ROOT", root)
    specification._code_digest.cache_clear()
    assert spec.compute_key() == original_key, "the key must not depend on the location of the code"
    (root / changed).write_text((root / changed).read_text() + "\n# changed\n")
    assert spec.compute_key() == original_key, "code must be read only once per process"
    specification._code_digest.cache_clear()
    assert spec.compute_key() != original_key


def test_search_does_not_start_if_a_code_pattern_matches_no_file(
    source: FoldSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patterns = (*specification.CODE_PATTERNS, "marquee/moved.py")
    monkeypatch.setattr(specification, "CODE_PATTERNS", patterns)
    spec = make_search_spec(make_search_params({"baseline_only": {}}), source, tmp_path)
    with pytest.raises(MarqueeError, match=r"no source file matches 'marquee/moved.py'"):
        run_search(spec, lambda _: None)
    assert not list(tmp_path.iterdir()), "no journal must be created"
