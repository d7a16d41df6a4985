"""The table of the contract's section 4, without a network: requests as ASGI hands them over, a publisher in memory."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from ingest import app as edge
from ingest.app import MAX_BODY_BYTES, ingest_app
from ingest.delivery import Integration
from ingest.publisher import Overloaded, Published, PublishFailed
from schemas.codec import Headers
from tests.webhooks import SECRET, body_of, event, signature

PATH = "/webhooks/stripe/main"
MAIN = {"main": Integration(name="main", mode="test", signing_secrets=(SECRET,))}
GONE = b"(the client went away)"
TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TOO_MUCH = b"%d" % (MAX_BODY_BYTES + 1)


class InMemory:
    """A publisher that keeps what it is given, or fails as it is told."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.records: list[tuple[bytes, bytes, Headers]] = []
        self.life = "made"

    async def start(self) -> None:
        self.life = "started"

    async def close(self) -> None:
        self.life = "closed"

    def ready(self) -> bool:
        return self.failure is None

    async def publish(self, *, key: bytes, value: bytes, headers: Headers) -> Published:
        if self.failure is not None:
            raise self.failure
        self.records.append((key, value, headers))
        return Published(topic="billing.events.v1", partition=3, offset=1233 + len(self.records))


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a client reads; *chunks_read* is how much of its body was looked at by then, and *in_all* afterwards."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]
    chunks_read: int
    in_all: int


def ask(
    method: str = "POST",
    path: str = PATH,
    *,
    chunks: Sequence[bytes] | None = None,
    publisher: InMemory | None = None,
    **headers: bytes | None,
) -> Told:
    """Send one request, by default a rightly signed event; a header's `_` stands for `-`, and None leaves it out."""
    chunks = [body_of(event())] if chunks is None else chunks
    given = {"content_type": b"application/json", "stripe_signature": signature(b"".join(chunks)), **headers}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(name.replace("_", "-").encode(), value) for name, value in given.items() if value is not None],
    }
    return asyncio.run(_ask(scope, chunks, publisher or InMemory()))


async def _ask(scope: dict[str, Any], chunks: Sequence[bytes], publisher: InMemory) -> Told:
    left, sent, read_when_answered = list(chunks), [], []

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.Future()  # a client that sends no more, and does not go away
        if (chunk := left.pop(0)) == GONE:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk, "more_body": bool(left)}

    async def send(message: Any) -> None:
        sent.append(message)
        read_when_answered.append(len(chunks) - len(left))

    await ingest_app(MAIN, publisher, count().__next__)(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    body = b"".join(message.get("body", b"") for message in sent)
    assert headers["content-length"] == str(len(body))
    return Told(
        status=sent[0]["status"],
        headers=headers,
        body=json.loads(body),
        chunks_read=read_when_answered[0],
        in_all=len(chunks) - len(left),
    )


def test_a_signed_event_is_published() -> None:
    """200 says where the broker has the event."""
    publisher = InMemory()

    told = ask(publisher=publisher)

    assert (told.status, told.headers["content-type"]) == (200, "application/json")
    assert told.body == {
        "status": "published",
        "event": "evt_1",
        "topic": "billing.events.v1",
        "partition": 3,
        "offset": 1234,
    }
    assert [key for key, _, _ in publisher.records] == [b"cus_1"]


def test_what_is_not_for_us_is_ignored() -> None:
    """An event of the other mode is acknowledged with its reason, and not published."""
    publisher = InMemory()

    told = ask(chunks=[body_of(event(livemode=True))], publisher=publisher)

    assert (told.status, told.body) == (200, {"status": "ignored", "reason": "mode"})
    assert publisher.records == []


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"path": "/webhooks/stripe/other"}, 404),
        ({"path": "/webhooks/stripe/main/"}, 404),
        ({"path": "/webhooks/stripe/"}, 404),
        ({"path": "/webhooks/stripe"}, 404),
        ({"path": "/"}, 404),
        ({"path": "/webhooks/stripe/other", "method": "GET"}, 404),
        ({"method": "GET", "content_type": None}, 405),
        ({"method": "PUT"}, 405),
        ({"path": "/livez"}, 405),
        ({"content_type": None, "content_length": TOO_MUCH}, 415),
        ({"content_type": b"text/plain"}, 415),
        ({"content_type": b"application/jsonp"}, 415),
        ({"content_length": TOO_MUCH, "stripe_signature": None}, 413),
        ({"chunks": [b" " * MAX_BODY_BYTES, b" "], "stripe_signature": None}, 413),
        ({"stripe_signature": None}, 400),
        ({"stripe_signature": b"t=1,v1=00", "chunks": [b"no JSON"]}, 400),
        ({"chunks": [b"no JSON"]}, 400),
        ({"chunks": [b"\xff"]}, 400),
        ({"chunks": [body_of(event("payment_intent.created", data=...))]}, 400),
        ({"chunks": [body_of({**event("v1.invoice.paid"), "object": "v2.core.event"})]}, 503),
    ],
)
def test_what_is_refused(request_: dict[str, Any], status: int) -> None:
    """Each fault has its status, the first of several counts, nothing is published, and the answer is a problem."""
    publisher = InMemory()

    told = ask(**request_, publisher=publisher)

    assert told.status == status
    assert told.headers["content-type"] == "application/problem+json"
    assert told.body.keys() == {"type", "title", "status", "detail"}
    assert told.body["status"] == status
    assert publisher.records == []


@pytest.mark.parametrize(
    "content_type", [b"application/json", b"application/json; charset=utf-8", b"Application/JSON;charset=UTF-8"]
)
def test_json_with_any_parameters_is_taken(content_type: bytes) -> None:
    """Stripe names a charset with its Content-Type."""
    assert ask(content_type=content_type).status == 200


def test_a_refusal_names_what_is_allowed() -> None:
    """405 lists the methods of its path."""
    assert ask("GET").headers["allow"] == "POST"
    assert ask("POST", "/readyz").headers["allow"] == "GET, HEAD"


def test_a_long_body_is_refused_before_it_is_read() -> None:
    """413 by Content-Length comes before the first byte, and what is sent all the same is thrown away."""
    told = ask(chunks=[b" "] * 7, content_length=TOO_MUCH)

    assert (told.status, told.chunks_read, told.in_all) == (413, 0, 7)
    assert told.headers["connection"] == "close"


def test_an_endless_body_is_refused_when_it_passes_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """413 without Content-Length comes with the byte that is too many; not for ever is the rest thrown away."""
    monkeypatch.setattr("ingest.answers.LINGER_BYTES", 5)

    told = ask(chunks=[b" " * MAX_BODY_BYTES, *[b" "] * 100])

    assert (told.status, told.chunks_read, told.in_all) == (413, 2, 2 + 5)
    assert told.headers["connection"] == "close"


def test_a_body_of_exactly_the_limit_is_taken() -> None:
    """1,048,576 bytes are not too many, however they are cut."""
    body = body_of(event()).ljust(MAX_BODY_BYTES)

    assert ask(chunks=[body], content_length=b"%d" % len(body)).status == 200
    assert ask(chunks=[body[:1000], b"", body[1000:]]).status == 200


def test_a_slow_body_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that does not come to its end in time is answered with 408."""
    monkeypatch.setattr(edge, "BODY_SECONDS", 0.0)
    monkeypatch.setattr("ingest.answers.LINGER_SECONDS", 0.0)

    assert ask(chunks=[]).status == 408


def test_nothing_happens_if_the_client_goes_away() -> None:
    """Half an event is never published."""
    publisher = InMemory()

    ask(chunks=[body_of(event())[:50], GONE], publisher=publisher)

    assert publisher.records == []


@pytest.mark.parametrize("failure", [PublishFailed("Kafka is away"), Overloaded("1000 events are waiting")])
def test_what_is_not_in_kafka_is_never_acknowledged(failure: Exception) -> None:
    """Without the broker's confirmation the answer is 503, with the time after which to try again."""
    told = ask(publisher=InMemory(failure))

    assert (told.status, told.headers["retry-after"]) == (503, "1")
    assert str(failure) in told.body["detail"]


def test_more_than_can_be_held_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the deliveries that may be in progress, one is refused without reading its body."""
    monkeypatch.setattr(edge, "MAX_IN_PROGRESS", 0)

    told = ask()

    assert (told.status, told.headers["retry-after"], told.chunks_read) == (503, "1", 0)


def test_refusals_give_nothing_away(caplog: pytest.LogCaptureFixture) -> None:
    """Neither an answer nor the log repeats the payload, the signature or the secret."""
    caplog.set_level(logging.DEBUG)
    body, foreign = b'{"payload": "payload"', signature(b"", "whsec_foreign")

    told = [ask(chunks=[body], **headers) for headers in ({}, {"stripe_signature": foreign})]

    assert [each.status for each in told] == [400, 400]
    for text in (*(json.dumps(each.body) for each in told), caplog.text):
        assert '"payload"' not in text
        assert foreign.decode()[15:] not in text
        assert SECRET not in text


def test_one_line_is_logged_for_a_delivery(caplog: pytest.LogCaptureFixture) -> None:
    """The line says what became of which event, where it lies, and how long that took; no more."""
    caplog.set_level(logging.INFO, "ingest")

    ask()
    ask(publisher=InMemory(Overloaded("1000 events are waiting")))
    ask("GET")

    assert [record.getMessage() for record in caplog.records] == [
        "integration=main event=evt_1 type=invoice.paid ms=1000.0 "
        "published topic=billing.events.v1 partition=3 offset=1234",
        "integration=main event=evt_1 type=invoice.paid ms=1000.0 "
        "refused status=503 detail=1000 events are waiting. Deliver it again.",
        "integration=main event=- type=- ms=1000.0 refused status=405 detail=Webhooks are delivered with POST.",
    ]


def traceparent_of(given: bytes | None) -> bytes:
    publisher = InMemory()
    ask(publisher=publisher, traceparent=given)
    ((_, _, headers),) = publisher.records
    return dict(headers)["traceparent"]


def test_a_trace_is_passed_on() -> None:
    """A well-formed traceparent travels with the record."""
    assert traceparent_of(TRACEPARENT) == TRACEPARENT


@pytest.mark.parametrize(
    "given",
    [
        None,
        b"",
        b"nonsense",
        TRACEPARENT.upper(),
        TRACEPARENT + b"\n",
        TRACEPARENT + b"-more",
        b"ff" + TRACEPARENT[2:],
        b"00-" + b"0" * 32 + TRACEPARENT[35:],
        TRACEPARENT[:36] + b"0" * 16 + b"-01",
    ],
)
def test_a_trace_is_begun_where_none_came(given: bytes | None) -> None:
    """Without a traceparent, or with a broken one, the record begins a trace of its own."""
    fresh = traceparent_of(given)

    assert edge.TRACEPARENT.fullmatch(fresh)
    assert fresh not in (given, traceparent_of(given))


def test_health() -> None:
    """`livez` says that the process answers, `readyz` whether Kafka does."""
    away = InMemory(PublishFailed("Kafka is away"))

    assert ask("GET", "/livez", publisher=away).status == 200
    assert ask("HEAD", "/readyz").status == 200
    told = ask("GET", "/readyz", publisher=away)
    assert (told.status, told.headers["retry-after"]) == (503, "1")


def test_the_publisher_lives_as_long_as_the_application() -> None:
    """The publisher is started before the first request and closed after the last."""
    publisher, seen = InMemory(), []

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan"}

    async def send(message: Any) -> None:
        seen.append((message["type"], publisher.life))

    asyncio.run(ingest_app(MAIN, publisher, count().__next__)({"type": "lifespan"}, receive, send))

    assert seen == [("lifespan.startup.complete", "started"), ("lifespan.shutdown.complete", "closed")]
