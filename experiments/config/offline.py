"""params.yaml as typed, frozen blocks: the only reader of that file.

An unknown key is refused, and the message names the nearest known one.
"""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import Discriminator, Field, Tag, ValidationError, model_validator

from experiments.config.online import Block, Canary, Gateway
from marquee.errors import ConfigError, one_line

PARAMS = Path("params.yaml")

Source = Literal[
    "demo", "ml-100k", "ml-latest-small", "ml-1m", "ml-10m", "ml-20m", "ml-25m", "ml-32m", "file"
]
Choice = bool | int | float | str | None
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Metric = Literal[
    "rmse", "mae",
    "ndcg", "recall", "precision", "map", "mrr", "hit_rate",
    "coverage", "personalisation", "diversity", "novelty", "gini",
]  # fmt: skip


class Demo(Block):
    """Size and kind of the embedded data set."""

    n_ratings: int = Field(gt=0)
    n_users: int | None = Field(default=None, gt=0)
    n_items: int | None = Field(default=None, gt=0)
    step: float = Field(default=1.0, multiple_of=0.5, ge=0.5, le=1.0)


class RatingColumnNames(Block):
    """What the columns of the ratings table are called in the file; `timestamp` may be null or absent."""

    user: str
    item: str
    rating: str
    timestamp: str | None = None


class ItemColumnNames(Block):
    """What the columns of the items table are called in the file; all but `item` may be null or absent."""

    item: str
    title: str | None = None
    genres: str | None = None


class FileFormat(Block):
    """How to read `source: file`."""

    columns: RatingColumnNames
    item_columns: ItemColumnNames
    separator: str = Field(default=",", min_length=1)
    header: bool = True
    ratings_member: str | None = None
    items_member: str | None = None
    scale: tuple[float, float] = (1.0, 5.0)

    @model_validator(mode="after")
    def _scale_ascends(self) -> Self:
        if not self.scale[0] < self.scale[1]:
            raise ValueError(f"scale is [lowest, highest], not {list(self.scale)}")
        return self


class Data(Block):
    """Where the ratings come from."""

    source: Source
    path: Path
    demo: Demo
    file: FileFormat


class Validate(Block):
    """What the ratings table must obey."""

    duplicates: Literal["last", "mean", "refuse"]
    max_bad_share: Share


class Split(Block):
    """What is held out, and how the rest is folded."""

    strategy: Literal["random", "time"]
    test_share: Annotated[float, Field(gt=0.0, lt=1.0)]
    folds: int = Field(ge=2)


class Range(Block):
    """A range that a random search draws from; integers where both bounds are integers."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _bounds_ascend(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, not {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a log range starts above 0, not at {self.low}")
        return self


def _kind(value: object) -> str:
    """A mapping is meant as a range, all else as a list: so an error speaks of what was meant."""
    return "range" if isinstance(value, dict | Range) else "list"


Choices = Annotated[list[Choice], Field(min_length=1)]
Values = Annotated[Annotated[Choices, Tag("list")] | Annotated[Range, Tag("range")], Discriminator(_kind)]
Space = dict[str, Values]


class Search(Block):
    """Which candidates are tried, and how."""

    sampler: Literal["grid", "random", "tpe", "defaults"]
    order: Literal["baseline-first", "listed"] = "baseline-first"
    n_trials: int = Field(ge=1)
    minutes: float | None = Field(default=None, gt=0)
    pruner: Literal["none", "median", "hyperband", "curve"] = "none"
    workers: int = Field(ge=0)
    storage: str = "journal"
    metric: Literal["rmse", "mae"] = "rmse"
    experiment: str = Field(min_length=1)
    logged_trials: int = Field(default=100, ge=0)
    candidates: dict[str, Space] = Field(min_length=1)

    @model_validator(mode="after")
    def _grid_has_no_ranges(self) -> Self:
        if self.sampler == "grid":
            for name, space in self.candidates.items():
                ranges = [key for key, values in space.items() if isinstance(values, Range)]
                if ranges:
                    raise ValueError(f"{name}.{ranges[0]} is a range, and a grid needs a list of values")
        return self


class Measure(Block):
    """What is measured of the best trial of each candidate, beyond its error."""

    top_n: int = Field(ge=1)
    relevant_from: float | None = None
    leakage: bool


class Select(Block):
    """What the best candidate is chosen by, and the budgets within which it must be."""

    objective: Metric | Annotated[dict[Metric, PositiveFloat], Field(min_length=1)]
    rule: Literal["best", "one_standard_error"]
    cheaper: Literal["model_bytes", "fit_seconds"]
    max_fit_seconds: PositiveFloat
    max_model_megabytes: PositiveFloat
    max_predict_microseconds: PositiveFloat | None = None
    max_peak_megabytes: PositiveFloat | None = None
    max_top_n_seconds: PositiveFloat | None = None

    @property
    def weights(self) -> dict[str, float]:
        """The objective as a set of metrics and what each counts."""
        if isinstance(self.objective, str):
            return {self.objective: 1.0}
        return {str(metric): weight for metric, weight in self.objective.items()}


class Export(Block):
    """What the served model holds."""

    top_n: int = Field(ge=1)


class Register(Block):
    """Where versions are registered."""

    model: str = Field(pattern=r"^[A-Za-z0-9]([-._ A-Za-z0-9]*[A-Za-z0-9])?$")


class Package(Block):
    """What the Bento is called."""

    bento: str = Field(pattern=r"^[a-z0-9]([-._a-z0-9]*[a-z0-9])?$")


class Params(Block):
    """The whole of params.yaml."""

    seed: int = Field(ge=0)
    data: Data
    validation: Validate = Field(alias="validate")
    split: Split
    search: Search
    measure: Measure
    select: Select
    export: Export
    register_: Register = Field(alias="register")
    package: Package
    gateway: Gateway
    canary: Canary


def load_params(path: Path = PARAMS) -> Params:
    """params.yaml of the working folder, checked.

    Raises:
        ConfigError: the file is missing, not YAML, or has a key or value that is not understood.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} is not here: run from the project's folder") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {one_line(error)}") from None
    try:
        return Params.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_first_line(error)}") from None


def _first_line(error: ValidationError) -> str:
    """The first thing wrong, as one line with its dotted key."""
    first, *others = error.errors()
    key = ".".join(str(part) for part in first["loc"] if not _is_union_tag(part))
    more = f" (and {len(others)} more)" if others else ""
    if first["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(str(first["loc"][-1]), _known_keys(first["loc"][:-1]), n=1)
        hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
        return f"unknown key '{key}'{hint}{more}"
    if first["type"] == "missing":
        return f"key '{key}' is missing{more}"
    where = f"{key}: " if key else ""
    if first["type"] == "value_error":
        return f"{where}{first['msg'].removeprefix('Value error, ')}{more}"
    return f"{where}{first['msg']}, got {_short(first['input'])}{more}"


def _is_union_tag(part: str | int) -> bool:
    """Pydantic adds the member of a union it tried to the path; that is no key of the file."""
    return isinstance(part, str) and part in {"range", "list", "bool", "int", "float", "str"}


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _known_keys(location: tuple[str | int, ...]) -> list[str]:
    """Keys of the block at a path of the file."""
    block: Any = Params
    for part in location:
        fields = {field.alias or name: field.annotation for name, field in block.model_fields.items()}
        block = next((a for a in (fields[str(part)], *get_args(fields[str(part)])) if _is_block(a)), None)
        if block is None:
            return []
    return [field.alias or name for name, field in block.model_fields.items()]


def _is_block(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Block)
