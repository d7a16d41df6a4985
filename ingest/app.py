"""
The HTTP edge of ingest (contract, section 4): what Stripe delivers comes in, and the answer says whether Kafka has it.

Plain ASGI: three routes need no framework, and this is the hot path.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Protocol

from ingest.answers import (
    PROMETHEUS_TEXT,
    Answer,
    App,
    Header,
    Outcome,
    Receive,
    Scope,
    Send,
    ignored,
    problem,
    published,
    respond,
    retry_after,
)
from ingest.delivery import Ignore, Integration, NotAnEvent, Publish, ThinEventNotFetched, decide
from ingest.metrics import Metrics
from ingest.publisher import Overloaded, Published, PublishFailed
from ingest.signature import SignatureRejected, verify
from schemas.codec import Headers

log = logging.getLogger(__name__)

WEBHOOKS = "/webhooks/stripe/"
MAX_BODY_BYTES = 1024 * 1024
TOO_LARGE = f"The body is larger than {MAX_BODY_BYTES} bytes, the most that is taken."
BODY_SECONDS = 10.0
"""Longest wait for a body to arrive whole."""

MAX_IN_PROGRESS = 1_000
"""Deliveries being received or waiting for Kafka."""

MAX_RECEIVING_BYTES = 64 * 1024 * 1024
"""Held of all bodies that are not whole yet: anybody can send them, for a signature is over a whole body."""

SHUTDOWN_SECONDS = 20
"""For what has begun when the process is told to stop: more than a slow body and a slow confirmation take together."""

TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""Version 00 of W3C Trace Context; of any other version a new trace is begun, as its section 4.3 allows."""


class Publisher(Protocol):
    """Where events go; `KafkaPublisher` in production."""

    async def start(self) -> None: ...
    async def close(self) -> None: ...
    def ready(self) -> bool: ...
    async def publish(self, *, key: bytes, value: bytes, headers: Headers) -> Published: ...


def ingest_app(
    integrations: Mapping[str, Integration], publisher: Publisher, clock: Callable[[], float], metrics: Metrics
) -> App:
    """
    The ASGI application that takes the deliveries of *integrations*, by name, and gives them to *publisher*.

    *clock* is read for durations alone, in seconds from any beginning, and must not go back. The publisher is started
    and closed with the application's lifespan. *metrics* are this application's alone.
    """
    return _Ingest(integrations, publisher, clock, metrics)


class _Refused(Exception):
    """A request that is refused for its form, by its headers or while its body is being read."""

    def __init__(self, status: HTTPStatus, detail: str, *headers: Header, body_was_read: bool = False) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers
        self.body_was_read = body_was_read


class _Ingest:
    __slots__ = ("_clock", "_in_progress", "_integrations", "_metrics", "_publisher", "_receiving_bytes")

    def __init__(
        self,
        integrations: Mapping[str, Integration],
        publisher: Publisher,
        clock: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        self._integrations = integrations
        self._publisher = publisher
        self._clock = clock
        self._metrics = metrics
        self._in_progress = 0
        self._receiving_bytes = 0
        metrics.watch(is_ready=publisher.ready, in_flight=lambda: self._in_progress)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        path: str = scope["path"]
        if path.startswith(WEBHOOKS):
            answer = await self._deliver(scope, receive, path[len(WEBHOOKS) :])
        else:
            answer = self._health(scope["method"], path)
        await respond(answer, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await self._publisher.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._publisher.close()
        await send({"type": "lifespan.shutdown.complete"})

    def _health(self, method: str, path: str) -> Answer:
        if path not in ("/livez", "/readyz", "/metrics"):
            return problem(HTTPStatus.NOT_FOUND, "There is no such page.", body_was_read=False)
        if method not in ("GET", "HEAD"):
            allow = (b"allow", b"GET, HEAD")
            return problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} is read with GET.", allow, body_was_read=False)
        if path == "/readyz" and not self._publisher.ready():
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "Kafka is away, or lacks the topic.", retry_after(1))
        if path == "/metrics":
            return Answer(status=200, body=self._metrics.page(), content_type=PROMETHEUS_TEXT)
        return Answer(status=200, body={"status": "ok"})

    async def _deliver(self, scope: Scope, receive: Receive, name: str) -> Answer:
        """Take one delivery, count it and log one line about it: never what it says, nor how it was signed."""
        began = self._clock()
        integration = name if name in self._integrations else "-"
        self._in_progress += 1
        try:
            answer = await self._take(scope, receive, name)
        except Exception:  # a fault of ours: the server logs it and answers 500
            self._metrics.webhook(integration, Outcome.REFUSED, "500")
            raise
        finally:
            self._in_progress -= 1
        seconds = self._clock() - began
        self._metrics.webhook(integration, answer.outcome, answer.cause)
        if answer.outcome is Outcome.PUBLISHED:
            self._metrics.webhook_took(seconds)
        about: dict[str, Any] = {"integration": integration}
        if (event := answer.decision) is not None:
            about |= {"event_id": event.event_id, "event_type": event.event_type}
        log.info(answer.outcome, extra={**about, "ms": round(seconds * 1000, 1), **answer.facts})
        return answer

    async def _take(self, scope: Scope, receive: Receive, name: str) -> Answer:
        """The contract's table, in its order."""
        decision = None
        try:
            decision = await self._decision(scope, receive, name)
            if isinstance(decision, Ignore):
                return ignored(decision)
            return published(decision, await self._publish(decision))
        except _Refused as refusal:
            return problem(refusal.status, str(refusal), *refusal.headers, body_was_read=refusal.body_was_read)
        except SignatureRejected as error:
            advice = "Compare the endpoint's signing secret in Stripe with the integration's, and this machine's clock."
            return problem(HTTPStatus.BAD_REQUEST, f"{error}. {advice}")
        except NotAnEvent as error:
            return problem(HTTPStatus.BAD_REQUEST, f"{error}.")
        except ThinEventNotFetched as error:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}.", retry_after(3600))
        except (Overloaded, PublishFailed) as error:
            detail = f"{error}. Deliver it again."
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after(1), decision=decision)

    async def _publish(self, event: Publish) -> Published:
        began = self._clock()
        try:
            return await self._publisher.publish(key=event.key, value=event.value, headers=event.headers)
        finally:
            self._metrics.publish_took(self._clock() - began)

    async def _decision(self, scope: Scope, receive: Receive, name: str) -> Publish | Ignore:
        """What to do with a delivery, by all that it says; its body is held no longer than this takes."""
        if (integration := self._integrations.get(name)) is None:
            advice = "Compare the endpoint's URL in Stripe with the catalog's integrations."
            raise _Refused(HTTPStatus.NOT_FOUND, f"There is no integration {name[:100]!a}. {advice}")
        headers = dict(scope["headers"])
        _check_form(scope["method"], headers)
        if self._in_progress > MAX_IN_PROGRESS:
            raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, "Too many deliveries are in progress.", retry_after(1))
        body = await self._whole_body(receive)
        verify(body, headers.get(b"stripe-signature"), integration.signing_secrets)
        return decide(body, integration, _traceparent(headers.get(b"traceparent")))

    async def _whole_body(self, receive: Receive) -> bytes:
        body = bytearray()  # not a list of chunks, which is many times its bytes where they come one by one
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":  # nobody is left to read this
                        detail = "The client went away before the body was whole."
                        raise _Refused(HTTPStatus.BAD_REQUEST, detail, body_was_read=True)
                    body += message["body"]
                    self._receiving_bytes += len(message["body"])
                    is_whole = not message["more_body"]
                    if len(body) > MAX_BODY_BYTES:
                        raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, TOO_LARGE, body_was_read=is_whole)
                    if is_whole:
                        return bytes(body)
                    if self._receiving_bytes > MAX_RECEIVING_BYTES:
                        detail = "Too much is being received."
                        raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after(1))
        except TimeoutError:
            detail = f"The body was not whole within {BODY_SECONDS:.0f} seconds."
            raise _Refused(HTTPStatus.REQUEST_TIMEOUT, detail) from None
        finally:
            self._receiving_bytes -= len(body)


def _check_form(method: str, headers: Mapping[bytes, bytes]) -> None:
    """Refuse what can be refused without reading the body."""
    if method != "POST":
        raise _Refused(HTTPStatus.METHOD_NOT_ALLOWED, "Webhooks are delivered with POST.", (b"allow", b"POST"))
    media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if media_type != b"application/json":
        raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The Content-Type of a webhook is application/json.")
    if int(headers.get(b"content-length", 0)) > MAX_BODY_BYTES:
        raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, TOO_LARGE)


def _traceparent(given: bytes | None) -> str:
    if given is not None and TRACEPARENT.fullmatch(given):
        return given.decode()
    fresh = os.urandom(24).hex()
    return f"00-{fresh[:32]}-{fresh[32:]}-00"
