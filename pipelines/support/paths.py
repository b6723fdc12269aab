"""Paths of all stage outputs and of the local state, relative to the project directory."""

from pathlib import Path

# Outputs of stages, as in dvc.yaml.
RAW = Path("data/raw")
SOURCE = Path("data/source.json")
INGESTED_INTERACTIONS = Path("data/ingested/interactions.parquet")
INGESTED_ITEMS = Path("data/ingested/items.parquet")
INTERACTIONS = Path("data/interactions.parquet")
FEEDBACK = Path("data/feedback.json")
ITEMS = Path("data/items.parquet")
QUARANTINE = Path("data/quarantine.csv")
VALIDATION = Path("results/validation.json")
TRAIN_ROWS = Path("data/split/rows.parquet")  # not aggregated, with the validation part of each row
TRAIN = Path("data/split/train.parquet")
TEST = Path("data/split/test.parquet")
TEST_REPEATS = Path("data/split/repeats.parquet")  # test pairs that the user has a training row of
TEST_HISTORY = Path("data/split/history.parquet")  # first interactions of users who are new in the test part
FOLDS = Path("data/split/folds.npy")  # explicit feedback only
SPLIT = Path("data/split/split.json")
SEARCH = Path("results/search.json")
USER_SCORES = Path("results/user_scores.npz")  # of every trial, by user and validation part
CANDIDATE_METRICS = Path("results/candidate_metrics.json")
SELECTION = Path("results/selection.json")
ALGORITHM_STATE = Path("models/algorithm_state")  # fitted on the training set
EVALUATION = Path("results/evaluation.json")
HEADLINE = Path("results/headline.json")  # the figures that `dvc metrics show` prints
REFITTED_STATE = Path("models/refitted_state")  # fitted on all interactions
FITTED_MODEL = Path("models/fitted_model")
SVD_MODEL = Path("models/svd_model")  # the best SVD as a fitted model; empty if there is none
REGISTERED_MODEL = Path("models/registered.json")
BENTO = Path("models/bento.json")
RECORDED_RUN = Path("results/recorded.json")

REPORT = Path("reports/search.html")  # contains times, so it cannot be the output of a stage
FIGURES = Path("reports/figures")

LOCAL_STATE = Path(".marquee")  # state of this clone, which is neither versioned nor shared
TIMINGS = LOCAL_STATE / "timings.json"
LAST_BENTO = LOCAL_STATE / "packaged.json"
CHAMPION_SCORE = LOCAL_STATE / "champion.json"
TEST_LOOKS = LOCAL_STATE / "test_looks.json"  # choices that were scored on each test set
STACK_FOLDER = LOCAL_STATE / "run"  # ports, sockets, logs and rollout journals of `marquee up`
EVENTS = Path("events")  # default of --events

# Names of files in LOCAL_STATE and of artifacts of MLflow runs.
TRIAL_COSTS = "costs.json"
MEASURED_COSTS = "measured_costs.json"
