"""
What a client is told: the answers of ingest's HTTP edge, and how they are sent (ASGI). Edge.

Every answer that is not 200 is a problem of RFC 9457.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any

import msgspec

from ingest.delivery import Ignore, Publish, Short
from ingest.thin import Thin
from ingest.under_way import Published

LINGER_SECONDS = 5.0
LINGER_BYTES = 16 * 1024 * 1024
"""
How long, and for how much of it, a refused body is read on and thrown away before the connection is closed: closing
earlier would reset it, and the client, still sending, would never read why it was refused.
"""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]
App = Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]
Decision = Publish | Short | Thin | Ignore
"""What a delivery was found to be."""

JSON = b"application/json"
PROBLEM_JSON = b"application/problem+json"
PROMETHEUS_TEXT = b"text/plain; version=0.0.4; charset=utf-8"


class Outcome(StrEnum):
    """What becomes of a delivery."""

    PUBLISHED = "published"
    IGNORED = "ignored"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """
    What the client is told: *body* is JSON to be, or bytes as they are.

    Of a delivery the log is told *outcome* and *facts*; *cause* (a reason, a status) tells outcomes of one kind apart.
    """

    status: int
    body: Mapping[str, Any] | bytes
    content_type: bytes = JSON
    outcome: Outcome = Outcome.REFUSED
    cause: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    headers: tuple[Header, ...] = ()
    body_was_read: bool = True
    decision: Decision | None = None


def published(decision: Publish, at: Published) -> Answer:
    """The broker has it, and where; and what it lacks, if anything."""
    place: dict[str, Any] = {"topic": at.topic, "partition": at.partition, "offset": at.offset}
    if decision.incomplete:
        place["incomplete"] = decision.incomplete
    return Answer(
        status=200,
        body={"status": "published", "event": decision.event_id, **place},
        outcome=Outcome.PUBLISHED,
        cause="incomplete" if decision.incomplete else "",
        facts=place,
        decision=decision,
    )


def ignored(decision: Ignore) -> Answer:
    """Nothing to do, and why: Stripe need not send it again."""
    return Answer(
        status=200,
        body={"status": "ignored", "reason": decision.reason},
        outcome=Outcome.IGNORED,
        cause=decision.reason,
        facts={"reason": decision.reason},
        decision=decision,
    )


def problem(
    status: HTTPStatus,
    detail: str,
    *headers: Header,
    body_was_read: bool = True,
    decision: Decision | None = None,
) -> Answer:
    """An answer of RFC 9457; *detail* is for people and is logged: no payload, no secret."""
    return Answer(
        status=status,
        body={"type": "about:blank", "title": status.phrase, "status": status, "detail": detail},
        content_type=PROBLEM_JSON,
        cause=str(int(status)),
        facts={"status": int(status), "detail": detail},
        headers=headers,
        body_was_read=body_was_read,
        decision=decision,
    )


def retry_after(seconds: int) -> Header:
    """The header that says when to try again."""
    return (b"retry-after", b"%d" % seconds)


async def respond(answer: Answer, receive: Receive, send: Send) -> None:
    """Send *answer*; where the body was not read to its end, the connection is closed after it."""
    body = answer.body if isinstance(answer.body, bytes) else msgspec.json.encode(answer.body)
    headers = [(b"content-type", answer.content_type), (b"content-length", b"%d" % len(body)), *answer.headers]
    if not answer.body_was_read:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": int(answer.status), "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": not answer.body_was_read})
    if not answer.body_was_read:
        await _throw_away(receive)
        await send({"type": "http.response.body"})


async def _throw_away(receive: Receive) -> None:
    """Read on, within bounds, what the client is still sending."""
    left = LINGER_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while left > 0:
                message = await receive()
                if not message.get("more_body"):
                    return
                left -= len(message["body"])
