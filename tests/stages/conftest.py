"""One packaged project for all tests that need a Bento: to build one takes seconds."""

from pathlib import Path

import pytest

from tests.support.projects import Project


@pytest.fixture(scope="session")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("project") / "clone")
    done = project.package()
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1, "a line of ours, no banner of BentoML's"
    return project


@pytest.fixture(scope="session")
def bento(packaged: Project) -> Path:
    """The Bento's folder."""
    name, version = packaged.read(".marquee/packaged.json")["tag"].split(":")
    return packaged.folder / "bentoml" / "bentos" / name / version
