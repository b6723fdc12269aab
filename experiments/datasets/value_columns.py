"""Value columns of a source: ratings, or weights and events, which say how much a user likes an item."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from experiments.config.offline import DataParams, InteractionColumnNames
from experiments.datasets.movielens import RELEASES
from marquee.errors import ConfigError
from marquee.interactions.columns import RATING, WEIGHT
from marquee.interactions.feedback import EVERY_ROW_COUNTS_ONE, FeedbackSetting
from marquee.interactions.raw_table_columns import EVENT


@dataclass(frozen=True)
class ValueColumns:
    """Columns that are read, and the weight of each event type.

    Attributes:
        columns: names in the file, by raw column name: the rating; or the weight, the event, both or neither.
        description: the values in words, as a clause of a sentence.
        event_weights: weight of a row by its event type; empty if the source has no events.
        unused: columns of params.yaml that are not read, in words; None if all are.
    """

    columns: Mapping[str, str]
    description: str
    event_weights: Mapping[str, float] = field(default_factory=dict)
    unused: str | None = None


def choose_value_columns(data: DataParams, feedback: FeedbackSetting) -> ValueColumns:
    """Choose the ratings if the source has them and `feedback` is not "implicit", else the weights.

    Raises:
        ConfigError: feedback is "explicit" and the source has no ratings.
    """
    names = data.file.columns if data.source == "file" else _built_in_columns(data)
    if names.rating is not None and feedback != "implicit":
        return ValueColumns({RATING: names.rating}, "the source has ratings", unused=_unused_weights(names))
    if feedback == "explicit":
        raise ConfigError(
            "interactions.feedback is explicit, but data.file.columns.rating is null; set it to the name of "
            "the rating column"
        )
    return _weights_and_events(names)


def _built_in_columns(data: DataParams) -> InteractionColumnNames:
    """Return the columns of the demo or of a MovieLens release."""
    if data.source == "demo":
        return InteractionColumnNames(user="user", item="item", rating="rating", timestamp="timestamp")
    return InteractionColumnNames.model_validate(RELEASES[data.source].interactions.columns)


def _weights_and_events(names: InteractionColumnNames) -> ValueColumns:
    columns = {} if names.weight is None else {WEIGHT: names.weight}
    weights: Mapping[str, float] = {}
    if names.event is not None:
        columns[EVENT] = names.event.column
        weights = names.event.weights
    unused = None if names.rating is None else "ratings are not used, as interactions.feedback is implicit"
    return ValueColumns(columns, _describe_weights(names), weights, unused)


def _describe_weights(names: InteractionColumnNames) -> str:
    if names.event is None:
        return EVERY_ROW_COUNTS_ONE if names.weight is None else f"weights are column {names.weight}"
    weights = ", ".join(f"{event} {weight:g}" for event, weight in names.event.weights.items())
    by_event = f"those of the events in column {names.event.column} ({weights})"
    return f"weights are {by_event if names.weight is None else f'column {names.weight} times {by_event}'}"


def _unused_weights(names: InteractionColumnNames) -> str | None:
    """Return which columns are not read because ratings are; None if there are no such columns."""
    event = None if names.event is None else names.event.column
    columns = [f"column {name}" for name in (names.weight, event) if name is not None]
    if not columns:
        return None
    return (
        f"ratings are used, {' and '.join(columns)} not: set data.file.columns.rating to null to use weights"
    )
