"""The candidate algorithms, each with scikit-surprise's interface.

    from marquee.algorithms import SVD, KNNBaseline

A class is imported when it is first asked for; the modules and compiled kernels of the others are not.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from marquee.algorithms.base import Algorithm, EpochAlgorithm, Estimates
    from marquee.algorithms.baseline_only import BaselineOnly
    from marquee.algorithms.bayesian import BayesianMF
    from marquee.algorithms.co_clustering import CoClustering
    from marquee.algorithms.ease import EASE
    from marquee.algorithms.implicit_feedback import ImplicitALS, ImplicitBPR
    from marquee.algorithms.knn import KNNBaseline, KNNBasic, KNNWithMeans, KNNWithZScore
    from marquee.algorithms.nmf import NMF
    from marquee.algorithms.normal_predictor import NormalPredictor
    from marquee.algorithms.popularity import Popularity
    from marquee.algorithms.ranking_base import Ranker
    from marquee.algorithms.slope_one import SlopeOne
    from marquee.algorithms.svd import PMF, SVD, SVDpp

__all__ = [
    "EASE",
    "NMF",
    "PMF",
    "SVD",
    "Algorithm",
    "BaselineOnly",
    "BayesianMF",
    "CoClustering",
    "EpochAlgorithm",
    "Estimates",
    "ImplicitALS",
    "ImplicitBPR",
    "KNNBaseline",
    "KNNBasic",
    "KNNWithMeans",
    "KNNWithZScore",
    "NormalPredictor",
    "Popularity",
    "Ranker",
    "SVDpp",
    "SlopeOne",
]

# What a new algorithm is made of; the algorithms themselves are found by the catalogue.
_BASES = {
    "Algorithm": "base.Algorithm",
    "EpochAlgorithm": "base.EpochAlgorithm",
    "Estimates": "base.Estimates",
    "Ranker": "ranking_base.Ranker",
}

if not TYPE_CHECKING:  # a type checker takes a module with `__getattr__` to have every name

    def __getattr__(name: str) -> type:
        """Import a class of `__all__` and keep it (PEP 562)."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        from marquee.algorithms.registry import CATALOGUE

        homes = {one.home.split(".")[1]: one.home for one in CATALOGUE.values()} | _BASES
        module, _ = homes[name].split(".")
        globals()[name] = found = getattr(import_module(f"{__name__}.{module}"), name)
        return found

    def __dir__() -> list[str]:
        """Every name of `__all__`, imported or not, and what the module already holds."""
        return sorted({*globals(), *__all__})
