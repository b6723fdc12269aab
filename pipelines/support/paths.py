"""Where every stage's artefacts lie: the one place that knows the file names in dvc.yaml."""

from pathlib import Path

RAW = Path("data/raw")
SOURCE = Path("data/source.json")
INGESTED_RATINGS = Path("data/ingested/ratings.parquet")
INGESTED_ITEMS = Path("data/ingested/items.parquet")
RATINGS = Path("data/ratings.parquet")
ITEMS = Path("data/items.parquet")
QUARANTINE = Path("data/quarantine.csv")
VALIDATION = Path("results/validation.json")
TRAIN = Path("data/split/train.parquet")
TEST = Path("data/split/test.parquet")
FOLDS = Path("data/split/folds.npy")
SPLIT = Path("results/split.json")
SEARCH = Path("results/search.json")
MEASURES = Path("results/measures.json")
HEADLINE = Path("results/headline.json")
CHOICE = Path("results/choice.json")
FIT = Path("models/fit")
EVALUATION = Path("results/evaluation.json")
FITTED = Path("models/fitted")
REGISTERED = Path("models/registered.json")
BENTO = Path("models/bento.json")
RECORDED = Path("results/recorded.json")

REPORT = Path("reports/search.html")  # times are in it, so it is no output of a stage
FIGURES = Path("reports/figures")

STATE = Path(".marquee")  # what this clone alone knows: times, costs, champion, last Bento; never versioned
TIMINGS = STATE / "timings.json"
COSTS, MEASURED_COSTS = "costs.json", "measured_costs.json"  # in STATE, and artefacts of the search's run
PACKAGED = STATE / "packaged.json"
CHAMPION = STATE / "champion.json"
RUN = STATE / "run"  # of the stack that `marquee up` starts: ports, sockets, logs, journals of rollouts
EVENTS = Path("events")
