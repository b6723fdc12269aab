"""Who may import whom, and through which door a library comes in."""

import ast
import re
import tomllib
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
DOORWAYS = {
    "numba": ("marquee/algorithms/kernels",),
    "llvmlite": ("marquee/algorithms/kernels",),
    "surprise": ("marquee/algorithms/",),
    "implicit": ("marquee/algorithms/implicit_feedback.py",),
    "scipy": (
        "marquee/algorithms/",
        "experiments/intervals.py",
        "experiments/leakage.py",
    ),
    "jinja2": ("experiments/report/", "service/gateway/configuration.py"),
    "sklearn": (),
    "optuna": (
        "experiments/search/studies.py",
        "experiments/search/pruners.py",
        "experiments/search/storage.py",
        "experiments/search/journal.py",
        "experiments/search/importance.py",
    ),
    "matplotlib": ("experiments/figures/",),
    "mlflow": (
        "experiments/tracking.py",
        "experiments/tracking_store.py",
        "experiments/registry.py",
        "experiments/registered_model.py",
        "experiments/rollouts.py",
    ),
    "bentoml": ("service/app.py", "pipelines/bentos.py"),
    "pandera": ("marquee/checks.py",),
    "yaml": ("experiments/config.py", "pipelines/bentos.py"),
    "httpx": ("experiments/datasets/download.py",),
    "click": ("pipelines/cli.py",),
    "fsspec": ("service/telemetry/sealing.py",),
    "prometheus_client": ("service/observed.py", "service/stack/sampling.py"),
    "structlog": ("service/logs.py",),
    "psutil": ("service/stack/launch.py",),
    "circus": ("service/stack/supervisor.py",),
}
NOT_IN_THE_DOMAIN = {"mlflow", "optuna", "dvc", "bentoml", "starlette", "click", "rich", "yaml", "httpx"}
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
STARTERS = [*MODULES, *sorted((ROOT / "benchmarks").rglob("*.py"))]
LONGEST = 300  # lines; past that a module is two


def imports_of(path: Path) -> Iterator[str]:
    """Full names of everything a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def top_level(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports_of(path)}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_package_imports_only_those_below_it(path: Path) -> None:
    package = name_of(path).split("/")[0]
    assert top_level(path) & set(PACKAGES) <= MAY_IMPORT[package]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_library_comes_in_through_its_doorway(path: Path) -> None:
    for library in top_level(path) & set(DOORWAYS):
        assert name_of(path).startswith(DOORWAYS[library]), f"{library} belongs in {DOORWAYS[library]}"


@pytest.mark.parametrize("doorway", sorted({place for places in DOORWAYS.values() for place in places}))
def test_a_doorway_is_where_the_rules_say(doorway: str) -> None:
    assert (ROOT / doorway).exists()


@pytest.mark.parametrize("path", [p for p in MODULES if name_of(p).startswith("marquee/")], ids=name_of)
def test_the_domain_knows_no_tracker_and_no_server(path: Path) -> None:
    assert not top_level(path) & NOT_IN_THE_DOMAIN


@pytest.mark.parametrize("path", [p for p in MODULES if name_of(p).startswith("pipelines/")], ids=name_of)
def test_a_stage_imports_no_other_stage(path: Path) -> None:
    stages = {f"pipelines.{p.stem}" for p in MODULES if is_stage(p)}
    if is_stage(path):
        assert not set(imports_of(path)) & stages


def is_stage(path: Path) -> bool:
    return (
        name_of(path).startswith("pipelines/")
        and '__name__ == "__main__"' in path.read_text()
        and path.stem != "cli"
    )


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_one_idea(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST
    assert ast.get_docstring(ast.parse(text)), "a module opens with one sentence: what it owns"


@pytest.mark.parametrize("path", STARTERS, ids=name_of)
def test_a_module_that_is_started_by_name_exists(path: Path) -> None:
    for name in re.findall(r'"-m",\s*"([a-z_.]+)"', path.read_text(encoding="utf-8")):
        if name.partition(".")[0] in (*PACKAGES, "benchmarks"):
            base = ROOT / name.replace(".", "/")
            assert base.with_suffix(".py").exists() or (base / "__main__.py").exists(), name


def test_pyproject_names_the_packages_and_files_that_there_are() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"benchmarks"}
    assert set(tools["hatch"]["build"]["targets"]["wheel"]["packages"]) == packages == set(PACKAGES)
    assert set(tools["mypy"]["packages"]) == packages
    for pattern in tools["ruff"]["lint"]["per-file-ignores"]:
        assert any(ROOT.glob(pattern)), pattern


def test_nothing_shadows_the_service_package() -> None:
    assert not (ROOT / "tests/service").exists()
    assert not (ROOT / "service/service.py").exists()


def test_no_module_is_called_after_nothing() -> None:
    vague = {"utils", "helpers", "common", "manager", "misc"}
    assert not {path.stem for path in MODULES} & vague
