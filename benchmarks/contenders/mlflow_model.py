"""The model as an MLflow model: `python -m benchmarks.contenders.mlflow_model FOLDER` writes it."""

import os
import sys
from typing import Any

import mlflow
from mlflow.pyfunc.model import PythonModel

from benchmarks.contenders.scoring import Scorer


class ScoringModel(PythonModel):
    """Scores all items for each requested user."""

    def load_context(self, context: object) -> None:  # noqa: ARG002
        """Open the model folder."""
        self.scorer = Scorer(os.environ["MARQUEE_MODEL"])

    def predict(
        self,
        context: object,  # noqa: ARG002
        model_input: list[str],
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> list[str]:
        """Recommend ten items to each user, separated by commas."""
        return [",".join(self.scorer.recommend(user)) for user in model_input]


if __name__ == "__main__":
    mlflow.pyfunc.save_model(sys.argv[1], python_model=ScoringModel())
