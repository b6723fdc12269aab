"""MLflow pyfunc model that predicts ratings with a fitted model from its folder of arrays, without a pickle.

MLflow runs this file when a version is loaded through MLflow.
"""

from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from marquee.interactions.columns import ITEM, RATING, USER
from marquee.model.fitted_model import load_model


class PyfuncPredictor(PythonModel):
    """Maps a table with the columns `user` and `item` to predicted ratings."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the fitted model among the artifacts of the version."""
        self._model = load_model(context.artifacts["model"])

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002  (MLflow's signature)
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """Return a table with the predicted `rating` of each row in stars; the global mean if impossible."""
        pairs = zip(model_input[USER].astype(str), model_input[ITEM].astype(str), strict=True)
        return pd.DataFrame({RATING: [self._model.predict_rating(user, item).rating for user, item in pairs]})


mlflow.models.set_model(PyfuncPredictor())
