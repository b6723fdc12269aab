"""What an algorithm's arguments may be, and the one line that refuses what they may not."""

from collections.abc import Mapping
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np
from surprise import AlgoBase

from marquee.errors import ParameterError

DTYPES = ("float64", "float32")
RandomState = int | np.random.RandomState | None  # what scikit-surprise takes as `random_state`


def require_whole(algorithm: AlgoBase, *names: str, least: int = 0) -> None:
    """Refuse an argument that is not a whole number, or too low a one.

    Raises:
        ParameterError: names the algorithm, the argument and its value.
    """
    for name in names:
        whole(type(algorithm).__name__, name, getattr(algorithm, name), least)


def require_number(algorithm: AlgoBase, *names: str, least: float = 0.0) -> None:
    """Refuse an argument that is not a finite number, or too low a one.

    Raises:
        ParameterError: names the algorithm, the argument and its value.
    """
    for name in names:
        number(type(algorithm).__name__, name, getattr(algorithm, name), least)


def require_choice(algorithm: AlgoBase, name: str, choices: tuple[Any, ...]) -> None:
    """Refuse an argument that is none of the choices.

    Raises:
        ParameterError: names the algorithm, the argument, its value and the choices.
    """
    choice(type(algorithm).__name__, name, getattr(algorithm, name), choices)


def whole(whose: str, name: str, value: Any, least: int = 0) -> None:
    """Refuse what is not a whole number of `least` or more."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ParameterError(f"{whose}: {name}={value!r} must be a whole number of {least} or more")


def number(whose: str, name: str, value: Any, least: float = 0.0) -> None:
    """Refuse what is not a finite number of `least` or more."""
    if isinstance(value, bool) or not isinstance(value, Real) or not isfinite(value) or value < least:
        allowed = "a finite number" if least == -np.inf else f"a number of {least:g} or more"
        raise ParameterError(f"{whose}: {name}={value!r} must be {allowed}")


def choice(
    whose: str,
    name: str,
    value: Any,
    choices: tuple[Any, ...],
    error: type[ParameterError] = ParameterError,
) -> None:
    """Refuse what is none of the choices."""
    if value not in choices:
        raise error(f"{whose}: {name}={value!r} must be one of {', '.join(map(str, choices))}")


def known(whose: str, options: Mapping[str, Any], names: tuple[str, ...]) -> None:
    """Refuse an option that does not exist. (Surprise ignores it.)"""
    for name in options:
        if name not in names:
            raise ParameterError(f"{whose} has no '{name}': there are {', '.join(names)}")
