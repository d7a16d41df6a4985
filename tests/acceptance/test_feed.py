"""A gateway that keeps what it is told, end to end: webhook in, state out, and time alone closes an API."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from kafka import KafkaConsumer
from kafka.structs import TopicPartition

from schemas.access_change import AccessChange, read_access_change
from schemas.codec import decode_change
from schemas.topics import CHANGES
from tests.acceptance.running import PATIENCE_S, TOKEN, Running
from tests.stripe_builders import Line, events, paid, written

CYCLE_S = 8


def test_a_gateway_decides_by_itself_and_is_told_when_a_cycle_ends(program: Running) -> None:
    """Relay and boundaries killed with -9 in between, a cycle's end is told by its moment; topic and snapshot agree."""
    customer = f"cus_{uuid.uuid4().hex}"
    seq = asked(program, "/v1/snapshot")[0]["entitlement-seq"]
    now = datetime.now(UTC).replace(microsecond=0)
    end = now + timedelta(seconds=CYCLE_S)
    line = Line(price="price_strict", start=written(now - timedelta(days=1)), end=written(end))
    program.send_all(events(paid(line, id=f"in_{customer}", customer=customer, at=written(now))))
    told = changes(program, customer, int(seq))

    reasons = ([getattr(state.stretch_at("orders", at), "reason", None) for at in (now, end)] for state in told)
    assert next(each for each in reasons if each[0] != "payment_required") == [
        "paid",
        "cycle_lapsed",
    ]  # first: finalized
    for command in ("relay", "boundaries"):
        os.kill(program.pid_of(command), signal.SIGKILL)
    later = next(state for state in told if state.boundaries)

    assert [(each.at, each.change, each.after) for each in later.boundaries] == [(end, "closed", "cycle_lapsed")]
    _, body = asked(program, "/v1/snapshot")
    [kept] = [state for state in map(json.loads, body.splitlines()) if state["customer"] == customer]
    assert read_access_change(kept) == later
    assert last_published(program, f"main|{customer}", later.seq) == later


def changes(program: Running, customer: str, after: int) -> Iterator[AccessChange]:
    """What a gateway is told of the customer, by long polls one behind the other."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        _, body = asked(program, f"/v1/changes?after={after}&wait=20")
        page = json.loads(body)
        after = page["next"]
        yield from (read_access_change(each) for each in page["changes"] if each["customer"] == customer)


def asked(program: Running, path: str) -> tuple[dict[str, str], bytes]:
    """The headers and the body of an answer that must be 200."""
    connection = http.client.HTTPConnection(program.edge.query.removeprefix("http://"), timeout=40)
    connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200, body
    return {name.lower(): value for name, value in answer.getheaders()}, body


def last_published(program: Running, key: str, seq: int) -> AccessChange | None:
    """The last value under *key* on the topic, once that of *seq* is there."""
    consumer: Any = KafkaConsumer(
        bootstrap_servers=program.environment["ENTITLE_KAFKA"],
        isolation_level="read_committed",
        enable_auto_commit=False,
    )
    places = [TopicPartition(CHANGES, number) for number in consumer.partitions_for_topic(CHANGES)]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    found, deadline = None, time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and (found is None or found.seq < seq):
        for records in consumer.poll(timeout_ms=200).values():
            for record in records:
                if record.key.decode() == key:
                    found = decode_change(record.value, record.headers)
    consumer.close()
    return found
