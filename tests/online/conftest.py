"""What the tests of containers share: one image, built once."""

from collections.abc import Iterator

import pytest

from tests.support.containers import IMAGE, docker
from tests.support.packaging_project import PackagingProject


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image of a small model, as `marquee image` builds it."""
    project = PackagingProject(tmp_path_factory.mktemp("project") / "clone")
    assert project.package().returncode == 0
    done = project.marquee("image", "--tag", IMAGE)
    assert done.returncode == 0, done.stderr
    assert "docker run" in done.stdout
    yield IMAGE
    docker("image", "rm", "--force", IMAGE, f"{IMAGE}-bento")
