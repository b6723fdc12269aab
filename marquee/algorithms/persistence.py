"""Fitted algorithms on disk, as plain arrays and numbers: nothing is ever unpickled.

    state.json       algorithm, parameters, seed, and scalar attributes
    NAME.npy         one file per array attribute (`pu`, `qi`, `bu`, `bi`, `sim`, ...)

The training set is not stored; it is passed again to `load_fitted_algorithm`.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import surprise
from surprise import Trainset

from marquee.algorithms.registry import Parameters, find_algorithm
from marquee.errors import ModelError

STATE_FILE = "state.json"


def compute_model_size(algorithm: surprise.AlgoBase) -> int:
    """Return the size in bytes of all arrays that fitting computed, without the training set."""
    return sum(array.nbytes for array in _array_attributes(algorithm).values())


def save_fitted_algorithm(
    algorithm: surprise.AlgoBase, folder: Path, *, name: str, parameters: Parameters, seed: int
) -> None:
    """Write a fitted algorithm to a folder, which is created if necessary.

    Args:
        algorithm: fitted algorithm.
        folder: destination.
        name: name of the algorithm in the registry.
        parameters: parameters that it was created with.
        seed: seed that it was created with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for key, array in _array_attributes(algorithm).items():
        np.save(folder / f"{key}.npy", array, allow_pickle=False)
    scalars = _scalar_attributes(algorithm)
    header = {"algorithm": name, "parameters": dict(parameters), "seed": seed, "scalars": scalars}
    (folder / STATE_FILE).write_text(json.dumps(header, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_fitted_algorithm(folder: Path, trainset: Trainset) -> tuple[surprise.AlgoBase, dict[str, Any]]:
    """Load a fitted algorithm.

    Args:
        folder: folder written by `save_fitted_algorithm`.
        trainset: training set that the algorithm was fitted on.

    Returns:
        The algorithm, ready to predict, and the content of state.json.

    Raises:
        ModelError: the folder does not contain a fitted algorithm.
    """
    try:
        header: dict[str, Any] = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder} contains no fitted algorithm ({error}); run the fit stage") from None
    algorithm = find_algorithm(header["algorithm"]).create(header["parameters"], header["seed"])
    surprise.AlgoBase.fit(algorithm, trainset)
    for path in sorted(folder.glob("*.npy")):
        setattr(algorithm, path.stem, np.load(path, allow_pickle=False))
    for key, value in header["scalars"].items():
        setattr(algorithm, key, value)
    return algorithm, header


def _array_attributes(algorithm: surprise.AlgoBase) -> dict[str, np.ndarray]:
    """Return the array attributes, and lists of numbers as arrays (`user_mean` of Surprise's SlopeOne)."""
    arrays = {}
    for key, value in vars(algorithm).items():
        array = np.asarray(value) if _is_number_list(value) else value
        if isinstance(array, np.ndarray) and array.dtype.kind in "fiub":
            arrays[key] = array
    return arrays


def _is_number_list(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], int | float)


def _scalar_attributes(algorithm: surprise.AlgoBase) -> dict[str, float]:
    """Return the numbers that fitting computed; constructor arguments are restored from the parameters."""
    unfitted = vars(type(algorithm)())
    return {
        key: float(value)
        for key, value in vars(algorithm).items()
        if isinstance(value, float | np.floating) and key not in unfitted
    }
