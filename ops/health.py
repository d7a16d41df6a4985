"""
The health of a process that has no other listener: alive, ready, and its metrics, at an address of its own. Edge: HTTP.

It answers from a thread of its own, so that it can tell when the loop that it speaks of hangs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consumers.telling import STARTING, Health
from entitlements.api.responses import json_response, problem_response
from ops.serving import server
from ops.settings import Address, listening

HUNG_AFTER_S = 60.0
"""
A loop that has not come round for so long hangs. A batch takes less: a statement is given up after 30 s, and Kafka
itself takes a member for gone that has not polled for a minute.
"""

SHUTDOWN_S = 1


class Condition:
    """What a loop says of itself, to be asked from another thread. *clock* is in seconds and never goes back."""

    __slots__ = ("_clock", "_health", "_hung_after_s", "_round_at")

    def __init__(self, clock: Callable[[], float], *, hung_after_s: float = HUNG_AFTER_S) -> None:
        self._clock = clock
        self._hung_after_s = hung_after_s
        self._health = STARTING
        self._round_at = clock()

    def comes_round(self) -> None:
        """The loop goes on, whether it can work or waits."""
        self._round_at = self._clock()

    def is_now(self, health: Health) -> None:
        """Whether it can do its work has changed."""
        self._health = health

    def hangs(self) -> str | None:
        """Since when, in words; None while the loop comes round."""
        still = self._clock() - self._round_at
        return f"The loop has not come round for {still:.0f} s." if still > self._hung_after_s else None

    def waits(self) -> str | None:
        """What for, in words; None while it does its work."""
        return self.hangs() or (None if self._health.ready else f"{self._health.detail}.")


@contextmanager
def answering(address: Address | None, condition: Condition, registry: CollectorRegistry) -> Iterator[None]:
    """While the context lasts `GET /livez`, `/readyz` and `/metrics` are answered at *address*, if there is one."""
    if address is None:
        yield
        return
    with listening("ENTITLE_HEALTH_ADDRESS", address) as listener:
        running = server(_app(condition, registry), shutdown_seconds=SHUTDOWN_S)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, name="health", daemon=True)
        thread.start()
        try:
            yield
        finally:
            running.should_exit = True
            thread.join()


def _app(condition: Condition, registry: CollectorRegistry) -> Starlette:
    async def livez(_: Request) -> Response:
        return _told(condition.hangs())

    async def readyz(_: Request) -> Response:
        return _told(condition.waits())

    def metrics(_: Request) -> Response:  # on a thread: it may have to wait for Kafka, and the others need not
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)])


def _told(trouble: str | None) -> Response:
    if trouble is None:
        return json_response({"status": "ok"})
    return problem_response(HTTPStatus.SERVICE_UNAVAILABLE, trouble)
