"""Evidence: which columns of a source say how much a user likes an item, ratings or weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from experiments.config.offline import DataParams, InteractionColumnNames
from experiments.datasets.movielens import RELEASES
from marquee.errors import ConfigError
from marquee.interactions.columns import RATING, WEIGHT
from marquee.interactions.feedback import EVERY_ROW_COUNTS_ONE, FeedbackSetting
from marquee.interactions.raw_columns import EVENT


@dataclass(frozen=True)
class Evidence:
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


def choose_evidence(data: DataParams, feedback: FeedbackSetting) -> Evidence:
    """Choose the ratings if the source has them and `feedback` is not "implicit", else the weights.

    Raises:
        ConfigError: feedback is "explicit" and the source has no ratings.
    """
    names = data.file.columns if data.source == "file" else _built_in_columns(data)
    if names.rating is not None and feedback != "implicit":
        unused = _weight_columns(names)
        return Evidence(
            {RATING: names.rating},
            "the source has ratings",
            unused=f"ratings are used, {unused} not: set data.file.columns.rating to null to use weights"
            if unused
            else None,
        )
    if feedback == "explicit":
        raise ConfigError(
            "interactions.feedback is explicit, but data.file.columns.rating is null; set it to the name of "
            "the rating column"
        )
    return _weight_evidence(names)


def _built_in_columns(data: DataParams) -> InteractionColumnNames:
    """Return the columns of the demo or of a MovieLens release."""
    if data.source == "demo":
        return InteractionColumnNames(user="user", item="item", rating="rating", timestamp="timestamp")
    return InteractionColumnNames.model_validate(RELEASES[data.source].interactions.columns)


def _weight_evidence(names: InteractionColumnNames) -> Evidence:
    columns = {} if names.weight is None else {WEIGHT: names.weight}
    weights: Mapping[str, float] = {}
    if names.event is not None:
        columns[EVENT] = names.event.column
        weights = names.event.weights
    unused = None if names.rating is None else "ratings are not used, as interactions.feedback is implicit"
    return Evidence(columns, _describe_weights(names), weights, unused)


def _describe_weights(names: InteractionColumnNames) -> str:
    if names.event is None:
        return EVERY_ROW_COUNTS_ONE if names.weight is None else f"weights are column {names.weight}"
    weights = ", ".join(f"{event} {weight:g}" for event, weight in names.event.weights.items())
    by_event = f"those of the events in column {names.event.column} ({weights})"
    return f"weights are {by_event if names.weight is None else f'column {names.weight} times {by_event}'}"


def _weight_columns(names: InteractionColumnNames) -> str:
    """Return the columns with weights in words; an empty string if there are none."""
    columns = [f"column {names.weight}"] if names.weight is not None else []
    if names.event is not None:
        columns.append(f"column {names.event.column}")
    return " and ".join(columns)
