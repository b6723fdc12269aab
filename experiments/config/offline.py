"""Blocks of params.yaml for the pipeline, from the data to the Bento: one block per group of stages."""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from experiments.config.block import Finite, ParamsBlock, PositiveFinite, PositiveFloat, Share
from marquee.model.item_attributes import find_attribute_name_problem

SourceName = Literal[
    "demo", "ml-100k", "ml-latest-small", "ml-1m", "ml-10m", "ml-20m", "ml-25m", "ml-32m", "file"
]
Metric = Literal[
    "rmse", "mae",
    "ndcg", "recall", "precision", "map", "mrr", "hit_rate",
    "coverage", "personalization", "diversity", "novelty", "gini",
]  # fmt: skip

MetricParam = Metric | Annotated[dict[Metric, PositiveFinite], Field(min_length=1)]  # with weights
Error = Literal["rmse", "mae"]
ErrorParam = Error | Annotated[dict[Error, PositiveFinite], Field(min_length=1)]  # with weights


def _metric_weights(metric: MetricParam | ErrorParam) -> dict[str, float]:
    """Return the weight of each metric; 1 for a single metric."""
    if isinstance(metric, str):
        return {metric: 1.0}
    return {str(name): weight for name, weight in metric.items()}


class DemoParams(ParamsBlock):
    """Size and rating scale of the synthetic data set."""

    n_ratings: int = Field(gt=0)
    n_users: int | None = Field(default=None, gt=0)
    n_items: int | None = Field(default=None, gt=0)
    step: float = Field(default=1.0, multiple_of=0.5, ge=0.5, le=1.0)


def _number_to_text(value: object) -> object:
    """Return an integer, such as a column number that YAML read, as text; anything else unchanged."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Text = Annotated[str, BeforeValidator(_number_to_text)]
EventWeight = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]


class EventColumn(ParamsBlock):
    """Column of event types, and the weight of each type; 0 leaves a type out."""

    column: Text
    weights: dict[Text, EventWeight]

    @model_validator(mode="after")
    def _check_some_weight_is_positive(self) -> Self:
        if not any(weight > 0 for weight in self.weights.values()):
            raise ValueError(f"weights must contain a positive weight (got {self.weights})")
        return self


class InteractionColumnNames(ParamsBlock):
    """Names of the columns in the interactions file; all but `user` and `item` may be null or absent."""

    user: Text
    item: Text
    rating: Text | None = None
    weight: Text | None = None
    event: EventColumn | None = None
    timestamp: Text | None = None

    @model_validator(mode="after")
    def _check_users_differ_from_items(self) -> Self:
        if self.user == self.item:
            raise ValueError(f"user and item must be different columns (got {self.user!r} twice)")
        return self


class ItemColumnNames(ParamsBlock):
    """Names of the columns in the items file; all but `item` may be null or absent.

    Every other key is the name of an attribute that rules and requests may use.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Text | None]

    item: Text
    title: Text | None = None
    genres: Text | None = None

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the attributes."""
        return tuple(self.__pydantic_extra__ or ())

    @model_validator(mode="after")
    def _check_attribute_names(self) -> Self:
        known = tuple(type(self).model_fields)
        for name in self.attributes:
            if nearest := get_close_matches(name, known, n=1, cutoff=0.75):
                raise ValueError(f"unknown key {name!r}; did you mean {nearest[0]!r}?")
            if problem := find_attribute_name_problem(name):
                raise ValueError(problem)
        return self


class FileParams(ParamsBlock):
    """Format of a user's own table, used with `data.source: file`."""

    columns: InteractionColumnNames
    item_columns: ItemColumnNames
    separator: str = Field(default=",", min_length=1)
    header: bool = True
    timestamp_unit: Literal["s", "ms", "us", "ns"] = "s"
    interactions_member: str | None = None
    items_member: str | None = None
    scale: tuple[Finite, Finite] = (1.0, 5.0)

    @model_validator(mode="after")
    def _check_scale(self) -> Self:
        if not self.scale[0] < self.scale[1]:
            raise ValueError(f"scale must be [lowest, highest] (got {list(self.scale)})")
        return self


class DataParams(ParamsBlock):
    """Source of the interactions."""

    source: SourceName
    path: Path
    demo: DemoParams
    file: FileParams


class ValidateParams(ParamsBlock):
    """Validation rules for the interactions table."""

    max_invalid_share: Share


class InteractionsParams(ParamsBlock):
    """Kind of feedback, and how its values are read."""

    feedback: Literal["auto", "explicit", "implicit"]
    repeats: Literal["auto", "last", "mean", "refuse", "sum", "count", "max"]
    negative_weights: Literal["drop", "subtract"]


class SplitParams(ParamsBlock):
    """Test part, validation parts, and cross-validation settings."""

    strategy: Literal["auto", "random", "time", "user_last"]
    test_share: Annotated[float, Field(gt=0.0, le=0.2)]  # four parts of this size must leave rows to train on
    repeat: Literal["exclude", "allow"]
    folds: int = Field(ge=2)


class ParameterRange(ParamsBlock):
    """Range of a hyperparameter; values are integers if both bounds are."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low must be less than high (got low={self.low}, high={self.high})")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be greater than 0 on a log scale (got low={self.low})")
        return self


def _domain_kind(value: object) -> str:
    """Return the union member to validate against: a mapping must be a range, anything else a list."""
    return "range" if isinstance(value, dict | ParameterRange) else "list"


ParameterValue = bool | int | float | str | None
ParameterValues = Annotated[list[ParameterValue], Field(min_length=1)]
ParameterDomain = Annotated[
    Annotated[ParameterValues, Tag("list")] | Annotated[ParameterRange, Tag("range")],
    Discriminator(_domain_kind),
]
SearchSpace = dict[str, ParameterDomain]
DEFAULT_SPACE: Literal["default"] = (
    "default"  # in place of a search space: experiments/search/default_spaces.py
)


class BlendParams(ParamsBlock):
    """Blends of the best rankers of a search."""

    max_members: int = Field(default=4, ge=2, le=6)


class SearchParams(ParamsBlock):
    """Candidates of the hyperparameter search, and how their search spaces are explored."""

    sampler: Literal["grid", "random", "tpe", "defaults"]
    order: Literal["baseline-first", "listed"] = "baseline-first"
    n_trials: int = Field(ge=1)
    max_minutes: PositiveFloat | None = None
    pruner: Literal["none", "median", "hyperband", "curve"] = "none"
    workers: int = Field(ge=0)
    storage: str = "journal"
    metric: MetricParam = "ndcg"
    racing: bool = True
    max_users: int | None = Field(default=20_000, ge=1)
    experiment: str = Field(min_length=1)
    logged_trials: int = Field(default=100, ge=0)
    blend: BlendParams | None = None
    candidates: dict[str, SearchSpace | Literal["default"]] = Field(min_length=1)

    @property
    def metric_weights(self) -> dict[str, float]:
        """Weight of each metric by which trials are ordered; 1 for a single metric."""
        return _metric_weights(self.metric)

    @property
    def spaces(self) -> dict[str, SearchSpace]:
        """Search space of each candidate; empty for a default space that is not resolved yet."""
        return {name: {} if space == DEFAULT_SPACE else space for name, space in self.candidates.items()}

    @property
    def error_metric(self) -> str:
        """Error by which predictions of ratings are compared: `mae` if the search is by it, else `rmse`."""
        return "mae" if "mae" in self.metric_weights and "rmse" not in self.metric_weights else "rmse"

    @model_validator(mode="after")
    def _check_grid_has_no_ranges(self) -> Self:
        ranges = [
            f"{name}.{parameter}"
            for name, space in self.spaces.items()
            for parameter, domain in space.items()
            if isinstance(domain, ParameterRange)
        ]
        if self.sampler == "grid" and ranges:
            raise ValueError(
                f"sampler: grid requires a list of values for {ranges[0]} "
                "(got a range; use a list, or sampler: random or tpe)"
            )
        return self


class MeasureParams(ParamsBlock):
    """Settings for the evaluation of each candidate's best trial."""

    top_n: int = Field(ge=1)
    relevance_threshold: Finite | None = None
    leakage: bool


class SelectParams(ParamsBlock):
    """Rules and budgets of the selection of recommender and predictor."""

    margin: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.01
    predictor_objective: ErrorParam = "rmse"
    predictor_rule: Literal["best", "one_standard_error"] = "one_standard_error"
    cost_metric: Literal["model_bytes", "fit_seconds"]
    max_fit_seconds: PositiveFloat
    max_model_megabytes: PositiveFloat
    max_predict_microseconds: PositiveFloat | None = None
    max_peak_megabytes: PositiveFloat | None = None
    max_top_n_seconds: PositiveFloat | None = None

    @property
    def predictor_weights(self) -> dict[str, float]:
        """Weight of each error in the predictor's objective; 1 if that is a single error."""
        return _metric_weights(self.predictor_objective)


class ExportParams(ParamsBlock):
    """Content of the served model."""

    top_n: int = Field(ge=1)


def _check_model_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([-._ A-Za-z0-9]*[A-Za-z0-9])?", name):
        raise ValueError(
            f"must consist of letters, digits, spaces and '-._', "
            f"with a letter or digit at both ends (got {name!r})"
        )
    return name


def _check_bento_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([-._a-z0-9]*[a-z0-9])?", name):
        raise ValueError(
            f"must consist of lowercase letters, digits and '-._', "
            f"with a letter or digit at both ends (got {name!r})"
        )
    return name


class RegisterParams(ParamsBlock):
    """Names in the model registry."""

    model: Annotated[str, AfterValidator(_check_model_name)]
    svd_model: Annotated[str, AfterValidator(_check_model_name)]

    @model_validator(mode="after")
    def _check_names_differ(self) -> Self:
        if self.model == self.svd_model:
            raise ValueError(f"model and svd_model must be different names (got {self.model!r} twice)")
        return self


class PackageParams(ParamsBlock):
    """Name in the Bento store."""

    bento: Annotated[str, AfterValidator(_check_bento_name)]
