"""The clones that the tests of the whole loop share: a run takes half a minute."""

import pytest
from clones import Clone, make_clone


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which `marquee repro` has run once. Tests leave it as they found it."""
    folder = tmp_path_factory.mktemp("clones")
    clone = make_clone(folder / "first", folder / "home")
    clone.output = clone.marquee("repro").stdout
    clone.run("git", "add", "-A")
    clone.run("git", "commit", "-qm", "reproduced")
    return clone


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """Another clone of the same commit, reproduced by DVC alone. Its tests run in order and may change it."""
    folder = tmp_path_factory.mktemp("clones")
    clone = make_clone(folder / "second", folder / "home")
    clone.output = clone.dvc("repro").stdout
    return clone
