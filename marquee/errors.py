"""The error tree: everything that a person can mend is one of these, and says how.

MarqueeError
├── ConfigError           params.yaml or an argument is wrong
│   └── ParameterError    an algorithm was given a value that it cannot use
│       └── UnknownSimilarityError  `sim_options` names a similarity that does not exist
├── DataError             the ratings or items cannot be used
│   ├── SourceError       the source cannot be fetched, opened or unpacked
│   ├── ValidationFailed  too many rows break the rules of the ratings table
│   └── EventError        a line of telemetry is torn or foreign
├── SealingError          events cannot be sealed
├── ModelError            a fitted model is missing, foreign or damaged
│   └── DivergedError     training left parameters that are not finite numbers
└── TrackingError         the tracking store or the registry cannot answer

A message is one line: what is wrong, where, and what to do next. The command line's edge prints it
without a traceback and exits with the class's `exit_code`.
"""


class MarqueeError(Exception):
    """Base of all errors that a person can mend."""

    exit_code = 1


class ConfigError(MarqueeError):
    """params.yaml, an option or an argument does not say something usable."""

    exit_code = 2


class ParameterError(ConfigError, ValueError):
    """An algorithm was given a value that it cannot use; scikit-surprise raises ValueError for some."""


class UnknownSimilarityError(ParameterError, NameError):
    """`sim_options` names a similarity that does not exist; scikit-surprise raises NameError."""


class DataError(MarqueeError):
    """The ratings or the items cannot be used as they are."""


class SourceError(DataError):
    """The source cannot be fetched, opened or unpacked."""


class ValidationFailed(DataError):
    """More rows than allowed break the rules of the ratings table."""


class EventError(DataError):
    """A line of telemetry is torn, of another schema, or lacks a field."""


class SealingError(MarqueeError):
    """Events cannot be sealed where they should go."""


class ModelError(MarqueeError):
    """A fitted model is missing, was written by another schema, or is damaged."""


class DivergedError(ModelError, ArithmeticError):
    """Training left parameters that are not finite numbers."""


class TrackingError(MarqueeError):
    """The tracking store or the registry is missing, or does not hold what was asked for."""


def one_line(error: BaseException) -> str:
    """What an error says, on one line; the name of its class where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
