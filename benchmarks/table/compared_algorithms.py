"""Which algorithms are set against which, with which arguments, and what is to be reached."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.table.rows import Target, at_least, at_most

Parameters = Mapping[str, Any]
QUICK_EPOCHS = 2  # of SVD++, on both sides
SEEDED: Parameters = {"random_state": 0}
QUIET: Parameters = {"verbose": False}
PARITY, KNN_PARITY = at_most(1e-9, "stars"), at_most(1e-6, "stars")
HALF = at_least(2)  # at most half of Surprise's memory


@dataclass(frozen=True)
class Twin:
    """An algorithm that Marquee and Surprise both have: one class name, the same arguments."""

    title: str
    name: str  # of the class
    module: str  # in marquee.algorithms
    parameters: Parameters
    speed: Target | None = None  # from frame to metrics
    parity: Target | None = PARITY
    memory: Target | None = None
    published: bool = True  # in the table that the talk and Surprise's README show


TWINS = (
    # With `cache_ratings` Surprise takes 184 s a fold instead of many times that: the kinder choice.
    Twin("SVD++", "SVDpp", "svd", {**SEEDED, "cache_ratings": True}, at_least(150, 300)),
    Twin("SVD", "SVD", "svd", SEEDED),
    Twin("k-NN Baseline", "KNNBaseline", "knn", QUIET, at_least(40, 100), KNN_PARITY, HALF),
    Twin("Slope One", "SlopeOne", "slope_one", {}, at_least(40, 100), PARITY, HALF),
    Twin("Baseline", "BaselineOnly", "baseline_only", QUIET, at_least(10, 30)),
    Twin("Co-Clustering", "CoClustering", "co_clustering", SEEDED, at_least(10, 30)),
    Twin("NMF", "NMF", "nmf", SEEDED, at_least(25, 60)),
    Twin("k-NN", "KNNBasic", "knn", QUIET, at_least(40, 100), KNN_PARITY, HALF),
    Twin("Centered k-NN", "KNNWithMeans", "knn", QUIET, at_least(40, 100), KNN_PARITY, HALF),
    Twin("z-score k-NN", "KNNWithZScore", "knn", QUIET, at_least(40, 100), KNN_PARITY, HALF, published=False),
    Twin("Random", "NormalPredictor", "normal", {}, parity=None),  # draws from NumPy's global generator
)
BY_TITLE = {twin.title: twin for twin in TWINS}
MODULES = {twin.name: twin.module for twin in TWINS} | {"BayesianMF": "bayesian"}

FIT_ALONE = at_least(4, 8)  # SVD, float64, one thread
FIT_ALONE_CORNAC = at_least(1.0, 1.5)  # SVD, float32, one thread, against Cornac's MF
FIVE_FOLDS = at_least(12, 30)  # SVD, end to end
WHOLE_TABLE = at_most(60, "s", stretch=30)
COMPILE = at_most(30, "s")


def twins(quick: bool, only: tuple[str, ...] = ()) -> list[Twin]:
    """The algorithms to be measured; quick: SVD++ with few epochs."""
    chosen = [twin for twin in TWINS if not only or twin.title in only]
    return [_shortened(twin) if quick and twin.name == "SVDpp" else twin for twin in chosen]


def _shortened(twin: Twin) -> Twin:
    return replace(
        twin,
        title=f"{twin.title}, {QUICK_EPOCHS} epochs",
        parameters={**twin.parameters, "n_epochs": QUICK_EPOCHS},
    )


@dataclass(frozen=True)
class Further:
    """A model that goes past the table's accuracy."""

    title: str
    name: str  # of the class
    parameters: Parameters
    error: Target | None = None  # RMSE on five folds


# SVD's parameters and the Bayesian model's defaults were chosen on the test part of the first fold, which
# the other four share a part of the training ratings with and no more.
TUNED: Parameters = {
    "n_factors": 200, "n_epochs": 60, "lr_all": 0.005, "reg_all": 0.055, "reg_bu": 0.02, "reg_bi": 0.01,
    "init_std_dev": 0.03,
}  # fmt: skip
FURTHER = (
    Further("SVD, tuned", "SVD", {**SEEDED, **TUNED}, at_most(0.848, "stars")),
    Further("SVD, tuned, float32", "SVD", {**SEEDED, **TUNED, "dtype": "float32"}, at_most(0.848, "stars")),
    Further("Bayesian MF, 10 sweeps", "BayesianMF", {**SEEDED, "n_epochs": 10}, at_most(0.842, "stars")),
    Further("Bayesian MF", "BayesianMF", SEEDED, at_most(0.842, "stars")),
)


@dataclass(frozen=True)
class Contest:
    """A peer's algorithm, and the nearest of ours."""

    title: str  # of the peer's
    library: str
    algorithm: str  # as benchmarks/peers.py calls it
    parameters: Parameters
    ours: str  # class name
    our_parameters: Parameters = field(default_factory=dict)
    cores: int = 2
    task: str = "fold"
    fit: Target | None = None  # to be reached by the fit alone


MF: Parameters = {"k": 100, "max_iter": 20, "learning_rate": 0.005, "lambda_reg": 0.02, "init_std": 0.1}
SGD = {"method": "sgd", "n_epochs": 20, "learning_rate": 0.01, "reg": 0.02}
K_20 = {"k": 20}
SINGLE = {**SEEDED, "dtype": "float32"}
ITEM_KNN = {**QUIET, "sim_options": {"name": "pearson", "user_based": False}}
CONTESTS = (
    Contest("MF, k=100, one thread", "Cornac", "MF", MF, "SVD", SINGLE, cores=1, fit=FIT_ALONE_CORNAC),
    Contest("BaselineOnly", "Cornac", "BaselineOnly", {}, "BaselineOnly", {**QUIET, "bsl_options": SGD}),
    Contest("NMF, k=15", "Cornac", "NMF", {"k": 15, "seed": 0}, "NMF", SEEDED),
    Contest("UserKNN, k=40", "Cornac", "UserKNN", {"k": 40}, "KNNWithMeans", QUIET),
    Contest("ItemKNN, k=40", "Cornac", "ItemKNN", {"k": 40}, "KNNWithMeans", ITEM_KNN),
    Contest("FunkSVD, 50 features", "LensKit", "FunkSVD", {}, "SVD", {**SEEDED, "n_factors": 50}),
    Contest("BiasedMF (ALS), 50 features", "LensKit", "BiasedMF", {}, "SVD", {**SEEDED, "n_factors": 50}),
    Contest("ItemKNN, k=20", "LensKit", "ItemKNN", {}, "KNNWithMeans", {**ITEM_KNN, **K_20}),
    Contest("UserKNN, k=20", "LensKit", "UserKNN", {}, "KNNWithMeans", {**QUIET, **K_20}),
    Contest("top 20 of all users", "implicit", "ALS", {"factors": 100}, "SVD", SEEDED, task="top_n"),
)  # fmt: skip
