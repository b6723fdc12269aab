r"""Stored scorer of an item-item model with few weights, such as item k-NN: all weights are stored.

.. math:: s_i = \sum_j x_j B_{ji}

as in `marquee.model.scorers.item_weights`, but rows of B have different numbers of weights: a model that
keeps k weights of each item that is scored has long rows of popular items.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from marquee.array_types import AnyArray, Float32Array, FloatArray, Int32Array, Int64Array
from marquee.model.history_weighting import HistoryWeighting, is_weighting
from marquee.model.scorers.history import TrainingHistories
from marquee.model.scorers.item_weights import ItemWeightScorer
from marquee.model.scorers.stored_scorer import ArraySpec, register_kind


@register_kind
@dataclass(frozen=True)
class SparseItemWeights:
    """Weights of an item-item model in CSR form."""

    row_starts: Int64Array  # (n_items + 1,): row j of B has the weights `row_starts[j]:row_starts[j + 1]`
    weight_items: Int32Array  # (n_weights,): item i of each weight
    item_weights: Float32Array  # (n_weights,): B_ji
    weighting: HistoryWeighting
    kind: ClassVar[str] = "sparse_item_weights"

    @classmethod
    def accepts_constants(cls, constants: Mapping[str, Any]) -> bool:
        """Return True if this is a weighting."""
        return constants.keys() == {"weighting"} and is_weighting(constants["weighting"])

    @classmethod
    def array_names(cls, constants: Mapping[str, Any]) -> tuple[str, ...]:  # noqa: ARG003  part of the interface
        """Return the names of the arrays."""
        return "row_starts", "weight_items", "item_weights"

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], constants: Mapping[str, Any]) -> Self:
        """Return the stored scorer with these arrays and this weighting."""
        return cls(**arrays, weighting=HistoryWeighting(**constants["weighting"]))

    def arrays(self) -> Mapping[str, AnyArray]:
        """Return the bounds, items and weights of the rows."""
        return {name: getattr(self, name) for name in self.array_names({})}

    def constants(self) -> Mapping[str, Any]:
        """Return the weighting."""
        return {"weighting": self.weighting.to_json()}

    def array_specs(self, n_users: int, n_items: int) -> Mapping[str, ArraySpec]:  # noqa: ARG002  part of the interface
        """Return the specification of the arrays."""
        n_weights = int(self.row_starts[-1]) if len(self.row_starts) else 0
        return {
            "row_starts": ArraySpec(np.int64, (n_items + 1,), n_ids=n_weights + 1),
            "weight_items": ArraySpec(np.int32, (n_weights,), n_ids=n_items),
            "item_weights": ArraySpec(np.float32, (n_weights,)),
        }

    def create_scorer(self, training: TrainingHistories) -> ItemWeightScorer:
        """Create the scorer."""
        return ItemWeightScorer(self, training)

    def score_items(self, items: Int32Array, weights: FloatArray) -> Float32Array:
        """Return the scores of all items for a history, shape (n_items,).

        Args:
            items: inner ids of the items in the history.
            weights: x of each of them.
        """
        bounds = self.row_starts[items].tolist(), self.row_starts[items + 1].tolist()
        rows = [slice(*pair) for pair in zip(*bounds, strict=True)]
        if not rows:
            return np.zeros(len(self.row_starts) - 1, dtype=np.float32)
        # Copying whole rows is faster than collecting their elements by position.
        columns = np.concatenate([self.weight_items[row] for row in rows])
        products = np.concatenate([self.item_weights[row] for row in rows])
        products *= np.repeat(np.asarray(weights, dtype=np.float32), [row.stop - row.start for row in rows])
        return np.bincount(columns, products, minlength=len(self.row_starts) - 1).astype(np.float32)
