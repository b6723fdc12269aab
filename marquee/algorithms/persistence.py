"""Fitted algorithms on disk, as plain arrays and numbers: nothing is ever unpickled.

    state.json       algorithm, parameters, seed, and scalar attributes
    NAME.npy         one file per array attribute (`pu`, `qi`, `bu`, `bi`, `sim`, ...)
    member_0/, ...     state of each member of a blend, in the same form

The training set is not stored; it is passed again to `load_fitted_algorithm`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import surprise
from surprise import Trainset

from marquee.algorithms.base import Algorithm
from marquee.algorithms.registry import Parameters, find_algorithm
from marquee.errors import ModelError

STATE_FILE = "state.json"


def compute_model_size(algorithm: surprise.AlgoBase) -> int:
    """Return the size in bytes of all arrays that fitting computed, without the training set."""
    own = sum(array.nbytes for array in _array_attributes(algorithm).values())
    return own + sum(compute_model_size(member) for member in _members(algorithm))


def save_fitted_algorithm(
    algorithm: surprise.AlgoBase, folder: Path, *, name: str, parameters: Parameters, seed: int
) -> None:
    """Write a fitted algorithm to a folder, which is created if necessary.

    Args:
        algorithm: fitted algorithm.
        folder: destination; the state of another algorithm in it is replaced.
        name: name of the algorithm in the registry.
        parameters: parameters that it was created with.
        seed: seed that it was created with.
    """
    header = {"algorithm": name, "parameters": dict(parameters), "seed": seed}
    _save_state(algorithm, folder, header)


def _save_state(algorithm: surprise.AlgoBase, folder: Path, header: Mapping[str, Any]) -> None:
    """Write the arrays and numbers of an algorithm and of its members."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.npy"):  # of an algorithm that was saved here before
        path.unlink()
    for key, array in _array_attributes(algorithm).items():
        np.save(folder / f"{key}.npy", array, allow_pickle=False)
    state = {**header, "scalars": _scalar_attributes(algorithm)}
    (folder / STATE_FILE).write_text(json.dumps(state, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    for number, member in enumerate(_members(algorithm)):
        _save_state(member, folder / f"member_{number}", {})


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
    header = _read_state(folder)
    algorithm = find_algorithm(header["algorithm"]).create(header["parameters"], header["seed"])
    algorithm.create_members()
    _load_state(algorithm, folder, header, trainset)
    return algorithm, header


def _load_state(
    algorithm: surprise.AlgoBase, folder: Path, state: Mapping[str, Any], trainset: Trainset
) -> None:
    """Set the attributes of an algorithm and of its members."""
    surprise.AlgoBase.fit(algorithm, trainset)
    for path in sorted(folder.glob("*.npy")):
        setattr(algorithm, path.stem, np.load(path, allow_pickle=False))
    for key, value in state["scalars"].items():
        setattr(algorithm, key, value)
    for number, member in enumerate(_members(algorithm)):
        subfolder = folder / f"member_{number}"
        _load_state(member, subfolder, _read_state(subfolder), trainset)


def _read_state(folder: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder} contains no fitted algorithm ({error}); run the fit stage") from None
    return state


def _members(algorithm: surprise.AlgoBase) -> Sequence[surprise.AlgoBase]:
    """Return the members of an algorithm that consists of others, such as a blend."""
    return algorithm.fitted_members if isinstance(algorithm, Algorithm) else ()


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
