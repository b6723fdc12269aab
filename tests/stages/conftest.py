"""Packaged project, shared by all tests that need a Bento because building one takes seconds."""

from pathlib import Path

import pytest

from tests.support.packaging_project import PackagingProject


@pytest.fixture(scope="session")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> PackagingProject:
    """Project in which the package stage has run once."""
    project = PackagingProject(tmp_path_factory.mktemp("project") / "clone")
    result = project.package()
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 1, "BentoML must print nothing"
    return project


@pytest.fixture(scope="session")
def bento(packaged: PackagingProject) -> Path:
    """Folder of the Bento."""
    tag: str = packaged.read_json(".marquee/packaged.json")["tag"]
    name, version = tag.split(":")
    return packaged.folder / "bentoml" / "bentos" / name / version
