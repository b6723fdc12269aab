"""A fitted algorithm as plain arrays and numbers, so that no stage has to unpickle another's work.

    state.json       algorithm, parameters, seed, and the scalar attributes
    NAME.npy         one array an attribute (`pu`, `qi`, `bu`, `bi`, `sim`, ...)

What an algorithm holds besides is the training set, which is given again on loading.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import surprise
from surprise import Trainset

from marquee.algorithms.registry import Parameters, candidate
from marquee.errors import ModelError

STATE = "state.json"


def model_bytes(algorithm: surprise.AlgoBase) -> int:
    """Bytes of what fitting computed: all arrays, without the training set."""
    return sum(array.nbytes for array in _arrays(algorithm).values())


def save_state(
    algorithm: surprise.AlgoBase, folder: Path, *, name: str, parameters: Parameters, seed: int
) -> None:
    """Write a fitted algorithm into a new folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for key, array in _arrays(algorithm).items():
        np.save(folder / f"{key}.npy", array, allow_pickle=False)
    head = {"algorithm": name, "parameters": dict(parameters), "seed": seed, "scalars": _scalars(algorithm)}
    (folder / STATE).write_text(json.dumps(head, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_state(folder: Path, trainset: Trainset) -> tuple[surprise.AlgoBase, dict[str, Any]]:
    """The algorithm fitted on that training set, ready to predict, and the head of its state.

    Raises:
        ModelError: the folder holds no state.
    """
    try:
        head: dict[str, Any] = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder} holds no fitted algorithm ({error}): run the fit stage") from None
    algorithm = candidate(head["algorithm"]).make(head["parameters"], head["seed"])
    surprise.AlgoBase.fit(algorithm, trainset)
    for path in sorted(folder.glob("*.npy")):
        setattr(algorithm, path.stem, np.load(path, allow_pickle=False))
    for key, value in head["scalars"].items():
        setattr(algorithm, key, value)
    return algorithm, head


def _arrays(algorithm: surprise.AlgoBase) -> dict[str, np.ndarray]:
    """Array attributes; a list of numbers counts as one (Slope One keeps its user means so)."""
    found = {}
    for key, value in vars(algorithm).items():
        array = np.asarray(value) if _is_number_list(value) else value
        if isinstance(array, np.ndarray) and array.dtype.kind in "fiub":
            found[key] = array
    return found


def _is_number_list(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], int | float)


def _scalars(algorithm: surprise.AlgoBase) -> dict[str, float]:
    """Numbers that fitting computed (constructor arguments come back through the parameters)."""
    fresh = vars(type(algorithm)())
    return {
        key: float(value)
        for key, value in vars(algorithm).items()
        if isinstance(value, float | np.floating) and key not in fresh
    }
