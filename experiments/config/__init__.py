"""params.yaml as typed, immutable blocks."""

from experiments.config.params import Params, load_params

__all__ = ["Params", "load_params"]
