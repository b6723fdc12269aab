"""Send requests to an address for a number of seconds, and print the longest time without a response.

    python -m benchmarks.availability_probe ADDRESS PORT SECONDS

The module imports only the standard library, so that it starts quickly.
"""

import http.client
import sys
import time

TIMEOUT_S = 0.05
INTERVAL_S = 0.005


def print_longest_outage(address: str, port: int, seconds: float) -> None:
    """Print `started` at the first response, and `SECONDS NAME` at the end.

    SECONDS is the longest time between two responses, and NAME is the body of the last response.
    """
    deadline = time.monotonic() + seconds
    last_response = longest = 0.0
    name = "none"
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", "/")
            name = connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException):
            continue
        finally:
            connection.close()
        now = time.monotonic()
        if not last_response:
            print("started", flush=True)
            deadline = now + seconds
        longest = max(longest, now - last_response if last_response else 0.0)
        last_response = now
        time.sleep(INTERVAL_S)
    print(longest, name)


if __name__ == "__main__":
    print_longest_outage(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
