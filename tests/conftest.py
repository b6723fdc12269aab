"""Property tests draw the same examples each time: a test that passed here passes elsewhere."""

from hypothesis import settings

settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")
