"""ValueColumns: ratings if the source has them, else weights and events; the reader reads only these."""

from pathlib import Path
from typing import Any

import pytest

from experiments.config import load_params
from experiments.config.offline import DataParams
from experiments.datasets.interactions_reader import choose_table_formats, read_interactions
from experiments.datasets.value_columns import ValueColumns, choose_value_columns
from marquee.errors import ConfigError
from marquee.interactions.feedback import FeedbackSetting

ROOT = Path(__file__).parents[3]
EVENT = {"column": "kind", "weights": {"view": 1, "buy": 5}}


def data_params(source: str = "file", columns: dict[str, Any] | None = None, **file: Any) -> DataParams:
    data = load_params(ROOT / "params.yaml").data.model_dump()
    names = {"user": "u", "item": "i"} | (columns or {})
    return DataParams.model_validate(
        data | {"source": source, "file": data["file"] | {"columns": names} | file}
    )


def chosen_columns(feedback: FeedbackSetting = "auto", **columns: Any) -> ValueColumns:
    return choose_value_columns(data_params(columns=columns), feedback)


@pytest.mark.parametrize(
    ("columns", "read", "description"),
    [
        ({}, {}, "every row counts 1"),
        ({"weight": "plays"}, {"weight": "plays"}, "weights are column plays"),
        (
            {"event": EVENT},
            {"event": "kind"},
            "weights are those of the events in column kind (view 1, buy 5)",
        ),
        (
            {"event": EVENT, "weight": "n"},
            {"weight": "n", "event": "kind"},
            "weights are column n times those of the events in column kind (view 1, buy 5)",
        ),
    ],
)
def test_without_ratings_weights_are_read(
    columns: dict[str, Any], read: dict[str, str], description: str
) -> None:
    chosen = chosen_columns(**columns)
    assert (chosen.columns, chosen.description, chosen.unused) == (read, description, None)
    assert chosen.event_weights == (EVENT["weights"] if "event" in columns else {})


def test_ratings_are_used_before_weights_and_the_output_says_so() -> None:
    chosen = chosen_columns(rating="stars", weight="plays", event=EVENT)
    assert chosen.columns == {"rating": "stars"}
    assert chosen.unused == (
        "ratings are used, column plays and column kind not: "
        "set data.file.columns.rating to null to use weights"
    )


def test_ratings_are_not_read_if_feedback_is_implicit() -> None:
    chosen = chosen_columns("implicit", rating="stars")
    assert (chosen.columns, chosen.description) == ({}, "every row counts 1")
    assert chosen.unused == "ratings are not used, as interactions.feedback is implicit"


def test_explicit_feedback_requires_ratings() -> None:
    with pytest.raises(ConfigError, match=r"feedback is explicit, but data\.file\.columns\.rating is null"):
        chosen_columns("explicit", weight="plays")


@pytest.mark.parametrize("source", ["demo", "ml-100k", "ml-25m"])
@pytest.mark.parametrize(("feedback", "columns"), [("auto", {"rating"}), ("implicit", set())])
def test_built_in_sources_have_ratings_unless_feedback_is_implicit(
    source: str, feedback: FeedbackSetting, columns: set[str]
) -> None:
    data = data_params(source)
    chosen = choose_value_columns(data, feedback)
    assert set(chosen.columns) == columns
    formats = choose_table_formats(data, chosen)
    assert set(formats.interactions.columns) == {"user", "item", "timestamp", *columns}


def read(folder: Path, content: str, **file: Any) -> list[tuple[Any, ...]]:
    """Return line, user, item, weight, event and timestamp of each row of an events table."""
    columns = {
        "user": 1,
        "item": 2,
        "weight": 4,
        "event": {"column": 3, "weights": {"play": 1}},
        "timestamp": 5,
    }
    data = data_params(columns=columns, header=False, **file)
    path = folder / "plays.csv"
    path.write_text(content)
    formats = choose_table_formats(data, choose_value_columns(data, "auto"))
    names = ("line", "user", "item", "weight", "event", "timestamp")
    return [
        tuple(row[name] for name in names)
        for row in read_interactions(path, formats.interactions).to_pylist()
    ]


def test_table_without_header_has_column_numbers(tmp_path: Path) -> None:
    content = '7,"Sid Meier\'s Civilization V",purchase,1.0,5\n7,"A ""B"", C", play ,2.5,6\n'
    assert read(tmp_path, content) == [
        (1, "7", "Sid Meier's Civilization V", 1.0, "purchase", 5.0),
        (2, "7", 'A "B", C', 2.5, "play", 6.0),
    ]


def test_unreadable_weight_keeps_the_text_of_its_row(tmp_path: Path) -> None:
    data = data_params(columns={"weight": "n"})
    path = tmp_path / "plays.csv"
    path.write_text("u,i,n\na,x,3\na,y,many\na,z,\n")
    formats = choose_table_formats(data, choose_value_columns(data, "auto"))
    rows = read_interactions(path, formats.interactions).to_pylist()
    assert [(row["weight"], row["weight_text"], row["raw"]) for row in rows] == [
        (3.0, None, None),
        (None, "many", "a,y,many"),
        (None, None, "a,z,"),
    ]


@pytest.mark.parametrize(("unit", "seconds"), [("s", 1500.0), ("ms", 1.5), ("us", 0.0015), ("ns", 1.5e-6)])
def test_timestamps_are_converted_from_their_unit(tmp_path: Path, unit: str, seconds: float) -> None:
    assert read(tmp_path, "a,x,play,1,1500\n", timestamp_unit=unit)[0][-1] == pytest.approx(seconds)
