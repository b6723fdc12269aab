"""Import rules: which package may import which, and which modules may import each third-party library."""

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("marquee", "experiments", "pipelines", "service")
MAY_IMPORT = {
    "marquee": {"marquee"},
    "experiments": {"experiments", "marquee"},
    "service": {"service", "marquee"},
    "pipelines": set(PACKAGES),
}
LIBRARY_IMPORTERS = {  # the modules or folders that may import a library
    "numba": ("marquee/algorithms/kernels/",),
    "llvmlite": ("marquee/algorithms/kernels/",),
    "surprise": ("marquee/algorithms/",),
    "implicit": ("marquee/algorithms/",),
    "scipy": ("marquee/algorithms/", "experiments/evaluation/"),
    "sklearn": (),  # only Optuna uses it
    "pandera": ("marquee/interactions/",),
    "optuna": ("experiments/search/",),
    "mlflow": ("experiments/tracking/",),
    "matplotlib": ("experiments/figures/",),
    "jinja2": ("experiments/report/", "service/gateway/"),
    "httpx": ("experiments/datasets/",),
    "yaml": ("experiments/config/", "pipelines/support/"),
    "bentoml": ("service/app.py", "pipelines/support/bento.py"),
    "click": ("pipelines/cli.py",),
    "fsspec": ("service/telemetry/",),
    "prometheus_client": ("service/metrics.py", "service/stack/"),
    "structlog": ("service/logs.py",),
    "psutil": ("service/stack/",),
    "circus": ("service/stack/",),
}
FORBIDDEN_IN_DOMAIN = {"mlflow", "optuna", "dvc", "bentoml", "starlette", "click", "rich", "yaml", "httpx"}
VAGUE_MODULE_NAMES = {"utils", "helpers", "common", "manager", "misc"}


def modules_below(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


MODULES = [path for package in PACKAGES for path in modules_below(package)]


def imported_modules(path: Path) -> Iterator[str]:
    """Yield the full name of every module that a file imports, at any depth of nesting."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def imported_packages(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported_modules(path)}


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def relative_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=relative_name)
def test_package_imports_only_allowed_packages(path: Path) -> None:
    package = relative_name(path).split("/")[0]
    assert imported_packages(path) & set(PACKAGES) <= MAY_IMPORT[package]


@pytest.mark.parametrize("path", MODULES, ids=relative_name)
def test_library_is_imported_only_where_allowed(path: Path) -> None:
    for library in imported_packages(path) & set(LIBRARY_IMPORTERS):
        importers = LIBRARY_IMPORTERS[library]
        assert relative_name(path).startswith(importers), f"only {importers} may import {library}"


@pytest.mark.parametrize("path", modules_below("marquee"), ids=relative_name)
def test_domain_imports_no_infrastructure_library(path: Path) -> None:
    assert not imported_packages(path) & FORBIDDEN_IN_DOMAIN


@pytest.mark.parametrize("path", modules_below("pipelines/stages"), ids=relative_name)
def test_stage_imports_no_stage_and_no_command(path: Path) -> None:
    others = [
        name for name in imported_modules(path) if name.startswith(("pipelines.stages", "pipelines.commands"))
    ]
    assert not others


@pytest.mark.parametrize("path", modules_below("pipelines/support"), ids=relative_name)
def test_support_code_imports_no_stage_and_no_command(path: Path) -> None:
    others = [
        name for name in imported_modules(path) if name.startswith(("pipelines.stages", "pipelines.commands"))
    ]
    assert not others


@pytest.mark.parametrize("path", MODULES, ids=relative_name)
def test_module_starts_with_a_docstring(path: Path) -> None:
    assert ast.get_docstring(parse(path)), "start the module with a sentence that says what it contains"


def test_no_two_public_classes_share_a_name() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in MODULES:
        for node in parse(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(relative_name(path))
    assert not {name: paths for name, paths in places.items() if len(paths) > 1}


@pytest.mark.parametrize("path", [*MODULES, *modules_below("benchmarks")], ids=relative_name)
def test_module_started_with_dash_m_exists(path: Path) -> None:
    for name in re.findall(r'"-m",\s*"([a-z_.]+)"', path.read_text(encoding="utf-8")):
        if name.partition(".")[0] in (*PACKAGES, "benchmarks"):
            base = ROOT / name.replace(".", "/")
            assert base.with_suffix(".py").exists() or (base / "__main__.py").exists(), name


def test_packages_and_files_in_pyproject_exist() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert folders == {*PACKAGES, "benchmarks", "tests"} == set(tools["mypy"]["files"])
    assert set(tools["hatch"]["build"]["targets"]["wheel"]["packages"]) == set(PACKAGES)
    for pattern in tools["ruff"]["lint"]["per-file-ignores"]:
        assert any(ROOT.glob(pattern)), pattern


def test_nothing_shadows_the_service_package() -> None:
    assert not (ROOT / "tests/service").exists(), "tests/service would shadow the package `service`"
    assert not (ROOT / "service/service.py").exists(), "`bentoml serve` would load service/service.py"


def test_no_module_has_a_vague_name() -> None:
    assert not {path.stem for path in MODULES} & VAGUE_MODULE_NAMES
