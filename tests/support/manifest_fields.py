"""Manifest fields of the small models in tests, without the fields that `write_model` computes."""

from typing import Any

MANIFEST_FIELDS: dict[str, Any] = {
    "algorithm": "svd",
    "parameters": {"n_factors": 2},
    "metrics": {"test_rmse": 0.9},
    "seed": 42,
    "data_source": "demo",
    "data_digest": "0123456789abcdef.dir",
    "scale": (1.0, 5.0),
    "global_mean": 3.5,
    "libraries": {"numpy": "2"},
}
