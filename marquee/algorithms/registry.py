"""The candidates by name: which class, which parameters, and how one is made.

This is the seam between the search and the algorithms: a candidate is a class with
scikit-surprise's interface, and nothing outside this package knows which class it is.
To add one, write the class, add its line here, and export it in `__init__.py`.
"""

import difflib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from marquee.errors import ConfigError

if TYPE_CHECKING:
    from marquee.algorithms.base import Algorithm

Parameters = Mapping[str, Any]

# Surprise nests these in dictionaries; a search space is flat.
SIMILARITY_OPTIONS = {
    "similarity": "name",
    "user_based": "user_based",
    "min_support": "min_support",
    "shrinkage": "shrinkage",
}
ALS_OPTIONS = ("method", "n_epochs", "reg_u", "reg_i")
SGD_OPTIONS = ("method", "n_epochs", "reg", "learning_rate")
BASELINE_OPTIONS = tuple(dict.fromkeys(ALS_OPTIONS + SGD_OPTIONS))
NOT_SEARCHED = {"self", "kwargs", "verbose", "random_state", "sim_options", "bsl_options"}


@dataclass(frozen=True)
class Candidate:
    """One algorithm of the catalogue."""

    name: str
    title: str
    home: str  # the module in marquee.algorithms and the class in it
    options: tuple[str, ...] = ()  # accepted beside the constructor's own arguments
    fixed: tuple[tuple[str, Any], ...] = ()  # always passed; changes speed, never the result

    @cached_property
    def factory(self) -> "type[Algorithm]":
        """Its class. Its module, and what that compiles and loads, is imported when this is asked for."""
        module, name = self.home.split(".")
        found: type[Algorithm] = getattr(import_module(f"marquee.algorithms.{module}"), name)
        return found

    @property
    def parameters(self) -> tuple[str, ...]:
        """Every parameter a search may set."""
        own = inspect.signature(self.factory).parameters
        fixed = {name for name, _ in self.fixed}
        return (*(name for name in own if name not in NOT_SEARCHED | fixed), *self.options)

    def make(self, parameters: Parameters, seed: int) -> "Algorithm":
        """The algorithm with these parameters; those left out keep Surprise's defaults.

        Raises:
            ConfigError: the algorithm has no such parameter.
        """
        self.check(parameters)
        arguments = {key: value for key, value in parameters.items() if key not in self.options}
        if "random_state" in inspect.signature(self.factory).parameters:
            arguments["random_state"] = seed
        return self.factory(**arguments, **dict(self.fixed), **self._nested(parameters))

    def is_default(self, parameters: Parameters) -> bool:
        """Whether these are, as far as its constructor tells, what it has where none are given."""
        own = inspect.signature(self.factory).parameters
        return all(key in own and own[key].default == value for key, value in parameters.items())

    def check(self, names: Parameters) -> None:
        """Refuse a parameter that the algorithm does not have, naming the nearest that it has."""
        for name in names:
            if name not in self.parameters:
                raise ConfigError(
                    f"{self.name} has no parameter '{name}'{_hint(name, self.parameters)} (it has: "
                    f"{', '.join(self.parameters) or 'none'})"
                )

    def _nested(self, parameters: Parameters) -> dict[str, Any]:
        """Surprise's `sim_options` and `bsl_options`."""
        nested: dict[str, Any] = {}
        options = {key: value for key, value in parameters.items() if key in self.options}
        similarity = {SIMILARITY_OPTIONS[k]: v for k, v in options.items() if k in SIMILARITY_OPTIONS}
        baseline = {k: v for k, v in options.items() if k in BASELINE_OPTIONS}
        if similarity:
            nested["sim_options"] = similarity
        if baseline:
            nested["bsl_options"] = baseline
        return nested


def _hint(name: str, known: tuple[str, ...]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean '{nearest[0]}'?" if nearest else ""


NEIGHBOURS = (*SIMILARITY_OPTIONS, *BASELINE_OPTIONS)
QUIET = (("verbose", False),)

CATALOGUE: dict[str, Candidate] = {
    candidate.name: candidate
    for candidate in (
        Candidate("svd", "SVD", "svd.SVD"),
        Candidate("pmf", "PMF", "svd.PMF"),
        Candidate("svdpp", "SVD++", "svd.SVDpp"),
        Candidate("bayesian_mf", "Bayesian MF", "bayesian.BayesianMF"),
        Candidate("nmf", "NMF", "nmf.NMF"),
        Candidate("slope_one", "Slope One", "slope_one.SlopeOne"),
        Candidate("knn_basic", "k-NN", "knn.KNNBasic", NEIGHBOURS, QUIET),
        Candidate("knn_with_means", "Centered k-NN", "knn.KNNWithMeans", NEIGHBOURS, QUIET),
        Candidate("knn_with_z_score", "z-score k-NN", "knn.KNNWithZScore", NEIGHBOURS, QUIET),
        Candidate("knn_baseline", "k-NN Baseline", "knn.KNNBaseline", NEIGHBOURS, QUIET),
        Candidate("co_clustering", "Co-Clustering", "co_clustering.CoClustering"),
        Candidate("baseline_only", "Baseline", "baseline_only.BaselineOnly", BASELINE_OPTIONS, QUIET),
        Candidate("normal_predictor", "Random", "normal_predictor.NormalPredictor"),
        Candidate("popularity", "Popularity", "popularity.Popularity"),
        Candidate("ease", "EASE", "ease.EASE"),
        Candidate("implicit_als", "Implicit ALS", "implicit_feedback.ImplicitALS"),
        Candidate("implicit_bpr", "Implicit BPR", "implicit_feedback.ImplicitBPR"),
    )
}


def candidate(name: str) -> Candidate:
    """The candidate of that name.

    Raises:
        ConfigError: the catalogue has no such name.
    """
    try:
        return CATALOGUE[name]
    except KeyError:
        raise ConfigError(
            f"there is no algorithm '{name}'{_hint(name, tuple(CATALOGUE))} "
            f"(there are: {', '.join(CATALOGUE)})"
        ) from None
