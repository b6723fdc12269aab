"""Fault injection: an ASGI middleware around the site, added only where faults are configured."""

import asyncio
import random
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from service import logs
from service.api.problem_details import fault
from service.api.recommend_endpoint import PREFIX, ROUTE
from service.api.response_headers import Envelope
from service.faults import Faults
from service.replica import Replica

log = logs.logger("faults")


class InjectedFault(Exception):
    """An error that was injected on purpose."""


class FaultInjection:
    """Delays requests for recommendations of one version of the model, and fails some of them.

    Health checks and all other routes are left alone. An injected error looks like any other fault of the
    service. A delay is seen by clients and gateways, and not in the replica's own times.
    """

    def __init__(
        self,
        site: ASGIApp,
        replica: Replica,
        faults: Faults,
        *,
        draw: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wrap a site, and say loudly that faults are injected.

        Args:
            site: app to pass requests to.
            replica: state of this process.
            faults: what to inject.
            draw: source of random numbers from 0 to 1.
            clock: source of monotonic time, in seconds.
        """
        self._site, self._replica, self._faults = site, replica, faults
        self._draw, self._clock = draw, clock
        self._envelope = Envelope(replica)
        self._starts_at = clock() + faults.after_s
        replica.trouble["faults"] = f"fault injection is on: {faults}"
        log.warning("FAULT INJECTION IS ON: requests fail or are delayed on purpose", faults=str(faults))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with an injected error, or pass the request on, late."""
        if not self._applies_to(scope):
            await self._site(scope, receive, send)
            return
        began = time.perf_counter()
        await asyncio.sleep(self._faults.delay_ms / 1000)
        if self._draw() < self._faults.error_rate:
            request_id = self._envelope.request_id(dict(scope["headers"]).get(b"x-request-id"))
            refused = fault(InjectedFault("a fault that was injected on purpose"))
            await self._envelope.refuse(refused, ROUTE, request_id, began)(scope, receive, send)
        else:
            await self._site(scope, receive, send)

    def _applies_to(self, scope: Scope) -> bool:
        served = self._replica.served
        return (
            scope["type"] == "http"
            and scope["path"].startswith(PREFIX)
            and served is not None
            and served.label == self._faults.version
            and self._clock() >= self._starts_at
        )
