"""What every block of params.yaml is, and the blocks of what runs online: gateways, and the canary."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Level = Annotated[float, Field(gt=0.0, lt=0.5)]
Odds = Annotated[float, Field(ge=1.0, allow_inf_nan=False)]
Difference = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Block(BaseModel):
    """A block of params.yaml: frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Gateway(Block):
    """What stands in front of the replicas."""

    port: int = Field(ge=1, le=65535)
    replicas: int = Field(ge=1)
    timeout_ms: int = Field(ge=10)
    slow_ms: int = Field(ge=1)
    max_body_bytes: int = Field(ge=1024)
    requests_per_10s: int = Field(ge=1)

    @model_validator(mode="after")
    def _slow_is_not_lost(self) -> Self:
        if self.slow_ms >= self.timeout_ms:
            raise ValueError(f"slow_ms ({self.slow_ms}) must be below timeout_ms ({self.timeout_ms})")
        return self


class Tolerance(Block):
    """What of the canary is still acceptable: odds ratios of incidents, differences of lists."""

    errors: Odds
    slow: Odds
    below_personal: Odds
    empty: Odds
    popularity: Difference
    overlap: Difference


class Canary(Block):
    """How a challenger becomes champion."""

    replicas: int = Field(ge=1)
    steps: tuple[float, ...] = Field(min_length=2)
    objective: Literal["click_through", "watch_minutes", "rating"]
    window_minutes: Positive
    max_outcome: Positive | None = None
    aim: Literal["superiority", "non-inferiority"]
    margin: float = Field(ge=0.0, allow_inf_nan=False)
    alpha: Level
    guardrail_alpha: Level
    tolerance: Tolerance
    step_minutes: Positive
    step_users: int = Field(ge=1)
    quality_users: int = Field(ge=30)
    drift_users: int = Field(default=100, ge=20)
    stale_seconds: Positive
    unhealthy_seconds: Positive
    max_restarts: int = Field(ge=0)
    deadline_hours: Positive
    at_deadline: Literal["hold", "roll back"]

    @model_validator(mode="after")
    def _steps_ascend(self) -> Self:
        ascending = all(before < after for before, after in zip(self.steps, self.steps[1:], strict=False))
        if not (ascending and self.steps[0] >= 0.0001 and self.steps[-1] == 1):
            raise ValueError(f"steps ascend from 0.0001 or more to 1, not {list(self.steps)}")
        return self

    @model_validator(mode="after")
    def _margin_is_used(self) -> Self:
        if self.aim == "non-inferiority" and self.margin == 0:
            raise ValueError("non-inferiority needs a margin above 0: what may be lost")
        return self
