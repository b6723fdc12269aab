"""Validation of constructor arguments: every invalid value is reported in the same one-line form.

    check_integer_attributes, check_number_attributes, check_choice_attribute   attributes of an algorithm
    check_integer, check_number, check_choice                                   values, such as `bsl_options`
    check_option_names                                                          keys of an options dictionary

All raise ParameterError with the owner, the name, the allowed values and the actual value.
"""

from collections.abc import Mapping
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np
from surprise import AlgoBase

from marquee.errors import ParameterError

DTYPES = ("float64", "float32")
RandomState = int | np.random.RandomState | None  # the types that scikit-surprise accepts as `random_state`


def check_integer_attributes(algorithm: AlgoBase, *names: str, minimum: int = 0) -> None:
    """Check that these attributes are integers of at least `minimum`."""
    for name in names:
        check_integer(type(algorithm).__name__, name, getattr(algorithm, name), minimum)


def check_number_attributes(algorithm: AlgoBase, *names: str, minimum: float = 0.0) -> None:
    """Check that these attributes are finite numbers of at least `minimum`."""
    for name in names:
        check_number(type(algorithm).__name__, name, getattr(algorithm, name), minimum)


def check_choice_attribute(algorithm: AlgoBase, name: str, choices: tuple[Any, ...]) -> None:
    """Check that this attribute is one of the choices."""
    check_choice(type(algorithm).__name__, name, getattr(algorithm, name), choices)


def check_integer(owner: str, name: str, value: Any, minimum: int = 0) -> None:
    """Check that a value is an integer of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        raise ParameterError(f"{owner}: {name} must be an integer of at least {minimum} (got {value!r})")


def check_number(owner: str, name: str, value: Any, minimum: float = 0.0) -> None:
    """Check that a value is a finite number of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, Real) or not isfinite(value) or value < minimum:
        limit = "" if minimum == -np.inf else f" of at least {minimum:g}"
        raise ParameterError(f"{owner}: {name} must be a finite number{limit} (got {value!r})")


def check_choice(
    owner: str,
    name: str,
    value: Any,
    choices: tuple[Any, ...],
    error: type[ParameterError] = ParameterError,
) -> None:
    """Check that a value is one of the choices; `error` is the type to raise."""
    if value not in choices:
        raise error(f"{owner}: {name} must be one of {', '.join(map(str, choices))} (got {value!r})")


def check_option_names(owner: str, options: Mapping[str, Any], names: tuple[str, ...]) -> None:
    """Check that every option has a known name, unlike Surprise, which ignores unknown options."""
    for name in options:
        if name not in names:
            raise ParameterError(f"{owner}: unknown option '{name}' (expected one of {', '.join(names)})")
