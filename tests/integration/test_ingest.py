"""Ingest over HTTP and on a real Kafka: what lies on the topic, what does not, and what an outage does."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ingest.delivery import Integration
from ingest.receiving import MAX_BODY_BYTES
from ops.stack import running
from tests.ingesting import (
    PATIENCE_SECONDS,
    Ingest,
    Told,
    headers_for,
    ingesting,
    ingesting_apart,
    is_listening,
    is_ready,
    new_topic,
    next_answer,
    on_the_wire,
    records,
    until,
)
from tests.webhooks import INVOICE, SECRET, body_of, event

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def topic(kafka: str) -> str:
    return new_topic(kafka)


@pytest.fixture(scope="module")
def ingest(kafka: str, topic: str) -> Any:
    with ingesting(kafka, topic) as found:
        until(lambda: is_ready(found))
        yield found


def record_of(kafka: str, answer: Told) -> Any:
    """The record that an answer says was published."""
    (found,) = (
        record for record in records(kafka, answer.body["topic"]) if (record.partition, record.offset) == answer.place
    )
    return found


def test_the_record_as_it_lies_on_the_topic(ingest: Ingest, kafka: str) -> None:
    """200 says where the event lies; there it is, redacted, with its key and its CloudEvents headers."""
    body = body_of(event(about={**INVOICE, "customer_email": "ada@example.com"}))
    headers = {**headers_for(body), "traceparent": TRACEPARENT}

    answer = ingest.ask("POST", "/webhooks/stripe/main", body, **headers)
    record = record_of(kafka, answer)

    assert answer.status == 200
    assert (answer.body["status"], answer.body["event"]) == ("published", "evt_1")
    assert record.key == b"cus_1"
    assert json.loads(record.value) == event()
    assert record.headers == [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"evt_1"),
        ("ce_source", b"/stripe/main"),
        ("ce_type", b"invoice.paid"),
        ("ce_time", b"2026-01-01T00:00:00Z"),
        ("ce_integration", b"main"),
        ("ce_apiversion", b"2022-11-15"),
        ("ce_mode", b"test"),
        ("content-type", b"application/json"),
        ("traceparent", TRACEPARENT.encode()),
    ]


def test_every_acknowledged_event_lies_where_its_answer_says(ingest: Ingest, kafka: str, topic: str) -> None:
    """200 events, 16 at a time, are each on the topic once, where their answers say."""
    events = [event(id=f"evt_many_{number}", about={**INVOICE, "customer": f"cus_{number}"}) for number in range(200)]

    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(lambda each: ingest.deliver(body_of(each)), events))
    lying = {
        (record.partition, record.offset): dict(record.headers)["ce_id"].decode() for record in records(kafka, topic)
    }

    assert {answer.status for answer in answers} == {200}
    assert {event_id for event_id in lying.values() if event_id.startswith("evt_many_")} == {e["id"] for e in events}
    assert all(lying[each.place] == each.body["event"] for each in answers)


@pytest.mark.parametrize("chunked", [False, True], ids=["Content-Length", "chunked"])
def test_a_mebibyte_goes_through_and_a_byte_more_does_not(ingest: Ingest, kafka: str, chunked: bool) -> None:
    """1,048,576 bytes are published whole; one more is 413, which the client can read though it was still sending."""
    about = {
        **INVOICE,
        "number": "x" * (MAX_BODY_BYTES - len(body_of(event(about={**INVOICE, "number": ""})))),
    }
    body = body_of(event(about=about))

    def send(body: bytes) -> Any:
        cut = (body[start : start + 100_000] for start in range(0, len(body), 100_000))
        return ingest.ask("POST", "/webhooks/stripe/main", cut if chunked else body, **headers_for(body))

    assert len(body) == MAX_BODY_BYTES
    assert json.loads(record_of(kafka, send(body)).value)["data"]["object"] == about
    assert send(body + b" ").status == 413


def test_a_client_that_is_still_sending_can_read_why_it_is_refused(ingest: Ingest) -> None:
    """A client that sends all of 8 MiB before it reads anything finds the 413, not a reset connection."""
    size = 8 * MAX_BODY_BYTES

    with ingest.connect() as client:
        client.sendall(on_the_wire(headers_for(b""), size=size))
        for _ in range(8):
            client.sendall(b" " * MAX_BODY_BYTES)
        answer = next_answer(client)

    assert (answer.status, answer.headers["connection"]) == (413, "close")


def test_the_next_request_of_a_refused_client_is_served(ingest: Ingest) -> None:
    """A refusal whose body was read keeps the connection: the next delivery on it is published."""
    body = body_of(event())
    with ingest.connect() as client:
        statuses = []
        for headers in (headers_for(body, "whsec_foreign"), headers_for(body)):
            client.sendall(on_the_wire(headers, size=len(body)) + body)
            statuses.append(next_answer(client).status)

    assert statuses == [400, 200]


def test_integrations_have_their_own_secrets(kafka: str, topic: str) -> None:
    """What is signed for one integration is refused by another, and each stamps its own records."""
    integrations = [
        Integration(name=name, mode="test", signing_secrets=(f"whsec_{name}",)) for name in ("europe", "america")
    ]
    body = body_of(event())

    with ingesting(kafka, topic, *integrations) as ingest:
        until(lambda: is_ready(ingest))
        answers = {
            (to, secret): ingest.deliver(body, f"whsec_{secret}", to=to)
            for to in ("europe", "america")
            for secret in ("europe", "america")
        }

    assert {way: answer.status for way, answer in answers.items()} == {
        ("europe", "europe"): 200,
        ("europe", "america"): 400,
        ("america", "europe"): 400,
        ("america", "america"): 200,
    }
    assert dict(record_of(kafka, answers["america", "america"]).headers)["ce_integration"] == b"america"


def test_a_secret_can_be_rolled(kafka: str, topic: str) -> None:
    """While two secrets are set, deliveries signed with either, or with both, are published."""
    rolled = Integration(name="main", mode="test", signing_secrets=("whsec_new", SECRET))
    body = body_of(event())

    with ingesting(kafka, topic, rolled) as ingest:
        until(lambda: is_ready(ingest))
        statuses = [
            ingest.deliver(body, *secrets).status for secrets in ((SECRET,), ("whsec_new",), (SECRET, "whsec_new"))
        ]

    assert statuses == [200, 200, 200]


def test_what_has_begun_is_finished_before_the_end(kafka: str, topic: str) -> None:
    """After SIGTERM in mid-delivery ingest listens no more, takes the rest, publishes, answers, and then ends."""
    body = body_of(event(id="evt_in_flight"))
    head = on_the_wire({**headers_for(body), "Expect": "100-continue"}, size=len(body))

    with ingesting_apart(kafka, topic) as (process, ingest):
        until(lambda: is_ready(ingest))
        with ingest.connect() as client:
            client.sendall(head + body[:50])
            assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"  # sent when the body is asked for
            process.send_signal(signal.SIGTERM)
            until(lambda: not is_listening(ingest))
            client.sendall(body[50:])
            answer = next_answer(client)
        ended = process.wait(PATIENCE_SECONDS)

    assert (answer.status, ended) == (200, 0)
    assert dict(record_of(kafka, answer).headers)["ce_id"] == b"evt_in_flight"


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_outages_of_kafka(stack_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Ingest starts without Kafka, says 503 while it is away or hangs, and goes on by itself; no event is lost."""
    caplog.set_level(logging.CRITICAL, "kafka")  # what it logs holds the exceptions, and those hold the sockets
    answers, lying = through_outages(stack_folder)
    gc.collect()  # kafka-python leaves the sockets of failed attempts to the collector, which warns of each

    assert {when: answer.status for when, answer in answers.items()} == {
        "before Kafka started": 503,
        "when it ran": 200,
        "while it hung": 503,
        "when it went on": 200,
        "after it was killed": 503,
        "when it ran again": 200,
    }
    assert all("retry-after" in answer.headers for answer in answers.values() if answer.status == 503)
    assert {answer.place for answer in answers.values() if answer.status == 200} <= lying


def through_outages(folder: Path) -> tuple[dict[str, Told], set[tuple[int, int]]]:
    body = body_of(event())
    answers: dict[str, Told] = {}
    with running(folder, database=False, say=lambda _: None) as stack:
        kafka = stack.kafka
        assert kafka is not None
        topic = new_topic(kafka.address)
        kafka.kill()
        with ingesting(kafka.address, topic) as ingest:
            assert not is_ready(ingest)
            answers["before Kafka started"] = ingest.deliver(body)
            kafka.start()
            until(lambda: is_ready(ingest))
            answers["when it ran"] = ingest.deliver(body)
            os.kill(kafka.pid or 0, signal.SIGSTOP)
            answers["while it hung"] = ingest.deliver(body)
            os.kill(kafka.pid or 0, signal.SIGCONT)
            until(lambda: is_ready(ingest))
            answers["when it went on"] = ingest.deliver(body)
            kafka.kill()
            answers["after it was killed"] = ingest.deliver(body)
            until(lambda: not is_ready(ingest))
            kafka.start()
            until(lambda: is_ready(ingest))
            answers["when it ran again"] = ingest.deliver(body)
        return answers, {(record.partition, record.offset) for record in records(kafka.address, topic)}
