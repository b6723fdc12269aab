"""`Params`, the typed content of params.yaml, and `load_params`, the only reader of that file."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from experiments.config.block import ParamsBlock
from experiments.config.offline import (
    DataParams,
    ExportParams,
    InteractionsParams,
    MeasureParams,
    PackageParams,
    RegisterParams,
    SearchParams,
    SelectParams,
    SplitParams,
    ValidateParams,
)
from experiments.config.online import CanaryParams, GatewayParams, ServingParams
from marquee.errors import ConfigError, one_line_message

PARAMS_FILE = Path("params.yaml")
MAX_VALUE_CHARACTERS = 60  # longer values are abbreviated in messages

# Names of union members, which Pydantic adds to the location of an error; they are not keys of the file.
UNION_MEMBERS = {"range", "list", "bool", "int", "float", "str"}
UNION_REQUIREMENTS = {"bool": "must be a number, a string, true, false or null", "int": "must be a number"}
MAX_LISTED_KEYS = 3  # of a block, in messages


class Params(ParamsBlock):
    """All parameters of params.yaml, one field per block.

    Two fields have other names than their blocks, because `validate` and `register` are names of methods.
    """

    seed: int = Field(ge=0)
    data: DataParams
    interactions: InteractionsParams
    validation: ValidateParams = Field(alias="validate")
    split: SplitParams
    search: SearchParams
    measure: MeasureParams
    select: SelectParams
    export: ExportParams
    registration: RegisterParams = Field(alias="register")
    package: PackageParams
    serving: ServingParams
    gateway: GatewayParams
    canary: CanaryParams


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and validate params.yaml, by default that of the working directory.

    Raises:
        ConfigError: the file is missing, is not YAML, or has an unknown key or an invalid value.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} not found; run this command from the project directory") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {one_line_message(error)}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} must be a mapping of block names to blocks (got {_quote(tree)})")
    try:
        return Params.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_summarize(error)}") from None


def _summarize(error: ValidationError) -> str:
    """Describe the first problem in one line, and count the other keys with a problem."""
    problems = error.errors()
    # An unknown key is often a misspelling, which also explains why another key is missing.
    first = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])
    others = {_format_key(problem["loc"]) for problem in problems} - {_format_key(first["loc"])}
    return _describe(first) + (f" (and {len(others)} more)" if others else "")


def _describe(problem: ErrorDetails) -> str:
    key = _format_key(problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"unknown key '{key}'{_suggest_key(problem['loc'])}"
    if problem["type"] == "missing":
        return f"key '{key}' is missing"
    if problem["type"] == "value_error":
        message = problem["msg"].removeprefix("Value error, ")
        return f"{key} {message}" if message.startswith("must ") else f"{key}: {message}"
    return f"{key} {_describe_requirement(problem)} (got {_quote(problem['input'])})"


def _describe_requirement(problem: ErrorDetails) -> str:
    """Rephrase "Input should be a valid list" as "must be a list"."""
    if requirement := UNION_REQUIREMENTS.get(str(problem["loc"][-1])):
        return requirement
    if problem["type"] == "model_type":
        return f"must be a mapping with the keys {_list_keys(problem['loc'])}"
    if problem["type"] == "string_type":
        return "must be a string; write it in quotes"
    message = re.sub(r"^\w+ should ", "must ", problem["msg"]).partition(", unable to parse")[0]
    return re.sub(r"\ba valid ([aeiou]?)", lambda match: f"a{'n' if match[1] else ''} {match[1]}", message)


def _list_keys(location: Sequence[str | int]) -> str:
    """Return the first keys of the block at a location in the file."""
    keys = _find_known_keys(location)
    return ", ".join(keys[:MAX_LISTED_KEYS]) + (", ..." if len(keys) > MAX_LISTED_KEYS else "")


def _suggest_key(location: Sequence[str | int]) -> str:
    """Suggest the known key nearest to an unknown one; return an empty string if none is similar."""
    nearest = difflib.get_close_matches(str(location[-1]), _find_known_keys(location[:-1]), n=1)
    return f"; did you mean '{nearest[0]}'?" if nearest else ""


def _format_key(location: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in location if not _is_union_member(part))


def _is_union_member(part: str | int) -> bool:
    return isinstance(part, str) and (part in UNION_MEMBERS or "[" in part)


def _quote(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MAX_VALUE_CHARACTERS else f"{text[: MAX_VALUE_CHARACTERS - 3]}..."


def _find_known_keys(location: Sequence[str | int]) -> list[str]:
    """Return the keys of the block at a location in the file, or an empty list if there is no block."""
    block: Any = Params
    for part in location:
        fields = {field.alias or name: field.annotation for name, field in block.model_fields.items()}
        annotation = fields[str(part)]
        block = next((each for each in (annotation, *get_args(annotation)) if _is_block(each)), None)
        if block is None:
            return []
    return [field.alias or name for name, field in block.model_fields.items()]


def _is_block(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, ParamsBlock)
