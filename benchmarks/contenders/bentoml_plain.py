"""A plain BentoML service: `@bentoml.api`, its defaults, numpy."""

import bentoml

from benchmarks.contenders.scoring import Scorer


@bentoml.service(workers=1)
class Plain:
    """Scores all items for each request."""

    def __init__(self) -> None:
        self.scorer = Scorer()

    @bentoml.api
    def recommend(self, user: str) -> list[str]:
        """Ten items."""
        return self.scorer.recommend(user)
