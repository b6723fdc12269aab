"""Base class of the blocks of params.yaml, and the field types that several blocks share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
PositiveFloat = Annotated[float, Field(gt=0.0)]
PositiveFinite = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class ParamsBlock(BaseModel):
    """Block of params.yaml: immutable; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
