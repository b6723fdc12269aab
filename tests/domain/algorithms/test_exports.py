"""`from marquee.algorithms import SVD`: which names there are, and that each brings in only itself."""

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
import surprise

import marquee.algorithms
from marquee.algorithms.base import Algorithm
from marquee.algorithms.registry import CATALOGUE

BASES = {"Algorithm", "EpochAlgorithm", "Estimates", "Ranker"}
SHARED_KERNELS = {"biases", "compiled"}  # of the base class: any algorithm can compute baselines
HOMES = {one.home.split(".")[1]: one.home.split(".")[0] for one in CATALOGUE.values()}

# Forks for each class, so that libraries are loaded once; prints the modules of ours that each import loads.
LOADED_BY_EACH = """
import json, os, sys
import numba, numpy, pandas, scipy.sparse, surprise
for name in json.loads(sys.argv[1]):
    if os.fork() == 0:
        exec(f"from marquee.algorithms import {name}")
        loaded = [module for module in sys.modules if module.startswith("marquee.algorithms.")]
        print(json.dumps([name, loaded]), flush=True)
        os._exit(0)
    os.wait()
"""


def run_python(script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """Names of the modules in marquee.algorithms that importing each class loads."""
    lines = run_python(LOADED_BY_EACH, json.dumps(list(HOMES))).splitlines()
    prefix = "marquee.algorithms."
    return {name: {m.removeprefix(prefix) for m in modules} for name, modules in map(json.loads, lines)}


def test_every_algorithm_of_the_catalogue_is_exported() -> None:
    assert set(marquee.algorithms.__all__) == set(HOMES) | BASES
    assert len(marquee.algorithms.__all__) == len(CATALOGUE) + len(BASES)


def test_every_algorithm_of_surprise_is_exported_under_its_name() -> None:
    twins = {name for name, value in vars(surprise).items() if is_algorithm(value)} - {"AlgoBase"}
    assert len(twins) == 11
    assert twins <= set(marquee.algorithms.__all__)


def is_algorithm(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, surprise.AlgoBase)


@pytest.mark.parametrize("name", marquee.algorithms.__all__)
def test_an_exported_name_is_the_class_of_that_name(name: str) -> None:
    exported = getattr(marquee.algorithms, name)
    assert exported.__name__ == name
    assert name in dir(marquee.algorithms)
    assert getattr(marquee.algorithms, name) is exported


@pytest.mark.parametrize("name", CATALOGUE)
def test_an_exported_algorithm_is_the_one_of_the_catalogue(name: str) -> None:
    factory = CATALOGUE[name].factory
    assert getattr(marquee.algorithms, factory.__name__) is factory
    assert issubclass(factory, Algorithm)


def test_type_checkers_see_every_exported_name() -> None:
    tree = ast.parse(Path(marquee.algorithms.__file__).read_text(encoding="utf-8"))
    (block,) = (
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    imports = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(imports) == set(marquee.algorithms.__all__)
    for name, module in imports.items():
        assert getattr(marquee.algorithms, name).__module__ == module


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match=r"module 'marquee\.algorithms' has no attribute 'SVDPP'"):
        marquee.algorithms.SVDPP  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'SVDPP'"):
        from marquee.algorithms import SVDPP  # type: ignore[attr-defined]  # noqa: F401


def test_the_package_itself_loads_no_library() -> None:
    script = "import sys, marquee.algorithms; print(*sys.modules)"
    modules = set(run_python(script).split())
    assert "marquee.algorithms" in modules
    assert not modules & {"numpy", "numba", "surprise", "scipy", "implicit", "marquee.algorithms.registry"}


@pytest.mark.parametrize("name", HOMES)
def test_importing_an_algorithm_loads_no_other(name: str, loaded: dict[str, set[str]]) -> None:
    ancestors = {
        kind.__module__.removeprefix("marquee.algorithms.") for kind in inspect.getmro(exported(name))
    }
    assert loaded[name] & set(HOMES.values()) == ancestors & set(HOMES.values())


def exported(name: str) -> type:
    value: type = getattr(marquee.algorithms, name)
    return value


@pytest.mark.parametrize(
    ("name", "kernels"),
    [
        ("SVD", {"factors", "prefetch"}),
        ("KNNBasic", {"neighbours", "similarities"}),
        ("NormalPredictor", set()),
        ("Popularity", set()),
    ],
)
def test_importing_an_algorithm_loads_its_own_kernels(
    name: str, kernels: set[str], loaded: dict[str, set[str]]
) -> None:
    modules = {module.split(".")[1] for module in loaded[name] if module.startswith("kernels.")}
    assert modules == kernels | SHARED_KERNELS
