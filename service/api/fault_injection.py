"""Fault injection: ASGI middleware around the application, added only if faults are configured."""

import asyncio
import random
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from service import logs
from service.api.problem_details import logged_error_problem
from service.api.recommend_endpoint import PATH_PREFIX, ROUTE
from service.api.response_headers import ResponseHeaders
from service.fault_settings import Faults
from service.replica import Replica

log = logs.get_logger("faults")


class InjectedFault(Exception):
    """An error that was injected on purpose."""


class FaultInjection:
    """Delays or fails requests for recommendations from one model version.

    Health checks and all other routes are not affected. An injected error looks like any other internal
    error. Clients and gateways observe the delays; the replica's own metrics do not include them.
    """

    def __init__(
        self,
        app: ASGIApp,
        replica: Replica,
        faults: Faults,
        *,
        draw: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wrap an application, and report in the log and in /readyz that fault injection is on.

        Args:
            app: application that handles the requests.
            replica: state of this process.
            faults: faults to inject.
            draw: returns a random number between 0 and 1.
            clock: returns monotonic time in seconds.
        """
        self._app, self._replica, self._faults = app, replica, faults
        self._draw, self._clock = draw, clock
        self._headers = ResponseHeaders(replica)
        self._starts_at = clock() + faults.after_s
        replica.problems["faults"] = f"fault injection is on: {faults}"
        log.warning("FAULT INJECTION IS ON: requests fail or are delayed on purpose", faults=str(faults))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with an injected error, or pass the request on after the delay."""
        if not self._applies_to(scope):
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        await asyncio.sleep(self._faults.delay_ms / 1000)
        if self._draw() < self._faults.error_rate:
            request_id = self._headers.choose_request_id(dict(scope["headers"]).get(b"x-request-id"))
            problem = logged_error_problem(InjectedFault("fault injected on purpose"))
            response = self._headers.problem_response(problem, request_id)
            self._replica.metrics.record_request(ROUTE, response.status_code, time.perf_counter() - start)
            await response(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _applies_to(self, scope: Scope) -> bool:
        model = self._replica.loaded_model
        return (
            scope["type"] == "http"
            and scope["path"].startswith(PATH_PREFIX)
            and model is not None
            and model.version == self._faults.version
            and self._clock() >= self._starts_at
        )
