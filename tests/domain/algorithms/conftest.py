"""Rating sample for most tests of algorithms."""

import pytest

from tests.support.rating_samples import RatingSample, sample_ratings


@pytest.fixture(scope="module")
def small_sample() -> RatingSample:
    return sample_ratings(1, n_users=30, n_items=20, n_ratings=200)
