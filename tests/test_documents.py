"""Commands, parameters, links and imports in README, docs, MLproject and dvc.yaml exist."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from marquee.algorithms.registry import BLEND, REGISTRY
from pipelines.cli import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
MLPROJECT = yaml.safe_load((ROOT / "MLproject").read_text(encoding="utf-8"))

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
IMPORTS = re.findall(
    r"^from marquee[\w.]* import [\w, ]+", "\n".join(page.read_text("utf-8") for page in PAGES), re.MULTILINE
)
LOCAL_PATHS = [f"{re.escape(str(path))}/" for path in (ROOT, Path.home()) if len(path.parts) > 1]


def is_params_key(dotted: str) -> bool:
    tree = PARAMS
    for part in dotted.split("."):
        if not isinstance(tree, dict) or part not in tree:
            return False
        tree = tree[part]
    return True


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE))))
def test_make_target_in_readme_exists(target: str) -> None:
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("command", sorted(set(re.findall(r"^marquee ([a-z]+)", README, re.MULTILINE))))
def test_marquee_command_in_readme_exists(command: str) -> None:
    assert command in cli.commands


@pytest.mark.parametrize("key", sorted(set(re.findall(r"-S ([a-z_.]+)=", README))))
def test_parameter_in_readme_exists(key: str) -> None:
    assert is_params_key(key)


def test_readme_lists_all_stages_in_order() -> None:
    rows = re.findall(r"^\| ([a-z]+) \|", README, re.MULTILINE)
    assert tuple(row for row in rows if row in DVC["stages"]) == tuple(DVC["stages"])


def test_readme_has_fewer_than_200_lines_and_no_placeholders() -> None:
    assert len(README.splitlines()) < 200
    assert not re.findall(r"@[A-Z]+@|TODO|TBD", README)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_link_in_readme_points_to_an_existing_file(link: str) -> None:
    assert (ROOT / link).exists()


@pytest.mark.parametrize("line", sorted(set(IMPORTS)))
def test_import_in_documents_succeeds(line: str) -> None:
    exec(line.strip(), {})


@pytest.mark.parametrize("name", DVC["stages"])
def test_stage_names_its_module_and_existing_params_and_deps(name: str) -> None:
    stage = DVC["stages"][name]
    assert all(is_params_key(key) for key in stage["params"])
    assert f"pipelines/stages/{name}.py" in stage["deps"]
    assert stage["cmd"] == f"python -m pipelines.stages.{name}"
    for dep in stage["deps"]:
        assert dep.startswith(("data/", "models/", "results/", "${")) or (ROOT / dep).exists()


def test_mlproject_entry_points_run_existing_commands() -> None:
    assert {"repro", "search", "evaluate", "serve"} <= set(MLPROJECT["entry_points"])
    for entry in MLPROJECT["entry_points"].values():
        program, command, *arguments = entry["command"].split()
        assert command in (cli.commands if program == "marquee" else {"repro"})
        assert program != "dvc" or all(argument in DVC["stages"] for argument in arguments)


@pytest.mark.parametrize("pattern", [r"index" r"-url", r"https?://[^ ]*/simple\b", *LOCAL_PATHS])
def test_no_file_names_a_package_index_or_a_local_path(pattern: str) -> None:
    result = subprocess.run(
        ["git", "grep", "-nIE", pattern, "--", ".", ":!*.lock"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout == ""


@pytest.mark.parametrize("name", [name for name in REGISTRY if name != BLEND])
def test_every_algorithm_is_documented(name: str) -> None:
    """The blend has no search space in params.yaml; its row names `search.blend`."""
    assert f"`{name}`" in (ROOT / "docs/algorithms.md").read_text(encoding="utf-8")
