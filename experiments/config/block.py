"""Base class of the blocks of params.yaml, and the field types that several blocks share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
PositiveFloat = Annotated[float, Field(gt=0.0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
PositiveFinite = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class ParamsBlock(BaseModel):
    """Immutable block of params.yaml that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
