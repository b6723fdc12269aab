"""Collaborative-filtering algorithms with scikit-surprise's interface.

    >>> from marquee.algorithms import SVD, KNNBaseline

Classes are imported on first access, so that using one algorithm does not load the kernels of the others.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from marquee.algorithms.base import Algorithm, EpochAlgorithm, Estimates
    from marquee.algorithms.baseline_only import BaselineOnly
    from marquee.algorithms.bayesian import BayesianMF
    from marquee.algorithms.blend import Blend
    from marquee.algorithms.bpr import BPR
    from marquee.algorithms.co_clustering import CoClustering
    from marquee.algorithms.ease import EASE
    from marquee.algorithms.edlae import EDLAE
    from marquee.algorithms.ials import IALS
    from marquee.algorithms.implicit_feedback import ImplicitALS, ImplicitBPR
    from marquee.algorithms.item_knn import ItemKNN
    from marquee.algorithms.knn import KNNBaseline, KNNBasic, KNNWithMeans, KNNWithZScore
    from marquee.algorithms.nmf import NMF
    from marquee.algorithms.normal_predictor import NormalPredictor
    from marquee.algorithms.popularity import Popularity
    from marquee.algorithms.ranking_base import Ranker
    from marquee.algorithms.rp3beta import RP3beta
    from marquee.algorithms.slim import SLIM
    from marquee.algorithms.slope_one import SlopeOne
    from marquee.algorithms.svd import PMF, SVD, SVDpp
    from marquee.algorithms.user_knn import UserKNN

__all__ = [
    "BPR",
    "EASE",
    "EDLAE",
    "IALS",
    "NMF",
    "PMF",
    "SLIM",
    "SVD",
    "Algorithm",
    "BaselineOnly",
    "BayesianMF",
    "Blend",
    "CoClustering",
    "EpochAlgorithm",
    "Estimates",
    "ImplicitALS",
    "ImplicitBPR",
    "ItemKNN",
    "KNNBaseline",
    "KNNBasic",
    "KNNWithMeans",
    "KNNWithZScore",
    "NormalPredictor",
    "Popularity",
    "RP3beta",
    "Ranker",
    "SVDpp",
    "SlopeOne",
    "UserKNN",
]

# Base classes for new algorithms; the algorithms themselves are in the registry.
_BASE_CLASSES = {
    "Algorithm": "base",
    "EpochAlgorithm": "base",
    "Estimates": "base",
    "Ranker": "ranking_base",
}

if not TYPE_CHECKING:  # for a type checker, a module with `__getattr__` has every name

    def __getattr__(name: str) -> type:
        """Import a class of `__all__` on first access and cache it (PEP 562)."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        from marquee.algorithms.registry import REGISTRY

        modules = {entry.class_name: entry.module_name for entry in REGISTRY.values()}
        modules |= {class_name: f"{__name__}.{module}" for class_name, module in _BASE_CLASSES.items()}
        globals()[name] = value = getattr(import_module(modules[name]), name)
        return value

    def __dir__() -> list[str]:
        """Return the names in `__all__`, imported or not, and the other names of the module."""
        return sorted({*globals(), *__all__})
