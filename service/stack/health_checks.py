"""Asking a process of the stack how it is: alive, ready, and if not, why."""

import http.client
import json

PATIENCE_S = 0.25


def alive(port: int, patience_s: float = PATIENCE_S) -> bool:
    """Whether anything is answered to /livez in time. A gateway without replicas says 503, and is alive."""
    return get(port, "/livez", patience_s) is not None


def ready(port: int) -> bool:
    """Whether a replica says so itself."""
    answer = get(port, "/readyz", 1.0)
    return answer is not None and answer[0] == http.client.OK


def reason(port: int) -> str | None:
    """Why a replica is not ready, in its own words; None where it says nothing, or is."""
    answer = get(port, "/readyz", 1.0)
    if answer is None or answer[0] == http.client.OK:
        return None
    try:
        return str(json.loads(answer[1])["detail"])
    except (ValueError, KeyError, TypeError):
        return None


def get(port: int, path: str, patience_s: float) -> tuple[int, bytes] | None:
    """Status and body of an answer on this machine; None where there is none in time."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patience_s)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
