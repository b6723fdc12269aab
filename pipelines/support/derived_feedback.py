"""Kind of feedback, as the stage `validate` derived it."""

from marquee.interactions.feedback import FeedbackSpec
from pipelines.support.json_reader import read_json
from pipelines.support.paths import FEEDBACK


def read_feedback() -> FeedbackSpec:
    """Return the kind of feedback of the interactions."""
    return FeedbackSpec.from_record(read_json(FEEDBACK))
