"""Become the worker that `bentoml serve` would start, without a supervisor above it.

In a container the supervisor would cost a second import of everything and sixty megabytes, and hide the
death of its worker: the container would stay up, its socket accepting what nobody answers. This way the end
of the worker is the container's, and the restart policy begins it anew.
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
