"""A plain BentoML service: `@bentoml.api` with defaults, and numpy."""

import bentoml

from benchmarks.contenders.scoring import Scorer


@bentoml.service(workers=1)
class Plain:
    """Scores all items for each request."""

    def __init__(self) -> None:
        self.scorer = Scorer()

    @bentoml.api  # type: ignore[untyped-decorator]  # BentoML's decorator has no types
    def recommend(self, user: str) -> list[str]:
        """Recommend ten items."""
        return self.scorer.recommend(user)
