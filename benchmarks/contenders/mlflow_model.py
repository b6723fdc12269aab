"""The same model logged with MLflow: `python -m benchmarks.contenders.mlflow_model FOLDER` writes it."""

import os
import sys

import mlflow
from mlflow.pyfunc import PythonModel

from benchmarks.contenders.scoring import Scorer


class Scoring(PythonModel):  # type: ignore[misc]  # MLflow has no types
    """Scores all items for each user asked for."""

    def load_context(self, context: object) -> None:  # noqa: ARG002
        """Open the model's folder."""
        self.scorer = Scorer(os.environ["MARQUEE_MODEL"])

    def predict(self, context: object, model_input: list[str]) -> list[str]:  # noqa: ARG002
        """Ten items a user, with commas."""
        return [",".join(self.scorer.recommend(user)) for user in model_input]


if __name__ == "__main__":
    mlflow.pyfunc.save_model(sys.argv[1], python_model=Scoring())
