"""Errors that a user can fix; the message says how.

MarqueeError
├── ConfigError                     params.yaml, an option or an argument is invalid
│   └── ParameterError              an algorithm parameter is invalid
│       └── UnknownSimilarityError  `sim_options` names an unknown similarity
├── DataError                       ratings or items cannot be used
│   ├── SourceError                 the data source cannot be fetched, opened or unpacked
│   ├── DataValidationError         too many rows are invalid
│   └── EventError                  a line of telemetry is not a valid event
├── ArchiveError                    events cannot be archived
├── ModelError                      a fitted model is missing, incompatible or damaged
│   └── DivergedError               training produced non-finite parameters
└── TrackingError                   the tracking store or model registry is unavailable

A message is one line: what is wrong, where, and what to do. The CLI prints it without a traceback and exits
with the `exit_code` of the class.
"""


class MarqueeError(Exception):
    """Base class of all errors that a user can fix."""

    exit_code = 1


class ConfigError(MarqueeError):
    """params.yaml, a command-line option or an argument is invalid."""

    exit_code = 2


class ParameterError(ConfigError, ValueError):
    """An algorithm parameter is invalid. Also a ValueError, which scikit-surprise raises in some cases."""


class UnknownSimilarityError(ParameterError, NameError):
    """`sim_options` names an unknown similarity. Also a NameError, as in scikit-surprise."""


class DataError(MarqueeError):
    """Ratings or items cannot be used."""


class SourceError(DataError):
    """The data source cannot be fetched, opened or unpacked."""


class DataValidationError(DataError):
    """More rows than allowed are invalid."""


class EventError(DataError):
    """A line of telemetry is incomplete, has an unsupported schema version, or has an invalid field."""


class ArchiveError(MarqueeError):
    """Events cannot be written to the archive."""


class ModelError(MarqueeError):
    """A fitted model is missing, has an unsupported schema version, or is damaged."""


class DivergedError(ModelError, ArithmeticError):
    """Training produced non-finite parameters."""


class TrackingError(MarqueeError):
    """The tracking store or model registry is unavailable, or lacks the requested entry."""


def one_line_message(error: BaseException) -> str:
    r"""Return the message of an error as one line, or the name of its class if the message is empty.

    >>> one_line_message(ValueError("first line,\n  second line"))
    'first line, second line'
    """
    return " ".join(str(error).split()) or type(error).__name__
