"""params.yaml is parsed into typed, immutable blocks; a one-line error says how to fix an invalid entry."""

from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from experiments.config import load_params
from experiments.config.offline import Metric
from experiments.evaluation.metric_names import HIGHER_IS_BETTER, LOWER_IS_BETTER, RATED_NDCG
from marquee.errors import ConfigError
from tests.support.params import ParamsChange, write_changed_params

ROOT = Path(__file__).parents[3]


def error_after_change(change: ParamsChange, folder: Path) -> str:
    """Change a copy of the project's params.yaml, and return the message with which loading it fails."""
    write_changed_params(folder / "params.yaml", change)
    return loading_error(folder / "params.yaml").replace(f"{folder}/", "")


def loading_error(path: Path) -> str:
    """Return the one-line message with which loading a file fails."""
    with pytest.raises(ConfigError) as caught:
        load_params(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_shipped_params_are_valid() -> None:
    params = load_params(ROOT / "params.yaml")
    assert params.data.source == "demo"
    assert params.search.candidates["slope_one"] == {}


def test_params_are_immutable() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_params(ROOT / "params.yaml").seed = 7  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda tree: tree["search"].update(smapler="grid"),
            "params.yaml: unknown key 'search.smapler'; did you mean 'sampler'?",
        ),
        (lambda tree: tree.update(serach={}), "unknown key 'serach'; did you mean 'search'?"),
        (
            lambda tree: tree.update(serach=tree.pop("search")),
            "unknown key 'serach'; did you mean 'search'? (and 1 more)",
        ),
        (
            lambda tree: tree["data"]["demo"].update(n_rating=1),
            "unknown key 'data.demo.n_rating'; did you mean 'n_ratings'?",
        ),
        (
            lambda tree: tree["data"]["file"]["columns"].update(stars="x"),
            "unknown key 'data.file.columns.stars'",
        ),
        (
            lambda tree: tree["data"]["file"]["item_columns"].update(genre="x"),
            "data.file.item_columns: unknown key 'genre'; did you mean 'genres'?",
        ),
        (
            lambda tree: tree["data"]["file"]["item_columns"].update(exclude="x"),
            "data.file.item_columns: an attribute must not be named 'exclude', which has another meaning",
        ),
        (
            lambda tree: tree["serving"].update(repeat_after=0),
            "serving.repeat_after must be greater than 0 (got 0)",
        ),
        (
            lambda tree: tree["canary"]["max_odds_ratio"].update(error=2),
            "unknown key 'canary.max_odds_ratio.error'; did you mean 'errors'?",
        ),
        (lambda tree: tree.pop("seed"), "key 'seed' is missing"),
        (
            lambda tree: tree["split"].update(folds=1),
            "split.folds must be greater than or equal to 2 (got 1)",
        ),
        (
            lambda tree: tree["split"].update(test_share=0),
            "split.test_share must be greater than 0 (got 0)",
        ),
        (
            lambda tree: tree["split"].update(test_share=0.25),
            "split.test_share must be less than or equal to 0.2 (got 0.25)",
        ),
        (
            lambda tree: tree["interactions"].update(repeats="first"),
            "interactions.repeats must be 'auto', 'last', 'mean', 'refuse', 'sum', 'count' or 'max'",
        ),
        (
            lambda tree: tree["data"]["file"]["columns"].update(
                event={"column": "e", "weights": {"view": 0}}
            ),
            "data.file.columns.event: weights must contain a positive weight (got {'view': 0.0})",
        ),
        (
            lambda tree: tree["data"]["file"]["columns"].update(
                event={"column": "e", "weights": {"view": 1, "buy": 1e300}}
            ),
            "data.file.columns.event.weights.buy must be less than or equal to 1000000 (got 1e+300)",
        ),
        (
            lambda tree: tree["data"]["file"]["columns"].update(event={"column": "e", "weight": {}}),
            "unknown key 'data.file.columns.event.weight'; did you mean 'weights'?",
        ),
        (
            lambda tree: tree["data"]["file"]["columns"].update(event="event"),
            "data.file.columns.event must be a mapping with the keys column, weights (got 'event')",
        ),
        (
            lambda tree: tree.update(split=3),
            "split must be a mapping with the keys strategy, test_share, repeat",
        ),
        (
            lambda tree: tree["data"]["file"]["columns"].update(
                event={"column": "e", "weights": {"view": "one"}}
            ),
            "data.file.columns.event.weights.view must be a number (got 'one')",
        ),
        (
            lambda tree: tree["data"]["file"]["columns"].update(event={"column": True, "weights": {"a": 1}}),
            "data.file.columns.event.column must be a string; write it in quotes (got True)",
        ),
        (
            lambda tree: tree["data"]["file"]["columns"].update(item="user"),
            "data.file.columns: user and item must be different columns (got 'user' twice)",
        ),
        (
            lambda tree: tree["data"]["file"].update(scale=[1, float("inf")]),
            "data.file.scale.1 must be a finite number (got inf)",
        ),
        (
            lambda tree: tree["measure"].update(relevance_threshold=float("nan")),
            "measure.relevance_threshold must be a finite number (got nan)",
        ),
        (lambda tree: tree["data"].update(source="ml-2m"), "data.source must be 'demo', 'ml-100k'"),
        (
            lambda tree: tree["select"].update(predictor_objective="rsme"),
            "select.predictor_objective must be 'rmse' or 'mae' (got 'rsme')",
        ),
        (
            lambda tree: tree["data"]["file"].update(scale=[5, 1]),
            "data.file: scale must be [lowest, highest] (got [5.0, 1.0])",
        ),
        (
            lambda tree: tree["data"]["demo"].update(step=0.25),
            "data.demo.step must be a multiple of 0.5 (got 0.25)",
        ),
        (
            lambda tree: tree["search"]["candidates"]["svd"].update(lr_all={"low": 0.1, "high": 0.2}),
            "search: sampler: grid requires a list of values for svd.lr_all (got a range;",
        ),
        (
            lambda tree: tree["search"]["candidates"]["svd"].update(lr_all={"low": 0.2, "high": 0.1}),
            "search.candidates.svd.lr_all: low must be less than high (got low=0.2, high=0.1)",
        ),
        (
            lambda tree: tree["search"]["candidates"]["svd"].update(
                lr_all={"low": 0, "high": 1, "log": True}
            ),
            "low must be greater than 0 on a log scale (got low=0)",
        ),
        (
            lambda tree: tree["search"]["candidates"]["svd"].update(lr_all=0.1),
            "search.candidates.svd.lr_all must be a list (got 0.1)",
        ),
        (
            lambda tree: tree["search"]["candidates"]["svd"].update(lr_all=[[0.1]]),
            "search.candidates.svd.lr_all.0 must be a number, a string, true, false or null (got [0.1])",
        ),
        (
            lambda tree: tree["package"].update(bento="No Spaces"),
            "package.bento must consist of lowercase letters, digits and '-._', "
            "with a letter or digit at both ends (got 'No Spaces')",
        ),
        (
            lambda tree: tree["register"].update(model="-x"),
            "register.model must consist of letters, digits, spaces",
        ),
        (
            lambda tree: tree["gateway"].update(slow_ms=400),
            "gateway: slow_ms must be less than timeout_ms (got slow_ms=400, timeout_ms=300)",
        ),
        (
            lambda tree: tree["canary"].update(steps=[0.5, 0.1, 1]),
            "canary: steps must increase from at least 0.0001 up to 1 (got [0.5, 0.1, 1.0])",
        ),
        (
            lambda tree: tree["canary"].update(hypothesis="non-inferiority"),
            "canary: hypothesis: non-inferiority requires a non_inferiority_margin greater than 0",
        ),
    ],
)
def test_invalid_key_or_value_is_named_in_one_line(
    tmp_path: Path, change: ParamsChange, message: str
) -> None:
    assert message in error_after_change(change, tmp_path)


def test_column_numbers_and_event_types_may_be_integers(tmp_path: Path) -> None:
    columns = {"user": 1, "item": 2, "event": {"column": 3, "weights": {0: 1, 1: 5.5}}}
    write_changed_params(tmp_path / "params.yaml", lambda tree: tree["data"]["file"].update(columns=columns))
    names = load_params(tmp_path / "params.yaml").data.file.columns
    assert (names.user, names.item, names.rating) == ("1", "2", None)
    assert names.event is not None
    assert (names.event.column, names.event.weights) == ("3", {"0": 1.0, "1": 5.5})


def test_missing_file_error_says_to_run_from_the_project_directory(tmp_path: Path) -> None:
    assert loading_error(tmp_path / "params.yaml").endswith(
        "params.yaml not found; run this command from the project directory"
    )


def test_invalid_yaml_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("seed: [1\nx: {")
    assert "is not valid YAML" in loading_error(tmp_path / "params.yaml")


def test_empty_file_is_reported_as_not_a_mapping(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("")
    assert "must be a mapping of block names to blocks (got None)" in loading_error(tmp_path / "params.yaml")


def test_search_metrics_are_those_with_a_direction() -> None:
    """All but the NDCG of rated items, which says nothing about lists."""
    assert {*get_args(Metric)} == {*LOWER_IS_BETTER, *HIGHER_IS_BETTER} - {RATED_NDCG}
