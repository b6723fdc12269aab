"""Item availability: the operator's rules on which items may be shown now.

The rules are a JSON file:

    {
      "hidden": ["1193"],
      "available": {"661": {"from": "2026-12-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"}},
      "static": ["2858", "260"]
    }

`hidden` items are never shown. An item under `available` is shown from `from` (inclusive) until `until`
(exclusive); both are optional. `static` lists the items of the last fallback level, best first. Item ids that
the model does not contain are ignored, because the file may be newer than the model.
"""

import math
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from marquee.array_types import BoolArray
from marquee.errors import ConfigError
from marquee.model.fitted_model import FittedModel


class AvailabilityPeriod(BaseModel):
    """Time span in which an item may be shown."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    from_: AwareDatetime | None = Field(default=None, alias="from")
    until: AwareDatetime | None = None


class AvailabilityPolicy(BaseModel):
    """Content of the availability file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    hidden: tuple[str, ...] = ()
    available: Mapping[str, AvailabilityPeriod] = {}
    static: tuple[str, ...] = ()


def read_policy(path: Path) -> AvailabilityPolicy:
    """Read the operator's availability file.

    Raises:
        ConfigError: the file cannot be read or is invalid; the message names the field.
    """
    try:
        return AvailabilityPolicy.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigError(f"{path}: {field}: {first['msg']}") from None


class ItemAvailability:
    """Availability of each item of a model by an `AvailabilityPolicy`."""

    def __init__(self, model: FittedModel, policy: AvailabilityPolicy) -> None:
        n_items = len(model.arrays.items)
        self._from = np.full(n_items, -math.inf)
        self._until = np.full(n_items, math.inf)
        for item_id, period in policy.available.items():
            if (item := model.inner_item_id(item_id)) is not None:
                self._from[item] = _timestamp(period.from_, -math.inf)
                self._until[item] = _timestamp(period.until, math.inf)
        for item_id in policy.hidden:
            if (item := model.inner_item_id(item_id)) is not None:
                self._until[item] = -math.inf
        static_items = (model.inner_item_id(item_id) for item_id in policy.static)
        self.static_items = tuple(item for item in static_items if item is not None)

    def compute_visible_items(self, now: float) -> "VisibleItems":
        """Return the items that may be shown at `now` (UTC seconds)."""
        return VisibleItems((self._from <= now) & (now < self._until), self._next_change(now))

    def _next_change(self, now: float) -> float:
        changes = np.concatenate([self._from[self._from > now], self._until[self._until > now], [math.inf]])
        return float(changes.min())


class VisibleItems:
    """Items that may be shown until the next change of availability.

    Attributes:
        mask: True for each visible item, shape (n_items,).
        valid_until: time of the next change, in UTC seconds.
    """

    def __init__(self, mask: BoolArray, valid_until: float) -> None:
        self.mask = mask
        self.valid_until = valid_until

    @cached_property
    def mask_bytes(self) -> bytes:
        """The mask as one byte per item; reading a byte is five times as fast as an array element."""
        return self.mask.tobytes()


def _timestamp(moment: datetime | None, default: float) -> float:
    return default if moment is None else moment.timestamp()
