"""The registered model as MLflow loads it: code that reads the arrays, where a pickle would be usual.

MLflow runs this file in its own process when somebody loads a version (`mlflow models serve`,
`mlflow.pyfunc.load_model`). Marquee's service does not: it reads the folder of arrays itself.
"""

from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from marquee.interactions.matrix import USER
from marquee.model.fitted_model import load_model


class Recommender(PythonModel):
    """Users in, their stored recommendations out."""

    def load_context(self, context: PythonModelContext) -> None:  # the name is MLflow's contract
        """Open the arrays of the version."""
        self._model = load_model(context.artifacts["model"])

    def predict(  # the names are MLflow's contract here too
        self,
        context: PythonModelContext,  # noqa: ARG002
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> list[list[str]]:
        """Item ids for each row's `user`, best first; the popular ones for an unknown user."""
        users = model_input[USER].astype(str)
        return [list(self._model.recommend(user)) for user in users]


mlflow.models.set_model(Recommender())
