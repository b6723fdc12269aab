"""The array types, each with one name. Nothing but NumPy: what serves imports this too."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Scores: TypeAlias = npt.NDArray[np.float32]
Real: TypeAlias = npt.NDArray[np.floating[Any]]  # float64, or float32 where that was asked for
Integers: TypeAlias = npt.NDArray[np.int32]
Indices: TypeAlias = npt.NDArray[np.int64]
Keys: TypeAlias = npt.NDArray[np.uint64]
Bytes: TypeAlias = npt.NDArray[np.uint8]
Mask: TypeAlias = npt.NDArray[np.bool_]
Scale: TypeAlias = tuple[float, float]  # the lowest and highest rating that exist
ScoreBlock: TypeAlias = Callable[[Integers], Floats]  # users (n,) -> scores of all items (n, n_items)
