"""Algorithms to compare, their arguments, and the targets."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.table.comparisons import Target, max_value, min_ratio

Parameters = Mapping[str, Any]
QUICK_EPOCHS = 2  # of SVD++ with --quick, on both sides
SEEDED: Parameters = {"random_state": 0}
QUIET: Parameters = {"verbose": False}
SAME_NUMBERS, SAME_KNN_NUMBERS = max_value(1e-9, "stars"), max_value(1e-6, "stars")
HALF_THE_MEMORY = min_ratio(2)


@dataclass(frozen=True)
class TwinSpec:
    """Algorithm of Surprise and its twin in Marquee, with the same class name and arguments."""

    title: str
    class_name: str
    parameters: Parameters
    speedup: Target | None = None  # end to end, from the ratings table to the metrics
    difference: Target | None = SAME_NUMBERS  # of the RMSE; None: the numbers are random
    memory: Target | None = None
    is_published: bool = True  # listed in the README of scikit-surprise


TWINS = (
    # Without `cache_ratings`, Surprise takes several times as long per fold.
    TwinSpec("SVD++", "SVDpp", {**SEEDED, "cache_ratings": True}, min_ratio(150, 300)),
    TwinSpec("SVD", "SVD", SEEDED),
    TwinSpec("k-NN Baseline", "KNNBaseline", QUIET, min_ratio(40, 100), SAME_KNN_NUMBERS, HALF_THE_MEMORY),
    TwinSpec("Slope One", "SlopeOne", {}, min_ratio(40, 100), SAME_NUMBERS, HALF_THE_MEMORY),
    TwinSpec("Baseline", "BaselineOnly", QUIET, min_ratio(10, 30)),
    TwinSpec("Co-Clustering", "CoClustering", SEEDED, min_ratio(10, 30)),
    TwinSpec("NMF", "NMF", SEEDED, min_ratio(25, 60)),
    TwinSpec("k-NN", "KNNBasic", QUIET, min_ratio(40, 100), SAME_KNN_NUMBERS, HALF_THE_MEMORY),
    TwinSpec("Centered k-NN", "KNNWithMeans", QUIET, min_ratio(40, 100), SAME_KNN_NUMBERS, HALF_THE_MEMORY),
    TwinSpec(
        "z-score k-NN", "KNNWithZScore", QUIET, min_ratio(40, 100), SAME_KNN_NUMBERS, HALF_THE_MEMORY,
        is_published=False,
    ),
    TwinSpec("Random", "NormalPredictor", {}, difference=None),
)  # fmt: skip
TWIN_TITLES = tuple(twin.title for twin in TWINS)

SVD_FIT_SPEEDUP = min_ratio(4, 8)  # float64, one thread
FIVE_FOLDS_SPEEDUP = min_ratio(12, 30)  # SVD, end to end
MAX_PUBLISHED_SECONDS = max_value(60, "s", stretch=30)
MAX_COMPILE_SECONDS = max_value(30, "s")


def select_twins(quick: bool, titles: tuple[str, ...] = ()) -> list[TwinSpec]:
    """Return the twins with these titles, or all without titles; with `quick`, SVD++ has few epochs."""
    twins = [twin for twin in TWINS if not titles or twin.title in titles]
    return [_shorten(twin) if quick and twin.class_name == "SVDpp" else twin for twin in twins]


def _shorten(twin: TwinSpec) -> TwinSpec:
    title = f"{twin.title}, {QUICK_EPOCHS} epochs"
    return replace(twin, title=title, parameters={**twin.parameters, "n_epochs": QUICK_EPOCHS})


@dataclass(frozen=True)
class ModelSpec:
    """Model of Marquee that is more accurate than the twins."""

    title: str
    class_name: str
    parameters: Parameters
    rmse: Target | None = None  # mean over five folds


# The parameters of SVD and the defaults of Bayesian MF were chosen on the test part of the first fold; its
# rows are among the training rows of the other four.
TUNED_SVD: Parameters = {
    **SEEDED, "n_factors": 200, "n_epochs": 60, "lr_all": 0.005, "reg_all": 0.055, "reg_bu": 0.02,
    "reg_bi": 0.01, "init_std_dev": 0.03,
}  # fmt: skip
ACCURATE_MODELS = (
    ModelSpec("SVD, tuned", "SVD", TUNED_SVD, max_value(0.848, "stars")),
    ModelSpec("SVD, tuned, float32", "SVD", {**TUNED_SVD, "dtype": "float32"}, max_value(0.848, "stars")),
    ModelSpec("Bayesian MF, 10 sweeps", "BayesianMF", {**SEEDED, "n_epochs": 10}, max_value(0.842, "stars")),
    ModelSpec("Bayesian MF", "BayesianMF", SEEDED, max_value(0.842, "stars")),
)


@dataclass(frozen=True)
class PeerSpec:
    """Algorithm of another library, and Marquee's most similar algorithm."""

    title: str  # of the peer's algorithm
    library: str
    algorithm: str  # name in `peer_job`
    parameters: Parameters
    marquee_class: str
    marquee_parameters: Parameters = field(default_factory=dict)
    n_cores: int = 2
    task: str = "fold"
    fit_speedup: Target | None = None


CORNAC_MF: Parameters = {
    "k": 100, "max_iter": 20, "learning_rate": 0.005, "lambda_reg": 0.02, "init_std": 0.1,
}  # fmt: skip
CORNAC_BASELINE = {"bsl_options": {"method": "sgd", "n_epochs": 20, "learning_rate": 0.01, "reg": 0.02}}
SVD_50 = {**SEEDED, "n_factors": 50}
ITEM_KNN = {**QUIET, "sim_options": {"name": "pearson", "user_based": False}}
PEERS = (
    PeerSpec(
        "MF, k=100, one thread", "Cornac", "MF", CORNAC_MF, "SVD", {**SEEDED, "dtype": "float32"},
        n_cores=1, fit_speedup=min_ratio(1.0, 1.5),
    ),
    PeerSpec("BaselineOnly", "Cornac", "BaselineOnly", {}, "BaselineOnly", {**QUIET, **CORNAC_BASELINE}),
    PeerSpec("NMF, k=15", "Cornac", "NMF", {"k": 15, "seed": 0}, "NMF", SEEDED),
    PeerSpec("UserKNN, k=40", "Cornac", "UserKNN", {"k": 40}, "KNNWithMeans", QUIET),
    PeerSpec("ItemKNN, k=40", "Cornac", "ItemKNN", {"k": 40}, "KNNWithMeans", ITEM_KNN),
    PeerSpec("FunkSVD, 50 features", "LensKit", "FunkSVD", {}, "SVD", SVD_50),
    PeerSpec("BiasedMF (ALS), 50 features", "LensKit", "BiasedMF", {}, "SVD", SVD_50),
    PeerSpec("ItemKNN, k=20", "LensKit", "ItemKNN", {}, "KNNWithMeans", {**ITEM_KNN, "k": 20}),
    PeerSpec("UserKNN, k=20", "LensKit", "UserKNN", {}, "KNNWithMeans", {**QUIET, "k": 20}),
    PeerSpec("top 20 of all users", "implicit", "ALS", {"factors": 100}, "SVD", SEEDED, task="top_n"),
)  # fmt: skip
