"""Names that `marquee.algorithms` exports, and lazy imports: a class loads only modules that it needs."""

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
from marquee.algorithms.registry import REGISTRY

pytestmark = pytest.mark.slow

PREFIX = "marquee.algorithms."
BASE_CLASSES = {"Algorithm", "EpochAlgorithm", "Estimates", "Ranker"}
SHARED_KERNELS = {"biases", "jit"}  # loaded by the base class: any algorithm can compute baselines
MODULES = {entry.class_name: entry.module_name.removeprefix(PREFIX) for entry in REGISTRY.values()}

# Prints the modules of marquee.algorithms that importing each class loads. Each import runs in a fork, so the
# libraries are loaded once.
PRINT_LOADED_MODULES = """
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
    process = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True, timeout=120
    )
    return process.stdout


def is_algorithm(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, surprise.AlgoBase)


@pytest.fixture(scope="module")
def loaded_modules() -> dict[str, set[str]]:
    """Modules of marquee.algorithms that importing each class loads."""
    lines = run_python(PRINT_LOADED_MODULES, json.dumps(list(MODULES))).splitlines()
    return {
        name: {module.removeprefix(PREFIX) for module in modules} for name, modules in map(json.loads, lines)
    }


def test_every_registered_algorithm_is_exported() -> None:
    assert set(marquee.algorithms.__all__) == set(MODULES) | BASE_CLASSES
    assert len(marquee.algorithms.__all__) == len(REGISTRY) + len(BASE_CLASSES)


def test_every_surprise_algorithm_is_exported_under_its_name() -> None:
    twins = {name for name, value in vars(surprise).items() if is_algorithm(value)} - {"AlgoBase"}
    assert len(twins) == 11
    assert twins <= set(marquee.algorithms.__all__)


@pytest.mark.parametrize("name", marquee.algorithms.__all__)
def test_exported_name_is_that_of_the_class(name: str) -> None:
    exported = getattr(marquee.algorithms, name)
    assert exported.__name__ == name
    assert name in dir(marquee.algorithms)
    assert getattr(marquee.algorithms, name) is exported


@pytest.mark.parametrize("name", REGISTRY)
def test_exported_algorithm_is_the_registered_class(name: str) -> None:
    algorithm_class = REGISTRY[name].algorithm_class
    assert getattr(marquee.algorithms, algorithm_class.__name__) is algorithm_class
    assert issubclass(algorithm_class, Algorithm)


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


def test_unknown_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'marquee\.algorithms' has no attribute 'SVDPP'"):
        marquee.algorithms.SVDPP  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'SVDPP'"):
        from marquee.algorithms import SVDPP  # type: ignore[attr-defined]  # noqa: F401


def test_import_of_package_loads_no_library() -> None:
    script = "import sys, marquee.algorithms; print(*sys.modules)"
    modules = set(run_python(script).split())
    assert "marquee.algorithms" in modules
    assert not modules & {"numpy", "numba", "surprise", "scipy", "implicit", "marquee.algorithms.registry"}


@pytest.mark.parametrize("name", MODULES)
def test_import_of_algorithm_loads_no_other_algorithm(name: str, loaded_modules: dict[str, set[str]]) -> None:
    classes = inspect.getmro(getattr(marquee.algorithms, name))
    ancestors = {cls.__module__.removeprefix(PREFIX) for cls in classes}
    assert loaded_modules[name] & set(MODULES.values()) == ancestors & set(MODULES.values())


@pytest.mark.parametrize(
    ("name", "kernels"),
    [
        ("SVD", {"sgd", "prefetch", "simd_vectors", "linear_algebra", "normal_draws", "fold_in"}),
        ("KNNBasic", {"neighbors", "similarities", "simd_vectors"}),
        ("NormalPredictor", {"normal_draws"}),
        ("Popularity", set()),
    ],
)
def test_import_of_algorithm_loads_its_own_kernels(
    name: str, kernels: set[str], loaded_modules: dict[str, set[str]]
) -> None:
    modules = {module.split(".")[1] for module in loaded_modules[name] if module.startswith("kernels.")}
    assert modules == kernels | SHARED_KERNELS
