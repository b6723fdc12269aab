"""Ask an address for some seconds: print when it answers first, then the longest silence and who was last.

    python -m benchmarks.availability_probe ADDRESS PORT SECONDS

Nothing but the standard library, for it has to be asking within a moment.
"""

import http.client
import sys
import time

PATIENCE_S = 0.05
PAUSE_S = 0.005


def ask(address: str, port: int, seconds: float) -> None:
    """Print `begun` at the first answer, and `SECONDS NAME` at the end."""
    end = time.monotonic() + seconds
    last = longest = 0.0
    who = "nobody"
    while time.monotonic() < end:
        connection = http.client.HTTPConnection(address, port, timeout=PATIENCE_S)
        try:
            connection.request("GET", "/")
            who = connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException):
            continue
        finally:
            connection.close()
        now = time.monotonic()
        if not last:
            sys.stdout.write("begun\n")
            sys.stdout.flush()
            end = now + seconds
        longest = max(longest, now - last if last else 0.0)
        last = now
        time.sleep(PAUSE_S)
    sys.stdout.write(f"{longest} {who}\n")


if __name__ == "__main__":
    ask(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
