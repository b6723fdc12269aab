"""What README, params.yaml, MLproject and dvc.yaml say is what there is."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from pipelines.cli import cli
from pipelines.support.summary import STAGES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
MLPROJECT = yaml.safe_load((ROOT / "MLproject").read_text(encoding="utf-8"))


def key_exists(dotted: str) -> bool:
    tree = PARAMS
    for part in dotted.split("."):
        if not isinstance(tree, dict) or part not in tree:
            return False
        tree = tree[part]
    return True


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE))))
def test_every_make_command_of_the_readme_exists(target: str) -> None:
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("command", sorted(set(re.findall(r"^marquee ([a-z]+)", README, re.MULTILINE))))
def test_every_marquee_command_of_the_readme_exists(command: str) -> None:
    assert command in cli.commands


@pytest.mark.parametrize("key", sorted(set(re.findall(r"-S ([a-z_.]+)=", README))))
def test_every_parameter_that_the_readme_sets_exists(key: str) -> None:
    assert key_exists(key)


def test_the_readme_tells_every_stage_in_order() -> None:
    rows = re.findall(r"^\| ([a-z]+) \|", README, re.MULTILINE)
    assert tuple(row for row in rows if row in DVC["stages"]) == tuple(DVC["stages"]) == STAGES


def test_the_readme_is_short_and_finished() -> None:
    assert len(README.splitlines()) < 200
    assert not re.findall(r"@[A-Z]+@|TODO|TBD", README)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_every_link_of_the_readme_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
IMPORTS = re.findall(
    r"^from marquee[\w.]* import [\w, ]+", "\n".join(page.read_text("utf-8") for page in PAGES), re.MULTILINE
)


@pytest.mark.parametrize("line", sorted(set(IMPORTS)))
def test_every_import_in_the_documents_works(line: str) -> None:
    exec(line.strip(), {})


@pytest.mark.parametrize("stage", DVC["stages"])
def test_every_stage_depends_on_parameters_that_exist_and_on_its_own_code(stage: str) -> None:
    described = DVC["stages"][stage]
    assert all(key_exists(key) for key in described["params"])
    assert f"pipelines/{stage}.py" in described["deps"]
    assert described["cmd"] == f"python -m pipelines.{stage}"
    for dep in described["deps"]:
        assert dep.startswith(("data/", "models/", "results/", "${")) or (ROOT / dep).exists()


def test_the_entry_points_of_the_project_are_commands_that_exist() -> None:
    assert {"repro", "search", "evaluate", "serve"} <= set(MLPROJECT["entry_points"])
    for entry in MLPROJECT["entry_points"].values():
        program, command, *rest = entry["command"].split()
        known = cli.commands if program == "marquee" else {"repro"}
        assert command in known
        assert all(word in DVC["stages"] for word in rest if program == "dvc")


HERE = [f"{re.escape(str(path))}/" for path in (ROOT, Path.home()) if len(path.parts) > 1]


@pytest.mark.parametrize("pattern", [r"index" r"-url", r"https?://[^ ]*/simple\b", *HERE])
def test_no_file_names_a_registry_or_a_path_of_one_machine(pattern: str) -> None:
    found = subprocess.run(
        ["git", "grep", "-nIE", pattern, "--", ".", ":!*.lock"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.stdout == ""
