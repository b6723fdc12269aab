"""Type aliases for arrays and scorers. Imports only NumPy, because serving processes import this module."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Float64Array: TypeAlias = npt.NDArray[np.float64]
Float32Array: TypeAlias = npt.NDArray[np.float32]
FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]  # float64 or float32
Int32Array: TypeAlias = npt.NDArray[np.int32]
Int64Array: TypeAlias = npt.NDArray[np.int64]
UInt64Array: TypeAlias = npt.NDArray[np.uint64]
UInt8Array: TypeAlias = npt.NDArray[np.uint8]
Int8Array: TypeAlias = npt.NDArray[np.int8]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
AnyArray: TypeAlias = npt.NDArray[Any]

RatingScale: TypeAlias = tuple[float, float]  # lowest and highest rating
# Inner ids, shape (n,), to the scores of all items for each, shape (n, n_items).
BlockScorer: TypeAlias = Callable[[Int32Array], Float64Array]
