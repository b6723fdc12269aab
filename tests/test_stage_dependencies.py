"""A stage reruns when code that makes its outputs changes: the deps of dvc.yaml against what is imported.

A failure lists the modules that the deps of a stage do not cover: add them, or say in `LEFT_OUT` why not.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.config.offline import Params
from experiments.config.online import Block
from experiments.source_code import import_closure
from pipelines.support import paths
from pipelines.support.bento import REQUIREMENTS, code_files

ROOT = Path(__file__).parents[1]
STAGES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
CODE = ("marquee", "experiments", "pipelines", "service", "requirements")

# What stages import and what cannot change an output, with the reason. It is not followed further either.
LEFT_OUT = {
    "pipelines/__init__.py": "turns telemetry of libraries off, notes the time",
    "pipelines/support/paths.py": "names of files; where an output is renamed, dvc.yaml is too",
    "pipelines/support/console.py": "console",
    "pipelines/support/tracked_searches.py": "tracking",
    "pipelines/support/stage_runner.py": "command line: errors, signals, times; JSON as it is",
    "experiments/config/offline.py": "types of params.yaml: values are params of the stages",
    "experiments/tracking/data_version.py": "a record of three strings",
    "experiments/tracking/runs.py": "tracking",
    "experiments/tracking/store.py": "tracking",
    "marquee/arrays.py": "names of types",
    "marquee/files/atomic_write.py": "how files are written, never what",
    "marquee/files/digest.py": "SHA-256 and MD5 of a file",
    "marquee/files/lock.py": "one process at a time",
    "marquee/files/journal.py": "how lines are appended, never which",
    "pipelines/support/programs.py": "how other programs are run",
    "marquee/errors.py": "names of errors",
}
LEFT_OUT_OF_STAGE = {
    "search": {
        "pipelines/support/stage_results.py": "notes costs, which are in no output",
        "experiments/source_code.py": "finds out whether an interrupted search may be continued",
    },
    "evaluate": {"experiments/tracking/registry.py": "tracking: the champion's score is in no output"},
    "package": {"experiments/tracking/registry.py": "tracking: the version's number is in no output"},
    "record": {"experiments/tracking/registry.py": "tracking"},
}


def left_out_of(stage: str) -> set[Path]:
    return {Path(name) for name in (*LEFT_OUT, *LEFT_OUT_OF_STAGE.get(stage, ()))}


def own_module(stage: str) -> Path:
    """The module that the stage's command runs."""
    return Path(STAGES[stage]["cmd"].split()[-1].replace(".", "/")).with_suffix(".py")


def code_deps(stage: str) -> list[Path]:
    deps = (Path(dep) for dep in STAGES[stage]["deps"] if not dep.startswith("$"))
    return [dep for dep in deps if dep.parts[0] in CODE]


def code_behind(stage: str) -> set[Path]:
    """Files that a stage's outputs depend on: modules, files that they name, and what goes into a Bento."""
    modules = import_closure(ROOT, [own_module(stage)], left_out_of(stage))
    files = modules | {file for module in modules for file in reached_by_name(module)}
    return files | {*code_files(), REQUIREMENTS} if stage == "package" else files


def reached_by_name(module: Path) -> Iterator[Path]:
    """Files that a module reaches without an import statement: those beside it that it names."""
    nodes = list(ast.walk(ast.parse((ROOT / module).read_text(encoding="utf-8"))))
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            named = module.parent / node.value
            if len(node.value) < 100 and (ROOT / named).is_file():
                yield named
    if any(isinstance(node, ast.Name) and node.id == "import_module" for node in nodes):
        yield from (path.relative_to(ROOT) for path in (ROOT / module.parent).rglob("*.py"))


def is_only_a_docstring(file: Path) -> bool:
    return file.name == "__init__.py" and all(
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body
    )


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("stage", STAGES)
def test_deps_of_a_stage_cover_all_code_behind_its_outputs(stage: str) -> None:
    deps = code_deps(stage)
    missing = {file for file in code_behind(stage) if not any(file.is_relative_to(dep) for dep in deps)}
    assert sorted(str(file) for file in missing if not is_only_a_docstring(file)) == []


@pytest.mark.parametrize("stage", STAGES)
def test_deps_of_a_stage_name_no_code_that_it_does_not_use(stage: str) -> None:
    behind = code_behind(stage)
    unused = [dep for dep in code_deps(stage) if not any(file.is_relative_to(dep) for file in behind)]
    assert [str(dep) for dep in unused] == []


def test_nothing_is_left_out_that_no_stage_imports_or_that_one_depends_on() -> None:
    imported = {stage: import_closure(ROOT, [own_module(stage)]) for stage in STAGES}
    for name in LEFT_OUT:
        assert any(Path(name) in closure for closure in imported.values()), name
    for stage, names in LEFT_OUT_OF_STAGE.items():
        assert {Path(name) for name in names} <= imported[stage]
        assert not {Path(name) for name in names} & set(code_deps(stage))


def test_modules_reached_by_name_are_found() -> None:
    assert Path("experiments/report/page.html") in code_behind("record")
    assert Path("experiments/tracking/pyfunc_model.py") in code_behind("register")
    assert Path("marquee/algorithms/slope_one.py") in code_behind("fit")


def test_every_output_has_its_name_in_pipelines_paths() -> None:
    named = {value for value in vars(paths).values() if isinstance(value, Path)}
    for stage in STAGES.values():
        for out in (*stage.get("outs", ()), *stage.get("metrics", ())):
            output = Path(next(iter(out)) if isinstance(out, dict) else out)
            assert any(path.is_relative_to(output) for path in named), output


def test_no_default_of_params_yaml_is_in_force() -> None:
    """No stage depends on the defaults in experiments/config: params.yaml has every key."""
    tree = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert list(absent_keys(Params.model_validate(tree), tree)) == []


def absent_keys(block: Block, tree: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, field in type(block).model_fields.items():
        key, value = field.alias or name, getattr(block, name)
        if key not in tree:
            yield f"{path}{key}"
        elif isinstance(value, Block):
            yield from absent_keys(value, tree[key], f"{path}{key}.")
