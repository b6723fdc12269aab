"""Plain BentoML service: `@bentoml.api` with its defaults, and scores computed with NumPy."""

import bentoml

from benchmarks.contenders.numpy_recommender import NumpyRecommender


@bentoml.service(workers=1)
class Plain:
    """Service that scores all items for each request."""

    def __init__(self) -> None:
        self.recommender = NumpyRecommender()

    @bentoml.api  # type: ignore[untyped-decorator]  # BentoML's decorator has no types
    def recommend(self, user: str) -> list[str]:
        """Recommend ten items to a user."""
        return self.recommender.recommend(user)
