"""Check before a rollout that every gateway writes failed requests to its failure log.

It sends requests that must fail to the gateways, and looks for them in the logs.
"""

import http.client
import time
from collections.abc import Mapping

from marquee.errors import MarqueeError
from service.gateway.api_keys import API_KEY_FILE
from service.gateway.failure_log import FailureLog
from service.gateway.haproxy_config import PROBE_PATH
from service.stack.stack_config import StackConfig

MAX_PROBES = 200  # requests until every gateway has received one
PROBE_TIMEOUT_S = 2
LOG_DELAY_S = 3.0  # for a gateway to write its failure log


def check_failure_logs(stack: StackConfig) -> None:
    """Send requests that fail until each gateway has logged one.

    Raises:
        MarqueeError: the gateways do not respond, or a failure is missing from the log of a gateway.
    """
    logs = {
        gateway.name: FailureLog(gateway.failure_log_path(stack.folder), stack.slow_ms)
        for gateway in stack.gateways
    }
    for failure_log in logs.values():
        for _ in failure_log.poll():  # skip earlier failures
            pass
    for _ in range(MAX_PROBES):
        _send_probe(stack)
        logs = _logs_without_error(logs)
        if not logs:
            return
    time.sleep(LOG_DELAY_S)
    logs = _logs_without_error(logs)
    if logs:
        raise MarqueeError(
            f"a failed request is missing from the failure log of {', '.join(sorted(logs))}, so errors would "
            f"not raise an alarm; see {stack.folder / 'logs'}"
        )


def _send_probe(stack: StackConfig) -> None:
    """Send a request that a gateway answers with an error."""
    api_key = (stack.folder / API_KEY_FILE).read_text(encoding="utf-8")
    connection = http.client.HTTPConnection(stack.local_gateway_host, stack.port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", PROBE_PATH, headers={"x-api-key": api_key})
        connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        raise MarqueeError(f"the gateways do not respond ({error}); run `marquee status`") from None
    finally:
        connection.close()


def _logs_without_error(logs: Mapping[str, FailureLog]) -> dict[str, FailureLog]:
    """Poll the failure logs; return those to which no error was added since the last poll, by gateway."""
    return {
        name: failure_log
        for name, failure_log in logs.items()
        if not any(failure.kind == "errors" for failure in failure_log.poll())
    }
