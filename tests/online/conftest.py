"""Image of a replica, built once for all tests of containers."""

from collections.abc import Iterator

import pytest

from tests.support.containers import IMAGE, docker
from tests.support.packaging_project import PackagingProject


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Image with a small model, built by `marquee image`."""
    project = PackagingProject(tmp_path_factory.mktemp("project") / "clone")
    assert project.package().returncode == 0
    build = project.marquee("image", "--tag", IMAGE)
    assert build.returncode == 0, build.stderr
    assert "docker run" in build.stdout
    yield IMAGE
    docker("image", "rm", "--force", IMAGE, f"{IMAGE}-bento")
