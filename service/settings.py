"""What a replica is told by its environment, read once."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from marquee.errors import ConfigError
from service.faults import Faults

CODE = Path(__file__).parents[1]
DEADLINE_MS = 50.0


@dataclass(frozen=True)
class Settings:
    """Each field is the environment variable of its name, with MARQUEE_ before it."""

    model: Path  # folder of the fitted model; a new one put there is loaded beside the old one
    events: Path  # folder that holds a folder of events for each replica
    catalogue: Path | None  # JSON file of hidden items, times of availability, and the static list
    arm: str  # of a rollout: part of every answer and event
    replica: str  # name of this process among all that share the events' folder
    deadline_ms: float  # after so long a request takes the next lower rung
    telemetry: bool  # off: nothing is recorded, and feedback is refused
    faults: Faults | None  # to inject on purpose; None: fault injection is off

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read them, with their defaults.

        Raises:
            ConfigError: a variable has a value that cannot be used.
        """
        told = {key.removeprefix("MARQUEE_").lower(): value for key, value in environment.items()}
        return cls(
            model=Path(told["model"]) if told.get("model") else _packaged(),
            events=Path(told.get("events") or "events"),
            catalogue=Path(told["catalogue"]) if told.get("catalogue") else None,
            arm=_name(told.get("arm") or "stable", "MARQUEE_ARM"),
            replica=_name(told.get("replica") or f"{socket.gethostname()}-{os.getpid()}", "MARQUEE_REPLICA"),
            deadline_ms=_positive(told.get("deadline_ms"), DEADLINE_MS, "MARQUEE_DEADLINE_MS"),
            telemetry=_switch(told.get("telemetry") or "on", "MARQUEE_TELEMETRY"),
            faults=Faults.parse(told["faults"]) if told.get("faults") else None,
        )


def _packaged() -> Path:
    """The model in this Bento; else the one that the pipeline exported."""
    packaged = CODE / "model"
    return packaged if packaged.exists() else CODE / "models" / "fitted"


def _name(text: str, variable: str) -> str:
    """A name becomes a header and a folder."""
    if not (text.isascii() and text.replace("-", "").replace("_", "").replace(".", "").isalnum()):
        raise ConfigError(f"{variable} is {text!r}: use letters, digits, dots, dashes and underscores")
    return text


def _positive(text: str | None, default: float, variable: str) -> float:
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1
    if not 0 < value < float("inf"):
        raise ConfigError(f"{variable} is {text!r}: it takes a number above 0")
    return value


def _switch(text: str, variable: str) -> bool:
    if text not in {"on", "off"}:
        raise ConfigError(f"{variable} is {text!r}: it takes on or off")
    return text == "on"
