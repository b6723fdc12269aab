"""Blocks of params.yaml for the serving stack: the replicas, the gateways and the canary rollout."""

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from experiments.config.block import ParamsBlock, PositiveFinite

SMALLEST_ALLOCATION = 0.0001

SignificanceLevel = Annotated[float, Field(gt=0.0, lt=0.5)]
OddsRatio = Annotated[float, Field(ge=1.0, allow_inf_nan=False)]
ShareDifference = Annotated[float, Field(ge=0.0, le=1.0)]


class ServingParams(ParamsBlock):
    """Settings of all replicas."""

    repeat_after: PositiveFinite | None

    def to_environment(self) -> dict[str, str]:
        """Return the environment variables of a replica (see `service.settings`)."""
        return {} if self.repeat_after is None else {"MARQUEE_REPEAT_AFTER": str(self.repeat_after)}


class GatewayParams(ParamsBlock):
    """The gateways, and the champion's replicas behind them."""

    port: int = Field(ge=1, le=65535)
    replicas: int = Field(ge=1)
    timeout_ms: int = Field(ge=10)
    slow_ms: int = Field(ge=1)
    max_body_bytes: int = Field(ge=1024)
    requests_per_10s: int = Field(ge=1)

    @model_validator(mode="after")
    def _check_slow_is_below_timeout(self) -> Self:
        if self.slow_ms >= self.timeout_ms:
            limits = f"slow_ms={self.slow_ms}, timeout_ms={self.timeout_ms}"
            raise ValueError(f"slow_ms must be less than timeout_ms (got {limits})")
        return self


class MaxOddsRatioParams(ParamsBlock):
    """Highest allowed odds ratio of each guardrail metric, canary to stable."""

    errors: OddsRatio
    slow: OddsRatio
    below_personal: OddsRatio
    empty: OddsRatio


class MaxIncreaseParams(ParamsBlock):
    """Highest allowed increase of each list metric, canary over stable."""

    popularity: ShareDifference
    overlap: ShareDifference


class CanaryParams(ParamsBlock):
    """Rollout of a challenger: steps, hypothesis, guardrails, time limits and minimum numbers of users."""

    replicas: int = Field(ge=1)
    steps: tuple[float, ...] = Field(min_length=2)
    objective: Literal["click_through", "watch_minutes", "rating"]
    attribution_window_minutes: PositiveFinite
    outcome_cap: PositiveFinite | None = None
    hypothesis: Literal["superiority", "non-inferiority"]
    non_inferiority_margin: float = Field(ge=0.0, allow_inf_nan=False)
    alpha: SignificanceLevel
    guardrail_alpha: SignificanceLevel
    max_odds_ratio: MaxOddsRatioParams
    max_increase: MaxIncreaseParams
    min_step_minutes: PositiveFinite
    min_step_users: int = Field(ge=1)
    min_quality_users: int = Field(ge=30)
    min_list_users: int = Field(default=100, ge=20)
    stale_seconds: PositiveFinite
    unhealthy_seconds: PositiveFinite
    max_restarts: int = Field(ge=0)
    deadline_hours: PositiveFinite
    at_deadline: Literal["hold", "roll back"]

    @model_validator(mode="after")
    def _check_steps_increase(self) -> Self:
        increasing = all(earlier < later for earlier, later in pairwise(self.steps))
        if not (increasing and self.steps[0] >= SMALLEST_ALLOCATION and self.steps[-1] == 1):
            raise ValueError(
                f"steps must increase from at least {SMALLEST_ALLOCATION} up to 1 (got {list(self.steps)})"
            )
        return self

    @model_validator(mode="after")
    def _check_margin_of_non_inferiority(self) -> Self:
        if self.hypothesis == "non-inferiority" and self.non_inferiority_margin == 0:
            raise ValueError(
                "hypothesis: non-inferiority requires a non_inferiority_margin greater than 0 "
                "(the acceptable loss, in units of the objective)"
            )
        return self
