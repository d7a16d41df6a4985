"""
The HTTP edge of ingest (contract, section 4): what Stripe delivers comes in, and the answer says whether Kafka has it.

Plain ASGI: three routes need no framework, and this is the hot path.
"""

from __future__ import annotations

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
    Decision,
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
from ingest.completing import Completing
from ingest.delivery import Ignore, Integration, NotAnEvent, Publish, Short, decide
from ingest.fetching import Fetching, ThinEventNotFetched
from ingest.metrics import Metrics
from ingest.receiving import Receiving, Refused, check_form
from ingest.signature import SignatureRejected, verify
from ingest.stripe_api import Api, StripeApi
from ingest.thin import Thin
from ingest.under_way import Overloaded, Published, PublishFailed
from schemas.codec import Headers

log = logging.getLogger(__name__)

WEBHOOKS = "/webhooks/stripe/"
MAX_IN_PROGRESS = 1_000
"""Deliveries being received, or waiting for Stripe's API or for Kafka."""

SHUTDOWN_SECONDS = 20
"""For what has begun when told to stop: more than a slow body, Stripe's API and a slow confirmation take together."""

SOON_SECONDS, ONCE_MENDED_SECONDS = 60, 3600
"""After how long a thin event may come again: once Stripe's API is back, or once an operator has seen to the key."""

TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""Version 00 of W3C Trace Context; of any other version a new trace is begun, as its section 4.3 allows."""


class Publisher(Protocol):
    """Where events go; `KafkaPublisher` in production."""

    async def start(self) -> None: ...
    async def close(self) -> None: ...
    def ready(self) -> bool: ...
    async def publish(self, *, key: bytes, value: bytes, headers: Headers) -> Published: ...


def ingest_app(
    integrations: Mapping[str, Integration],
    publisher: Publisher,
    clock: Callable[[], float],
    metrics: Metrics,
    api: Api | None = None,
) -> App:
    """
    The ASGI application that takes the deliveries of *integrations*, by name, and gives them to *publisher*.

    *clock* is read for durations alone, in seconds from any beginning, and must not go back. The publisher is started
    and closed with the application's lifespan. *metrics* are this application's alone. *api* is asked for what events
    leave out; without one, no integration has a key.
    """
    return _Ingest(integrations, publisher, clock, metrics, api or StripeApi({}, {}))


class _Ingest:
    __slots__ = (
        *("_clock", "_completing", "_fetching", "_in_progress", "_integrations", "_metrics", "_publisher"),
        "_receiving",
    )

    def __init__(
        self,
        integrations: Mapping[str, Integration],
        publisher: Publisher,
        clock: Callable[[], float],
        metrics: Metrics,
        api: Api,
    ) -> None:
        self._integrations = integrations
        self._publisher = publisher
        self._clock = clock
        self._metrics = metrics
        self._in_progress = 0
        self._receiving = Receiving()
        self._fetching = Fetching(api, metrics.fetch)
        self._completing = Completing(self._fetching, self._publish)
        metrics.watch(
            is_ready=publisher.ready,
            in_flight=lambda: self._in_progress,
            incomplete=lambda: len(self._completing),
        )

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
        self._completing.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        try:
            await self._completing.close()
        finally:
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
        decision: Decision | None = None
        try:
            decision = await self._decision(scope, receive, name)
            if isinstance(decision, Short | Thin):
                decision = await self._fetching.record(decision, self._integrations[name])
            if isinstance(decision, Ignore):
                return ignored(decision)
            answer = published(decision, await self._publish(decision))
        except Refused as refusal:
            return problem(refusal.status, str(refusal), *refusal.headers, body_was_read=refusal.body_was_read)
        except SignatureRejected as error:
            advice = "Compare the endpoint's signing secret in Stripe with the integration's, and this machine's clock."
            return problem(HTTPStatus.BAD_REQUEST, f"{error}. {advice}")
        except NotAnEvent as error:
            return problem(HTTPStatus.BAD_REQUEST, f"{error}.")
        except ThinEventNotFetched as error:
            when = retry_after(ONCE_MENDED_SECONDS if error.needs_an_operator else SOON_SECONDS)
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}.", when, decision=decision)
        except (Overloaded, PublishFailed) as error:
            detail = f"{error}. Deliver it again."
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after(1), decision=decision)
        if decision.incomplete:
            self._completing.keep(decision, name)
        return answer

    async def _publish(self, event: Publish) -> Published:
        began = self._clock()
        try:
            return await self._publisher.publish(key=event.key, value=event.value, headers=event.headers)
        finally:
            self._metrics.publish_took(self._clock() - began)

    async def _decision(self, scope: Scope, receive: Receive, name: str) -> Decision:
        """What to do with a delivery, by all that it says; its body is held no longer than this takes."""
        if (integration := self._integrations.get(name)) is None:
            advice = "Compare the endpoint's URL in Stripe with the catalog's integrations."
            raise Refused(HTTPStatus.NOT_FOUND, f"There is no integration {name[:100]!a}. {advice}")
        headers = dict(scope["headers"])
        check_form(scope["method"], headers)
        if self._in_progress > MAX_IN_PROGRESS:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "Too many deliveries are in progress.", retry_after(1))
        body = await self._receiving.whole_body(receive)
        verify(body, headers.get(b"stripe-signature"), integration.signing_secrets)
        return decide(body, integration, _traceparent(headers.get(b"traceparent")))


def _traceparent(given: bytes | None) -> str:
    if given is not None and TRACEPARENT.fullmatch(given):
        return given.decode()
    fresh = os.urandom(24).hex()
    return f"00-{fresh[:32]}-{fresh[32:]}-00"
