"""The deps of each stage in dvc.yaml match its imports, so that a stage reruns when relevant code changes.

A failed test lists the modules that the deps of a stage do not cover. Add them to dvc.yaml, or to
`IRRELEVANT_CODE` with a reason.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.config import Params
from experiments.config.block import ParamsBlock
from experiments.import_closure import import_closure
from pipelines.support import paths
from pipelines.support.bento import REQUIREMENTS, list_code_files

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
STAGES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
CODE = ("marquee", "experiments", "pipelines", "service", "requirements")

# Modules that stages import but that cannot change an output, and why. Their imports are not followed.
IRRELEVANT_CODE = {
    "pipelines/__init__.py": "turns off telemetry of libraries, saves the start time",
    "pipelines/support/paths.py": "file names; renaming an output changes dvc.yaml as well",
    "pipelines/support/console.py": "terminal output",
    "pipelines/support/json_reader.py": "reads JSON unchanged",
    "pipelines/support/programs.py": "runs other programs",
    "pipelines/support/last_search_run.py": "tracking",
    "pipelines/support/stage_runner.py": "errors, signals and wall time",
    "experiments/config/__init__.py": "types of params.yaml; values are params of the stages",
    "experiments/config/params.py": "types of params.yaml; values are params of the stages",
    "experiments/config/offline.py": "types of params.yaml; values are params of the stages",
    "experiments/tracking/data_version.py": "a record of three strings",
    "experiments/tracking/runs.py": "tracking",
    "experiments/tracking/store_access.py": "tracking",
    "marquee/array_types.py": "names of types",
    "marquee/errors.py": "exception classes",
    "marquee/files/atomic_write.py": "how files are written, not their content",
    "marquee/files/digest.py": "SHA-256 and MD5 of a file",
    "marquee/files/append_only_file.py": "how lines are appended, not their content",
    "marquee/files/lock.py": "mutual exclusion of processes",
}
IRRELEVANT_CODE_OF_STAGE = {
    "search": {
        "pipelines/support/stage_results.py": "saves costs, which are not in an output",
        "experiments/import_closure.py": "decides whether an interrupted search may be continued",
    },
    "evaluate": {"experiments/tracking/model_registry.py": "the champion's score is not in an output"},
    "package": {"experiments/tracking/model_registry.py": "the version number is not in an output"},
    "record": {"experiments/tracking/model_registry.py": "tracking"},
}


def irrelevant_code(stage: str) -> set[Path]:
    return {Path(name) for name in (*IRRELEVANT_CODE, *IRRELEVANT_CODE_OF_STAGE.get(stage, ()))}


def stage_module(stage: str) -> Path:
    """Return the module that the stage's command runs."""
    return Path(STAGES[stage]["cmd"].split()[-1].replace(".", "/")).with_suffix(".py")


def code_deps(stage: str) -> list[Path]:
    deps = (Path(dep) for dep in STAGES[stage]["deps"] if not dep.startswith("$"))
    return [dep for dep in deps if dep.parts[0] in CODE]


@cache
def relevant_code(stage: str) -> set[Path]:
    """Return files that can change a stage's outputs: modules, files that they name, code in the Bento."""
    modules = import_closure(ROOT, [stage_module(stage)], irrelevant_code(stage))
    files = modules | {file for module in modules for file in files_used_by_name(module)}
    return files | {*list_code_files(), REQUIREMENTS} if stage == "package" else files


def files_used_by_name(module: Path) -> Iterator[Path]:
    """Yield files that a module uses without an import statement.

    These are files in its folder that its strings name, and all modules there if it uses `import_module`.
    """
    nodes = list(ast.walk(ast.parse((ROOT / module).read_text(encoding="utf-8"))))
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            file = module.parent / node.value
            if len(node.value) < 100 and (ROOT / file).is_file():
                yield file
    if any(isinstance(node, ast.Name) and node.id == "import_module" for node in nodes):
        yield from (path.relative_to(ROOT) for path in (ROOT / module.parent).rglob("*.py"))


def is_empty_package_module(file: Path) -> bool:
    return file.name == "__init__.py" and all(
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body
    )


@pytest.fixture(autouse=True)
def _project_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("stage", STAGES)
def test_deps_of_stage_cover_code_that_can_change_its_outputs(stage: str) -> None:
    deps = code_deps(stage)
    missing = {file for file in relevant_code(stage) if not any(file.is_relative_to(dep) for dep in deps)}
    assert sorted(str(file) for file in missing if not is_empty_package_module(file)) == []


@pytest.mark.parametrize("stage", STAGES)
def test_deps_of_stage_contain_no_unused_code(stage: str) -> None:
    files = relevant_code(stage)
    unused = [dep for dep in code_deps(stage) if not any(file.is_relative_to(dep) for file in files)]
    assert [str(dep) for dep in unused] == []


def test_irrelevant_code_is_imported_by_a_stage_and_is_not_a_dep() -> None:
    imports = {stage: import_closure(ROOT, [stage_module(stage)]) for stage in STAGES}
    for name in IRRELEVANT_CODE:
        assert any(Path(name) in closure for closure in imports.values()), name
    for stage, names in IRRELEVANT_CODE_OF_STAGE.items():
        assert {Path(name) for name in names} <= imports[stage]
        assert not {Path(name) for name in names} & set(code_deps(stage))


def test_files_used_by_name_are_relevant() -> None:
    assert Path("experiments/report/page.html") in relevant_code("record")
    assert Path("experiments/tracking/pyfunc_model.py") in relevant_code("register")
    assert Path("marquee/algorithms/slope_one.py") in relevant_code("fit")


def test_every_output_is_named_in_pipelines_support_paths() -> None:
    named = {value for value in vars(paths).values() if isinstance(value, Path)}
    for stage in STAGES.values():
        for out in (*stage.get("outs", ()), *stage.get("metrics", ())):
            output = Path(next(iter(out)) if isinstance(out, dict) else out)
            assert any(path.is_relative_to(output) for path in named), output


def test_params_yaml_sets_every_key() -> None:
    """A default in experiments/config would be an input of a stage that DVC does not track."""
    tree = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert list(missing_keys(Params.model_validate(tree), tree)) == []


def missing_keys(block: ParamsBlock, tree: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, field in type(block).model_fields.items():
        key, value = field.alias or name, getattr(block, name)
        if key not in tree:
            yield f"{path}{key}"
        elif isinstance(value, ParamsBlock):
            yield from missing_keys(value, tree[key], f"{path}{key}.")
