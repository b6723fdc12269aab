"""Replica started with `bentoml serve` from the source code, without building a Bento."""

import os
import sys
from pathlib import Path

from tests.support.server_process import ServerProcess

ROOT = Path(__file__).parents[2]


class BentoMLServer(ServerProcess):
    """Process group of `bentoml serve`: its supervisor and one replica.

    Attributes:
        events: folder of the replica's events; the log is beside it.
    """

    def __init__(self, model: Path, home: Path, **settings: str) -> None:
        """Start the server.

        Args:
            model: folder of the model.
            home: folder for events, logs and BentoML's own files.
            **settings: settings of the replica, by field name of `service.settings.Settings`.
        """
        self.events = home / "events"
        environment = {
            **os.environ,
            "MARQUEE_MODEL": str(model),
            "MARQUEE_EVENTS": str(self.events),
            "BENTOML_HOME": str(home),
            "BENTOML_DO_NOT_TRACK": "true",
            **{f"MARQUEE_{name.upper()}": value for name, value in settings.items()},
        }
        program = str(Path(sys.executable).with_name("bentoml"))
        command = [program, "serve", "service.app:Marquee", "--host", "127.0.0.1", "--port", "{port}"]
        super().__init__(command, ROOT, home / "server.log", environment)
