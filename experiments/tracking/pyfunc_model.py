"""MLflow pyfunc model that serves a fitted model from its folder of arrays, without a pickle.

MLflow runs this file when a version is loaded through MLflow (`mlflow models serve`,
`mlflow.pyfunc.load_model`). Marquee's own service reads the folder directly.
"""

from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from marquee.interactions.columns import USER
from marquee.model.fitted_model import load_model


class PyfuncRecommender(PythonModel):
    """Maps a table with a column `user` to stored recommendations."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the fitted model among the artifacts of the version."""
        self._model = load_model(context.artifacts["model"])

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002  (MLflow's signature)
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> list[list[str]]:
        """Return item ids for the user of each row, best first; popular items for an unknown user."""
        users = model_input[USER].astype(str)
        return [list(self._model.recommend(user)) for user in users]


mlflow.models.set_model(PyfuncRecommender())
