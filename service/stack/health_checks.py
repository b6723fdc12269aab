"""Health checks of gateways and replicas on this machine."""

import http.client
import json

TIMEOUT_S = 0.25
READY_TIMEOUT_S = 1.0


def is_responding(port: int, timeout_s: float = TIMEOUT_S) -> bool:
    """Return True if /livez responds in time, with any status: a gateway without replicas is alive too."""
    return fetch(port, "/livez", timeout_s) is not None


def is_ready(port: int) -> bool:
    """Return True if a replica responds to /readyz in time and reports that it is ready."""
    response = fetch(port, "/readyz", READY_TIMEOUT_S)
    return response is not None and response[0] == http.client.OK


def fetch_unready_reason(port: int) -> str | None:
    """Return why a replica is not ready, as it reports itself; None if it is ready or reports no reason."""
    response = fetch(port, "/readyz", READY_TIMEOUT_S)
    if response is None or response[0] == http.client.OK:
        return None
    try:
        return str(json.loads(response[1])["detail"])
    except (ValueError, KeyError, TypeError):
        return None


def fetch(port: int, path: str, timeout_s: float) -> tuple[int, bytes] | None:
    """Send a GET request to a port of this machine; return status and body, or None without a response."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
