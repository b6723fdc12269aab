"""params.yaml: typed, frozen, and strict about its keys."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from experiments.config.offline import load_params
from marquee.errors import ConfigError

ROOT = Path(__file__).parents[3]
Change = Callable[[dict[str, Any]], object]


def refusal(tmp_path: Path, change: Change) -> str:
    tree = yaml.safe_load((ROOT / "params.yaml").read_text())
    change(tree)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree))
    with pytest.raises(ConfigError) as caught:
        load_params(tmp_path / "params.yaml")
    message = str(caught.value).replace(f"{tmp_path}/", "")
    assert "\n" not in message
    return message


def test_the_shipped_params_are_understood() -> None:
    params = load_params(ROOT / "params.yaml")
    assert params.data.source == "demo"
    assert params.search.candidates["slope_one"] == {}


def test_params_cannot_be_changed_by_the_code() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_params(ROOT / "params.yaml").seed = 7  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t["search"].update(smapler="grid"),
            "unknown key 'search.smapler'; did you mean 'sampler'?",
        ),
        (lambda t: t.update(serach={}), "unknown key 'serach'; did you mean 'search'?"),
        (
            lambda t: t["data"]["demo"].update(n_rating=1),
            "unknown key 'data.demo.n_rating'; did you mean 'n_ratings'?",
        ),
        (lambda t: t["data"]["file"]["columns"].update(stars="x"), "unknown key 'data.file.columns.stars'"),
        (lambda t: t.pop("seed"), "key 'seed' is missing"),
        (
            lambda t: t["split"].update(folds=1),
            "split.folds: Input should be greater than or equal to 2, got 1",
        ),
        (
            lambda t: t["split"].update(test_share=0),
            "split.test_share: Input should be greater than 0, got 0",
        ),
        (lambda t: t["data"].update(source="ml-2m"), "data.source: Input should be 'demo', 'ml-100k'"),
        (
            lambda t: t["data"]["file"].update(scale=[5, 1]),
            "data.file: scale is [lowest, highest], not [5.0, 1.0]",
        ),
        (lambda t: t["data"]["demo"].update(step=0.25), "data.demo.step"),
        (
            lambda t: t["search"]["candidates"]["svd"].update(lr_all={"low": 0.1, "high": 0.2}),
            "search: svd.lr_all is a range, and a grid needs a list of values",
        ),
        (
            lambda t: t["search"]["candidates"]["svd"].update(lr_all={"low": 0, "high": 1, "log": True}),
            "a log range starts above 0, not at 0",
        ),
        (lambda t: t["package"].update(bento="No Spaces"), "package.bento"),
    ],
)
def test_a_wrong_key_or_value_is_one_line_that_names_it(tmp_path: Path, change: Change, message: str) -> None:
    assert message in refusal(tmp_path, change)


def test_a_missing_file_says_where_to_run_from(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="run from the project's folder"):
        load_params(tmp_path / "params.yaml")


def test_broken_yaml_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("seed: [1\nx: {")
    with pytest.raises(ConfigError, match=r"is not YAML") as caught:
        load_params(tmp_path / "params.yaml")
    assert "\n" not in str(caught.value)
