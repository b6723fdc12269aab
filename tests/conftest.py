"""Property tests draw the same examples each time: a test that passed here passes elsewhere."""

import pytest
from hypothesis import settings

settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The whole loop first: its clones are one worker's work, and the others do all the rest meanwhile."""
    items.sort(key=lambda item: "end_to_end" not in item.path.parts)
