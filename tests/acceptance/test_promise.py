"""The promise, end to end: webhooks in over HTTP, answers out over HTTP, whatever happens in between."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from kafka import KafkaProducer

from ops.asking import signature
from ops.settings import free_address
from schemas.topics import CONSUMER_GROUPS, EVENTS
from tests.acceptance.running import SECRET, Running
from tests.acceptance.tales import faults, interleaved, tellings
from tests.processes import children_of
from tests.stripe_builders import Line, event, events, on, paid, snapshot

MAX_BODY = 1024 * 1024


def test_every_tale_in_every_shape_and_order(program: Running) -> None:
    """Each tale ends in the same answers, whatever the API version, the order, the duplicates and the twins."""
    told = tellings(f"a{uuid.uuid4().hex[:8]}x")
    program.catch_up(program.send_all(interleaved(told, seed=1)))

    assert faults(program.answer, told) == []


def test_a_consumer_killed_beside_others(program: Running) -> None:
    """Beside others, joint and apart, one is killed with -9 in mid-run: the same answers, no fact twice."""
    told = tellings(f"k{uuid.uuid4().hex[:8]}x", orders=("shuffled with duplicates and twins",))
    deliveries = list(interleaved(told, seed=2))
    thirds = len(deliveries) // 3

    with (
        program.another("consume", "grants"),
        program.another("consume", "revocations"),
        program.another("consume", "invoices"),
        program.another("consume", "invoices", "revocations", "grants"),
    ):
        last = program.send_all(deliveries[:thirds])
        os.kill(program.pid_of("consume", *CONSUMER_GROUPS), signal.SIGKILL)
        last |= program.send_all(deliveries[thirds:])
        program.catch_up(last)

    assert faults(program.answer, told) == []
    assert twice_recorded(program) == {}


def test_what_no_code_can_read_is_set_aside(program: Running) -> None:
    """A record that can't be read becomes a dead letter with its reason and address; its neighbours are processed."""
    customer = f"cus_{uuid.uuid4().hex}"
    bill = paid(Line(price="price_strict"), id=f"in_{customer}", customer=customer)
    producer = KafkaProducer(bootstrap_servers=program.environment["ENTITLE_KAFKA"])
    before = program.send_all(events(bill)[:1])
    written = producer.send(EVENTS, key=b"poison", value=b"\xff not JSON", headers=[("ce_integration", b"main")]).get(
        10
    )
    producer.close()
    last = program.send_all(events(bill)[1:])
    program.catch_up({**before, **last, f"{EVENTS}-{written.partition}": written.offset})

    letters = rows(
        program,
        'SELECT consumer_group, topic, partition, "offset", reason FROM dead_letters WHERE partition = :partition AND '
        '"offset" = :offset ORDER BY consumer_group',
        partition=written.partition,
        offset=written.offset,
    )
    assert sorted(CONSUMER_GROUPS) == [letter[0] for letter in letters]
    assert {(EVENTS, written.partition, written.offset)} == {tuple(letter[1:4]) for letter in letters}
    assert all("not JSON" in letter[4] for letter in letters)
    assert program.answer(customer, "orders", on("01-10"))["reason"] == "paid"


def test_an_invoice_of_250_lines(program: Running) -> None:
    """Each of 250 lines grants on its own: their quotas add up."""
    customer = f"cus_{uuid.uuid4().hex}"
    lines = [Line(id=f"il_{n}_{customer}", price="price_strict", item=f"si_{n}_{customer}") for n in range(250)]
    program.catch_up(program.send_all(events(paid(*lines, id=f"in_{customer}", customer=customer))))

    (quota,) = program.answer(customer, "orders", on("01-10"))["quotas"]
    assert quota["limit"] == 250_000


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY - 1, 200), (MAX_BODY, 200), (MAX_BODY + 1, 413)])
def test_the_size_of_a_body(program: Running, size: int, status: int) -> None:
    """A body of up to 1 MiB goes through whole and is answered from; one byte more is refused with 413."""
    customer = f"cus_{uuid.uuid4().hex}"
    bill = paid(Line(price="price_strict"), id=f"in_{customer}", customer=customer)
    body = padded(event("invoice.paid", snapshot(bill, "paid"), at="01-01", id=f"evt_{customer}"), size)
    assert size == len(body)

    answered, answer = post(program, body)

    assert status == answered, answer
    if status == 200:
        program.catch_up({f"{answer['topic']}-{answer['partition']}": answer["offset"]})
        assert program.answer(customer, "orders", on("01-10"))["reason"] == "paid"


def test_several_query_processes_answer_alike(program: Running) -> None:
    """A second query process, started beside the first, gives the same answer."""
    customer = f"cus_{uuid.uuid4().hex}"
    bill = paid(Line(price="price_strict"), id=f"in_{customer}", customer=customer)
    program.catch_up(program.send_all(events(bill)))
    address = free_address()
    second = replace(
        program,
        environment={**program.environment, "ENTITLE_QUERY_ADDRESS": str(address)},
        edge=replace(program.edge, query=f"http://{address}"),
    )
    with second.another("query"):
        deadline = time.monotonic() + 30
        while second.edge.ready():
            assert time.monotonic() < deadline, second.edge.ready()
            time.sleep(0.1)

        assert program.answer(customer, "orders", on("01-10")) == second.answer(customer, "orders", on("01-10"))


def test_a_dead_child_is_started_again_and_that_is_said(program: Running) -> None:
    """A query process killed with -9 is back and ready within seconds; the supervisor says what happened."""
    pid = program.pid_of("query")
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while pid in children_of(program.process.pid) or program.edge.ready():
        assert time.monotonic() < deadline, program.edge.ready()
        time.sleep(0.1)

    assert "query ended with SIGKILL" in (program.folder / "said.txt").read_text(encoding="utf-8")


def twice_recorded(program: Running) -> dict[str, list[Any]]:
    """Facts that stand twice under what should be their key, and records that a group has counted twice."""
    queries = {  # a group's provenance has one row for each offset, so as many as the offsets span
        "grants": "SELECT line, status, finalized_at, paid_at, usage_type, subscription_item FROM grants GROUP BY "
        "integration, invoice, line, status, finalized_at, paid_at, usage_type, subscription_item, price_plan "
        "HAVING count(*) > 1",
        "revocations": "SELECT invoice, kind, line, at FROM revocations GROUP BY integration, invoice, kind, line, at, "
        "subscription_item, credited_lines HAVING count(*) > 1",
        "provenance": "SELECT consumer_group, topic, partition FROM provenance GROUP BY 1, 2, 3 "
        'HAVING count(*) <> max("offset") - min("offset") + 1',
    }
    return {name: found for name, query in queries.items() if (found := rows(program, query))}


def rows(program: Running, query: str, **parameters: Any) -> list[Any]:
    """What the program's database says."""
    url = sa.make_url(program.environment["ENTITLE_DATABASE_URL"]).set(drivername="postgresql+psycopg2")
    engine = sa.create_engine(
        url, poolclass=sa.NullPool, connect_args={"options": "-csearch_path=entitlements -ctimezone=UTC"}
    )
    with engine.connect() as connection:
        return list(connection.execute(sa.text(query), parameters).all())


def padded(body: dict[str, Any], size: int) -> bytes:
    """The event as JSON of exactly *size* bytes."""
    text = json.dumps(body | {"padding": ""}).encode()
    return json.dumps(body | {"padding": "x" * (size - len(text))}).encode()


def post(program: Running, body: bytes) -> tuple[int, dict[str, Any]]:
    """One signed delivery; the status and the JSON of the answer."""
    connection = http.client.HTTPConnection(program.edge.ingest.removeprefix("http://"), timeout=30)
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": signature(body, SECRET, datetime.now(UTC)),
    }
    with contextlib.closing(connection):
        connection.request("POST", "/webhooks/stripe/main", body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
