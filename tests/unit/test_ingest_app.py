"""What ingest takes: published, ignored, traced, logged; and its health."""

from __future__ import annotations

import asyncio
import logging
from itertools import count
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from ingest.app import TRACEPARENT, ingest_app
from ingest.metrics import Metrics
from ingest.receiving import MAX_BODY_BYTES
from ingest.under_way import Overloaded, PublishFailed
from ops.logs import Lines, LogFormat
from tests.ingest_in_memory import MAIN, InMemory, app, ask, deliver_together
from tests.webhooks import body_of, event

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


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
    "content_type", [b"application/json", b"application/json; charset=utf-8", b"Application/JSON;charset=UTF-8"]
)
def test_json_with_any_parameters_is_taken(content_type: bytes) -> None:
    """Stripe names a charset with its Content-Type."""
    assert ask(content_type=content_type).status == 200


def test_a_body_of_exactly_the_limit_is_taken() -> None:
    """1,048,576 bytes are not too many, however they are cut."""
    body = body_of(event()).ljust(MAX_BODY_BYTES)

    assert ask(chunks=[body], content_length=b"%d" % len(body)).status == 200
    assert ask(chunks=[body[:1000], b"", body[1000:]]).status == 200


@pytest.mark.parametrize(
    ("length", "status"), [(b"abc", 400), (b"", 400), (b"-1", 400), ("²".encode(), 400), (b"9" * 5000, 413)]
)
def test_a_content_length_that_is_no_number_is_refused_by_the_handler_too(length: bytes, status: int) -> None:
    """It does not rely on whatever HTTP parser stands before it."""
    assert ask(content_length=length).status == status


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged, as people read it, from the message on."""
    return [Lines(LogFormat.TEXT).format(record).partition(": ")[2] for record in caplog.records]


def test_one_line_is_logged_for_a_delivery(caplog: pytest.LogCaptureFixture) -> None:
    """The line says what became of which event, where it lies, and how long that took; no more."""
    caplog.set_level(logging.INFO, "ingest")
    event_1 = "integration=main event_id=evt_1 event_type=invoice.paid ms=3000"

    ask()
    ask(chunks=[body_of(event(livemode=True))])
    ask(publisher=InMemory(Overloaded("1000 events are waiting")))
    ask("GET")

    assert lines(caplog) == [
        f"published {event_1} topic=billing.events.v1 partition=3 offset=1234",
        "ignored integration=main event_id=evt_1 event_type=invoice.paid ms=1000 reason=mode",
        f'refused {event_1} status=503 detail="1000 events are waiting. Deliver it again."',
        'refused integration=main ms=1000 status=405 detail="Webhooks are delivered with POST."',
    ]


def test_one_line_is_logged_for_an_unknown_integration(caplog: pytest.LogCaptureFixture) -> None:
    """The line says which name was asked for, of which no line break is left, and not more than 100 characters."""
    caplog.set_level(logging.INFO, "ingest")

    ask(path="/webhooks/stripe/mian\nforged" + "x" * 1000)
    ask(path="/webhooks/stripes/main")

    (line,) = lines(caplog)
    assert line == (
        "refused integration=- ms=1000 status=404 "
        f"detail=\"There is no integration 'mian\\\\nforged{'x' * 89}'. "
        "Compare the endpoint's URL in Stripe with the catalog's integrations.\""
    )


def test_metrics_count_what_was_answered() -> None:
    """Each delivery is counted by integration, outcome and cause; what was published is timed."""
    metrics = Metrics(registry := CollectorRegistry())
    to = ingest_app(MAIN, InMemory(), count().__next__, metrics)

    deliver_together(to, [body_of(event())], [body_of(event(livemode=True))], [b"{"])
    ask(path="/webhooks/stripe/forged", to=to)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    webhooks = "entitle_ingest_webhooks_total"
    assert value(webhooks, integration="main", outcome="published", cause="") == 1
    assert value(webhooks, integration="main", outcome="ignored", cause="mode") == 1
    assert value(webhooks, integration="main", outcome="refused", cause="400") == 1
    assert value(webhooks, integration="-", outcome="refused", cause="404") == 1
    assert "forged" not in metrics.page().decode()
    assert value("entitle_ingest_webhook_seconds_count") == value("entitle_ingest_publish_seconds_count") == 1
    assert (value("entitle_ingest_in_flight"), value("entitle_kafka_away")) == (0, 0)


def test_metrics_tell_what_kafka_did_not_take() -> None:
    """A publication that fails is timed and counted under 503, and Kafka is said to be away."""
    registry = CollectorRegistry()
    to = ingest_app(MAIN, InMemory(PublishFailed("Kafka is away")), count().__next__, Metrics(registry))

    ask(to=to)

    labels = {"integration": "main", "outcome": "refused", "cause": "503"}
    assert registry.get_sample_value("entitle_ingest_webhooks_total", labels) == 1
    assert registry.get_sample_value("entitle_ingest_publish_seconds_count") == 1
    assert registry.get_sample_value("entitle_kafka_away") == 1


def test_a_delivery_is_in_flight_until_kafka_has_confirmed_it() -> None:
    """The gauge, read whenever the clock is: before it is taken, before and after its publication, and afterwards."""
    registry, seen = CollectorRegistry(), []

    def clock() -> float:
        seen.append(registry.get_sample_value("entitle_ingest_in_flight"))
        return 0.0

    ask(to=ingest_app(MAIN, InMemory(), clock, Metrics(registry)))

    assert seen == [0, 1, 1, 0]


def test_metrics_count_what_a_fault_of_ours_refused() -> None:
    """What the server answers 500, since no answer was foreseen, is counted as such, and is in flight no more."""
    registry = CollectorRegistry()
    to = ingest_app(MAIN, InMemory(RuntimeError("a fault")), count().__next__, Metrics(registry))

    with pytest.raises(RuntimeError, match="a fault"):
        ask(to=to)

    labels = {"integration": "main", "outcome": "refused", "cause": "500"}
    assert registry.get_sample_value("entitle_ingest_webhooks_total", labels) == 1
    assert registry.get_sample_value("entitle_ingest_in_flight") == 0


def traceparent_of(given: bytes | None) -> bytes:
    publisher = InMemory()
    ask(publisher=publisher, traceparent=given)
    ((_, _, headers),) = publisher.records
    return dict(headers)["traceparent"]


def test_a_trace_is_passed_on() -> None:
    """A well-formed traceparent travels with the record."""
    assert traceparent_of(TRACE) == TRACE


@pytest.mark.parametrize(
    "given",
    [
        None,
        b"",
        b"nonsense",
        TRACE.upper(),
        TRACE + b"\n",
        TRACE + b"-more",
        b"ff" + TRACE[2:],
        b"00-" + b"0" * 32 + TRACE[35:],
        TRACE[:36] + b"0" * 16 + b"-01",
    ],
)
def test_a_trace_is_begun_where_none_came(given: bytes | None) -> None:
    """Without a traceparent, or with a broken one, the record begins a trace of its own."""
    fresh = traceparent_of(given)

    assert TRACEPARENT.fullmatch(fresh)
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

    asyncio.run(app(publisher)({"type": "lifespan"}, receive, send))

    assert seen == [("lifespan.startup.complete", "started"), ("lifespan.shutdown.complete", "closed")]
