"""Which items may be shown now: the operator's say over the model's.

    {
      "hidden": ["1193"],
      "available": {"661": {"from": "2026-12-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"}},
      "static": ["2858", "260"]
    }

`hidden` items are never shown. An item with times is shown from the one until before the other; either may be
missing. `static` is what stands at the end of the ladder, best first. Ids that the model does not know are
passed over: the file may be ahead of the model.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from marquee.errors import ConfigError
from marquee.model.fitted_model import FittedModel

FOREVER = float("inf")


class Span(BaseModel):
    """When an item may be shown."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    from_: AwareDatetime | None = Field(default=None, alias="from")
    until: AwareDatetime | None = None


class Policy(BaseModel):
    """The operator's file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    hidden: tuple[str, ...] = ()
    available: Mapping[str, Span] = {}
    static: tuple[str, ...] = ()


def read_policy(path: Path) -> Policy:
    """Read the operator's file.

    Raises:
        ConfigError: it is missing or not understood; the message names the field.
    """
    try:
        return Policy.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigError(f"{path}: {place}: {first['msg']}") from None


class Catalogue:
    """The items of a model under a policy: which of them may be shown at a moment."""

    def __init__(self, model: FittedModel, policy: Policy) -> None:
        n_items = len(model.arrays.items)
        self._from = np.full(n_items, -FOREVER)
        self._until = np.full(n_items, FOREVER)
        for identity, span in policy.available.items():
            if (item := model.item_number(identity)) is not None:
                self._from[item] = _seconds(span.from_, -FOREVER)
                self._until[item] = _seconds(span.until, FOREVER)
        for identity in policy.hidden:
            if (item := model.item_number(identity)) is not None:
                self._until[item] = -FOREVER
        numbers = (model.item_number(identity) for identity in policy.static)
        self.static = tuple(number for number in numbers if number is not None)

    def shown(self, now: float) -> "Shown":
        """What may be shown at a time, in UTC seconds."""
        return Shown((self._from <= now) & (now < self._until), self._next_change(now))

    def _next_change(self, now: float) -> float:
        later = np.concatenate([self._from[self._from > now], self._until[self._until > now], [FOREVER]])
        return float(later.min())


class Shown:
    """Which items may be shown, until something changes."""

    def __init__(self, mask: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]", until: float) -> None:
        self.mask = mask
        self.until = until  # UTC seconds

    @cached_property
    def flags(self) -> bytes:
        """The mask, an item a byte: reading one costs a fifth of what NumPy takes."""
        return self.mask.tobytes()

    @cached_property
    def everything(self) -> bool:
        """Whether nothing is held back."""
        return bool(self.mask.all())


def _seconds(moment: datetime | None, default: float) -> float:
    return default if moment is None else moment.timestamp()
