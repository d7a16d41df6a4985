"""What ingest refuses, with which status, and how little it gives away: the table of the contract's section 4."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from ingest import app as edge
from ingest import receiving
from ingest.receiving import MAX_BODY_BYTES
from ingest.under_way import Overloaded, PublishFailed
from tests.ingest_in_memory import GONE, TOO_MUCH, InMemory, app, ask, deliver_together
from tests.webhooks import SECRET, body_of, event, signature, thin


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
        ({"chunks": [body_of({**event("v1.invoice.paid"), "object": "v2.core.event"})]}, 400),
        ({"chunks": [body_of(thin())]}, 503),
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


def test_nothing_happens_if_the_client_goes_away() -> None:
    """Half an event is never published; it counts as one that did not come to its end, not as one that is wrong."""
    publisher = InMemory()

    told = ask(chunks=[body_of(event())[:50], GONE], publisher=publisher)

    assert (told.status, publisher.records) == (408, [])


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


def test_what_is_being_received_is_bounded_over_all_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request that passes the bound is refused, and its rest thrown away; others and the next are taken."""
    monkeypatch.setattr(receiving, "MAX_RECEIVING_BYTES", 150)
    ingest, body = app(), body_of(event())
    halves = [body[:100], body[100:]]

    first, second = deliver_together(ingest, halves, halves)
    (third,) = deliver_together(ingest, halves)

    assert [first.status, second.status, third.status] == [200, 503, 200]
    assert (second.headers["retry-after"], second.headers["connection"]) == ("1", "close")
    assert (second.chunks_read, second.in_all) == (1, 2)


@pytest.mark.parametrize(
    ("chunks", "status"), [([b" " * 149, GONE], 408), ([b" " * 149], 400), ([b" " * MAX_BODY_BYTES, b" "], 413)]
)
def test_what_was_received_is_let_go_of(monkeypatch: pytest.MonkeyPatch, chunks: list[bytes], status: int) -> None:
    """However a request ends, its body counts no longer."""
    ingest, body = app(), body_of(event())
    told = deliver_together(ingest, chunks)
    monkeypatch.setattr(receiving, "MAX_RECEIVING_BYTES", 150)

    told += deliver_together(ingest, [body[:100], body[100:]])

    assert [each.status for each in told] == [status, 200]


def test_a_body_that_is_whole_is_not_refused_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came at once is held for no time, so that those who send slowly can't keep it out."""
    monkeypatch.setattr(receiving, "MAX_RECEIVING_BYTES", 1)

    assert ask().status == 200


def test_refusals_give_nothing_away(caplog: pytest.LogCaptureFixture) -> None:
    """Neither an answer nor the log repeats the payload, the signature or the secret."""
    caplog.set_level(logging.DEBUG)
    body, foreign = b'{"payload": "payload"', signature(b"", "whsec_foreign")

    told = [ask(chunks=[body]), ask(chunks=[body], stripe_signature=foreign)]

    assert [each.status for each in told] == [400, 400]
    for text in (*(json.dumps(each.body) for each in told), caplog.text):
        assert '"payload"' not in text
        assert foreign.decode()[15:] not in text
        assert SECRET not in text
