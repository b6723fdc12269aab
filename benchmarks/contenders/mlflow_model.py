"""MLflow model for `mlflow models serve`.

    python -m benchmarks.contenders.mlflow_model FOLDER

The command writes the model to a folder.
"""

import sys
from typing import Any

import mlflow
from mlflow.pyfunc.model import PythonModel

from benchmarks.contenders.numpy_recommender import NumpyRecommender


class ScoringModel(PythonModel):
    """MLflow model that scores all items for each requested user."""

    def load_context(self, context: object) -> None:  # noqa: ARG002
        """Load the fitted model of MARQUEE_MODEL."""
        self.recommender = NumpyRecommender()

    def predict(
        self,
        context: object,  # noqa: ARG002
        model_input: list[str],
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> list[str]:
        """Recommend ten items to each user; return them separated by commas."""
        return [",".join(self.recommender.recommend(user)) for user in model_input]


if __name__ == "__main__":
    mlflow.pyfunc.save_model(sys.argv[1], python_model=ScoringModel())
