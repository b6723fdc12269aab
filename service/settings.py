"""Settings of a replica, read once from environment variables."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from marquee.errors import ConfigError
from service.fault_settings import Faults

CODE_FOLDER = Path(__file__).parents[1]  # of the project or the Bento
DEFAULT_DEADLINE_MS = 50.0


@dataclass(frozen=True)
class Settings:
    """Settings of one replica; each field is set by the environment variable `MARQUEE_<FIELD>`."""

    model: Path  # folder of the fitted model; a model that replaces it is loaded without a restart
    events: Path  # folder that contains one folder of events per replica
    availability: Path | None  # JSON file with the rules of the shop
    arm: str  # arm of a rollout, part of every response and event
    replica: str  # name of this process, unique in the events folder
    deadline_ms: float  # fallback levels that would exceed it are skipped
    repeat_after: float | None  # minutes for which items that were shown are held back; None: off
    telemetry: bool  # False: no events are recorded, and feedback is rejected
    faults: Faults | None  # faults to inject; None: fault injection is off

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings; unset and empty variables get their defaults.

        Raises:
            ConfigError: a variable has an invalid value.
        """

        def variable(name: str) -> str | None:
            return environment.get(f"MARQUEE_{name}") or None

        model, availability, faults = variable("MODEL"), variable("AVAILABILITY"), variable("FAULTS")
        repeat_after = variable("REPEAT_AFTER")
        default_replica = f"{socket.gethostname()}-{os.getpid()}"
        return cls(
            model=Path(model) if model else _default_model(),
            events=Path(variable("EVENTS") or "events"),
            availability=Path(availability) if availability else None,
            arm=_parse_name(variable("ARM") or "stable", "MARQUEE_ARM"),
            replica=_parse_name(variable("REPLICA") or default_replica, "MARQUEE_REPLICA"),
            deadline_ms=_parse_positive(
                variable("DEADLINE_MS") or DEFAULT_DEADLINE_MS, "MARQUEE_DEADLINE_MS"
            ),
            repeat_after=_parse_positive(repeat_after, "MARQUEE_REPEAT_AFTER") if repeat_after else None,
            telemetry=_parse_switch(variable("TELEMETRY") or "on", "MARQUEE_TELEMETRY"),
            faults=Faults.parse(faults) if faults else None,
        )


def _default_model() -> Path:
    """Return the model in this Bento, or else the model that the pipeline exported."""
    packaged = CODE_FOLDER / "model"
    return packaged if packaged.exists() else CODE_FOLDER / "models" / "fitted_model"


def _parse_name(text: str, variable: str) -> str:
    """Check that a name can be used in a header and as a folder name."""
    if not (text.isascii() and text.replace("-", "").replace("_", "").replace(".", "").isalnum()):
        raise ConfigError(f"{variable} must consist of letters, digits, '.', '-' and '_' (got {text!r})")
    return text


def _parse_positive(text: str | float, variable: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0  # rejected below
    if not 0 < number < float("inf"):
        raise ConfigError(f"{variable} must be a number greater than 0 (got {text!r})")
    return number


def _parse_switch(text: str, variable: str) -> bool:
    if text not in {"on", "off"}:
        raise ConfigError(f"{variable} must be on or off (got {text!r})")
    return text == "on"
