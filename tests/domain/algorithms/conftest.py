"""Rating sample that most tests of algorithms share."""

import pytest

from tests.support.rating_samples import RatingSample, sample_ratings


@pytest.fixture(scope="module")
def small_sample() -> RatingSample:
    """Two hundred ratings of up to 20 items by up to 30 users, and the single rating of "only one"."""
    return sample_ratings(1, n_users=30, n_items=20, n_ratings=200)
