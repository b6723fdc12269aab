"""Replace this process with the worker that `bentoml serve` would start, without its supervisor.

In a container, the supervisor would import everything a second time (60 MB) and hide the death of its worker:
the container would stay up and accept connections that get no response. Without it, the container exits with
the worker, and the restart policy starts it again.
"""

import os
import socket
import sys

BENTO = os.environ.get("MARQUEE_BENTO", "/home/bentoml/bento")
HOST, PORT = os.environ.get("MARQUEE_HOST", "0.0.0.0"), int(os.environ.get("MARQUEE_PORT", "3000"))

listener = socket.create_server((HOST, PORT), backlog=2048)
listener.set_inheritable(True)
worker = [sys.executable, "-m", "_bentoml_impl.worker.service", BENTO, "--service-name", "marquee"]
os.execv(sys.executable, [*worker, "--fd", str(listener.fileno()), "--timeout-graceful-shutdown", "10"])
