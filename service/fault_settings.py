"""Settings of fault injection: errors and delays for drills and tests. Off by default."""

from dataclasses import dataclass, fields

from marquee.errors import ConfigError

VARIABLE = "MARQUEE_FAULTS"
EXAMPLE = "version=4,error_rate=0.3,delay_ms=200,after_s=60"
MAX_VALUES = {"error_rate": 1.0, "delay_ms": 60_000.0, "after_s": 86_400.0}


@dataclass(frozen=True)
class Faults:
    """Faults to inject into the recommendations of one model version.

    The version is required because all replicas of a stack inherit one environment: the champion must stay
    healthy while its challenger fails.
    """

    version: str  # as in the header x-model-version
    error_rate: float = 0.0  # share of requests that fail with status 500
    delay_ms: float = 0.0  # added to each request
    after_s: float = 0.0  # seconds from the start of the replica until faults are injected

    @classmethod
    def parse(cls, text: str) -> "Faults":
        """Parse comma-separated settings such as `version=4,error_rate=0.3`.

        Raises:
            ConfigError: a setting is unknown, missing, repeated or out of range, or there is neither an error
                rate nor a delay.
        """
        assignments = [assignment.partition("=") for assignment in text.split(",")]
        names = [name for name, _, _ in assignments]
        values = {name: value for name, _, value in assignments}
        if unknown := sorted(values.keys() - {field.name for field in fields(cls)}):
            raise _invalid(text, f"{unknown[0]!r} is unknown")
        if repeated := [name for name in values if names.count(name) > 1]:
            raise _invalid(text, f"{repeated[0]} must not be repeated")
        version = values.pop("version", "")
        if not version:
            raise _invalid(text, "version is missing")
        faults = cls(version, **{name: _parse_number(text, name, value) for name, value in values.items()})
        if faults.error_rate == faults.delay_ms == 0:
            raise _invalid(text, "error_rate or delay_ms must be greater than 0")
        return faults


def _parse_number(text: str, name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0  # rejected below
    if not 0 <= number <= MAX_VALUES[name]:
        raise _invalid(text, f"{name} must be between 0 and {MAX_VALUES[name]:g}")
    return number


def _invalid(text: str, problem: str) -> ConfigError:
    return ConfigError(f"{VARIABLE} is {text!r}: {problem} (example: {EXAMPLE})")
