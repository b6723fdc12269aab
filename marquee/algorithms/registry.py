"""Algorithm registry: every algorithm that a search may name, its class and its parameters.

Code outside this package finds algorithms by name and depends on no algorithm's class. To add one, write the
class, add an entry to `REGISTRY`, and export the class in `marquee/algorithms/__init__.py`.
"""

import difflib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from marquee.errors import ConfigError

if TYPE_CHECKING:
    from marquee.algorithms.base import Algorithm

Parameters: TypeAlias = Mapping[str, Any]

# Surprise nests these options in the dictionaries `sim_options` and `bsl_options`; a search space is flat.
SIMILARITY_OPTIONS = {  # parameter: key in `sim_options`
    "similarity": "name",
    "user_based": "user_based",
    "min_support": "min_support",
    "shrinkage": "shrinkage",
}
ALS_OPTIONS = ("method", "n_epochs", "reg_u", "reg_i")
SGD_OPTIONS = ("method", "n_epochs", "reg", "learning_rate")
BASELINE_OPTIONS = tuple(dict.fromkeys(ALS_OPTIONS + SGD_OPTIONS))
KNN_OPTIONS = (*SIMILARITY_OPTIONS, *BASELINE_OPTIONS)
NOT_SEARCHABLE = {"self", "kwargs", "verbose", "random_state", "sim_options", "bsl_options"}
QUIET = (("verbose", False),)
# Algorithms that every other one should beat.
RANDOM_BASELINE, POPULARITY, BASELINE = "normal_predictor", "popularity", "baseline_only"
BLEND = "blend"  # consists of other algorithms of the registry


@dataclass(frozen=True)
class AlgorithmEntry:
    """Entry of the algorithm registry."""

    name: str  # in params.yaml
    title: str  # in reports
    class_path: str  # module and class below marquee.algorithms, such as "svd.SVD"
    options: tuple[str, ...] = ()  # parameters passed in `sim_options` and `bsl_options`
    fixed: tuple[tuple[str, Any], ...] = ()  # arguments that are always passed and do not affect results

    @property
    def module_name(self) -> str:
        """Full name of the module that defines the class."""
        return f"marquee.algorithms.{self.class_path.split('.')[0]}"

    @property
    def class_name(self) -> str:
        """Name of the class."""
        return self.class_path.split(".")[1]

    @cached_property
    def algorithm_class(self) -> "type[Algorithm]":
        """The class. The first access imports its module and loads its compiled kernels."""
        algorithm_class: type[Algorithm] = getattr(import_module(self.module_name), self.class_name)
        return algorithm_class

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of all parameters that a search may set."""
        excluded = NOT_SEARCHABLE | dict(self.fixed).keys()
        arguments = inspect.signature(self.algorithm_class).parameters
        return (*(name for name in arguments if name not in excluded), *self.options)

    def create(self, parameters: Parameters, seed: int) -> "Algorithm":
        """Create an unfitted algorithm; parameters that are not given keep their default values.

        Raises:
            ConfigError: the algorithm has no such parameter.
        """
        self.check_parameter_names(parameters)
        arguments = {key: value for key, value in parameters.items() if key not in self.options}
        if "random_state" in inspect.signature(self.algorithm_class).parameters:
            arguments["random_state"] = seed
        return self.algorithm_class(**arguments, **dict(self.fixed), **self._nest_options(parameters))

    def are_defaults(self, parameters: Parameters) -> bool:
        """Return True if all parameters have the default values of the constructor."""
        arguments = inspect.signature(self.algorithm_class).parameters
        return all(key in arguments and arguments[key].default == value for key, value in parameters.items())

    def check_parameter_names(self, names: Iterable[str]) -> None:
        """Check that the algorithm has these parameters.

        Raises:
            ConfigError: a parameter is unknown; the message suggests the closest known one.
        """
        for name in names:
            if name not in self.parameter_names:
                raise ConfigError(
                    f"{self.name} has no parameter '{name}'{_suggestion(name, self.parameter_names)} "
                    f"(it has: {', '.join(self.parameter_names) or 'none'})"
                )

    def _nest_options(self, parameters: Parameters) -> dict[str, Any]:
        """Return Surprise's arguments `sim_options` and `bsl_options`, without those that are empty."""
        options = {key: value for key, value in parameters.items() if key in self.options}
        nested = {
            "sim_options": {SIMILARITY_OPTIONS[k]: v for k, v in options.items() if k in SIMILARITY_OPTIONS},
            "bsl_options": {k: v for k, v in options.items() if k in BASELINE_OPTIONS},
        }
        return {argument: values for argument, values in nested.items() if values}


REGISTRY: dict[str, AlgorithmEntry] = {
    entry.name: entry
    for entry in (
        AlgorithmEntry("svd", "SVD", "svd.SVD"),
        AlgorithmEntry("pmf", "PMF", "svd.PMF"),
        AlgorithmEntry("svdpp", "SVD++", "svd.SVDpp"),
        AlgorithmEntry("bayesian_mf", "Bayesian MF", "bayesian.BayesianMF"),
        AlgorithmEntry("nmf", "NMF", "nmf.NMF"),
        AlgorithmEntry("slope_one", "Slope One", "slope_one.SlopeOne"),
        AlgorithmEntry("knn_basic", "k-NN", "knn.KNNBasic", KNN_OPTIONS, QUIET),
        AlgorithmEntry("knn_with_means", "Centered k-NN", "knn.KNNWithMeans", KNN_OPTIONS, QUIET),
        AlgorithmEntry("knn_with_z_score", "z-score k-NN", "knn.KNNWithZScore", KNN_OPTIONS, QUIET),
        AlgorithmEntry("knn_baseline", "k-NN Baseline", "knn.KNNBaseline", KNN_OPTIONS, QUIET),
        AlgorithmEntry("co_clustering", "Co-Clustering", "co_clustering.CoClustering"),
        AlgorithmEntry("baseline_only", "Baseline", "baseline_only.BaselineOnly", BASELINE_OPTIONS, QUIET),
        AlgorithmEntry("normal_predictor", "Random", "normal_predictor.NormalPredictor"),
        AlgorithmEntry("popularity", "Popularity", "popularity.Popularity"),
        AlgorithmEntry("ease", "EASE", "ease.EASE"),
        AlgorithmEntry("ials", "iALS", "ials.IALS"),
        AlgorithmEntry("bpr", "BPR", "bpr.BPR"),
        AlgorithmEntry("edlae", "EDLAE", "edlae.EDLAE"),
        AlgorithmEntry("slim", "SLIM", "slim.SLIM"),
        AlgorithmEntry("item_knn", "Item k-NN", "item_knn.ItemKNN"),
        AlgorithmEntry("user_knn", "User k-NN", "user_knn.UserKNN"),
        AlgorithmEntry("rp3beta", "RP3beta", "rp3beta.RP3beta"),
        AlgorithmEntry(BLEND, "Blend", "blend.Blend"),
        AlgorithmEntry("implicit_als", "Implicit ALS", "implicit_feedback.ImplicitALS"),
        AlgorithmEntry("implicit_bpr", "Implicit BPR", "implicit_feedback.ImplicitBPR"),
    )
}


def find_algorithm(name: str) -> AlgorithmEntry:
    """Return the registry entry of an algorithm.

    Raises:
        ConfigError: the registry has no such name; the message suggests the closest one.
    """
    try:
        return REGISTRY[name]
    except KeyError:
        raise ConfigError(
            f"unknown algorithm '{name}'{_suggestion(name, tuple(REGISTRY))} "
            f"(expected one of {', '.join(REGISTRY)})"
        ) from None


def _suggestion(name: str, names: tuple[str, ...]) -> str:
    closest = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean '{closest[0]}'?" if closest else ""
