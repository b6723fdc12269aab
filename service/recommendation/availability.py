"""Item availability: the operator's rules on which items may be shown now.

They are a part of the rules of the shop (`service.recommendation.shop_rules`):

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

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from marquee.array_types import BoolArray
from marquee.model.fitted_model import FittedModel


class Rule(BaseModel):
    """Immutable part of the operator's rules that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AvailabilityPeriod(Rule):
    """Time span in which an item may be shown."""

    from_: AwareDatetime | None = Field(default=None, alias="from")
    until: AwareDatetime | None = None


class AvailabilityPolicy(Rule):
    """Rules on which items may be shown, and the items of the last fallback level."""

    hidden: tuple[str, ...] = ()
    available: Mapping[str, AvailabilityPeriod] = {}
    static: tuple[str, ...] = ()


class ItemAvailability:
    """Availability of each item of a model by an `AvailabilityPolicy`."""

    def __init__(
        self, model: FittedModel, policy: AvailabilityPolicy, passes_filters: BoolArray | None = None
    ) -> None:
        """Look up the items of a policy.

        Args:
            model: model that has the items; other items are ignored.
            policy: rules on availability.
            passes_filters: True for each item that may be shown at all, shape (n_items,); None: every item.
        """
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
        if passes_filters is not None:
            self._until[~passes_filters] = -math.inf
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
