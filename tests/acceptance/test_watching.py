"""The program watched as operators watch it: every process's health and metrics, and what stands in their logs."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from kafka import KafkaProducer

from ops.settings import free_address
from ops.stack import running
from schemas.topics import CONSUMER_GROUPS, EVENTS
from tests.acceptance.running import SECRET, TOKEN, Running, up
from tests.scraping import probe, scrape
from tests.stripe_builders import Line, events, on, paid
from tests.yard import wait_until

CUSTOMER = f"cus_{uuid.uuid4().hex}"
PLANTED = "pl4nted"
PROGRAMS = {"ingest": "ingest", "consumers": "grants+invoices+revocations", "query": "query"}
POISON = f"evt_poison_{CUSTOMER}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A program that logs all it can say as JSON, and where each process answers its health."""

    program: Running
    addresses: dict[str, str]

    def lines(self) -> dict[str, list[dict[str, Any]]]:
        """The log of each process, a record a line; what is no record is kept under `not JSON`."""
        logs = (self.program.folder / ".entitle" / "logs").glob("*.log")
        return {log.stem: [_read(line) for line in log.read_text(encoding="utf-8").splitlines()] for log in logs}


def _read(line: str) -> dict[str, Any]:
    with suppress(ValueError):
        return dict(json.loads(line))
    return {"not JSON": line}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """On servers of its own: its consumers would share the partitions with those of the program of other tests."""
    consumers = free_address()
    with TemporaryDirectory() as folder, running(Path(folder), say=lambda _: None) as stack:
        assert stack.database is not None
        assert stack.kafka is not None
        settings = {
            "ENTITLE_DATABASE_URL": stack.database.address,
            "ENTITLE_KAFKA": stack.kafka.address,
            "ENTITLE_HEALTH_ADDRESS": str(consumers),
            "ENTITLE_LOG_FORMAT": "json",
            "ENTITLE_LOG_LEVEL": "debug",
        }
        with up(tmp_path_factory.mktemp("watched"), settings) as program:
            edges = {name: getattr(program.edge, name).removeprefix("http://") for name in ("ingest", "query")}
            yield Watched(program=program, addresses={**edges, "consumers": str(consumers)})


def test_every_process_answers_its_health(watched: Watched) -> None:
    """Alive, ready, and with metrics of its own; each says which program it is."""
    for name, address in watched.addresses.items():
        wait_until(partial(is_ready, address), f"{name} is ready")
        page = scrape(address)
        assert probe(address, "/livez")[0] == 200
        assert page.total("entitle_build_info", program=PROGRAMS[name]) == 1
        assert page.value("entitle_restarts_total") == 0
        assert (page.value("process_cpu_seconds_total") or 0) > 0
        assert not [sample for sample, _ in page.samples if sample.endswith("_created")]


def test_an_event_is_followed_by_its_id_and_nothing_of_it_is_logged(watched: Watched) -> None:
    """Every line is a record of JSON; the event's id leads through all processes; payload and secrets are nowhere."""
    program = watched.program
    bill = paid(Line(price="price_strict"), id=f"in_{CUSTOMER}", customer=CUSTOMER)
    told = [planted(event) for event in events(bill)]
    forged = program.edge.deliver(
        told[0], integration="main", secret=f"whsec_{PLANTED}", at=datetime.now().astimezone()
    )
    last = program.send_all(told)
    producer = KafkaProducer(bootstrap_servers=program.environment["ENTITLE_KAFKA"])
    value, headers = f'{{"{PLANTED}'.encode(), [("ce_integration", b"main"), ("ce_id", POISON.encode())]
    poison = producer.send(EVENTS, key=b"poison", value=value, headers=headers).get(10)
    producer.close()
    program.catch_up({**last, f"{EVENTS}-{poison.partition}": poison.offset})
    program.answer(CUSTOMER, "orders", on("01-10"))

    logs = watched.lines()
    lines = [line for log in logs.values() for line in log]
    assert forged.status == 400
    assert set(watched.addresses) == set(logs)
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    for each in (PLANTED, SECRET, TOKEN, "invoice.example.com"):
        assert not [line for line in lines if each in json.dumps(line)]
    for group in CONSUMER_GROUPS:
        its = [line for line in logs["consumers"] if line.get("group") == group]
        for event in told:
            assert [line["message"] for line in logs["ingest"] if line.get("event_id") == event["id"]] == ["published"]
            assert len([line for line in its if line.get("event_id") == event["id"]]) == 1
        (letter,) = (line for line in its if line.get("event_id") == POISON)
        assert (letter["level"], letter["message"], letter["offset"]) == ("ERROR", "dead letter", poison.offset)


def is_ready(address: str) -> bool:
    try:
        return probe(address, "/readyz")[0] == 200
    except ConnectionRefusedError:
        return False


def planted(event: dict[str, Any]) -> dict[str, Any]:
    """*event* with what must not be logged in every place where Stripe puts such things."""
    about = event["data"]["object"]
    texts = (
        "customer_email",
        "customer_name",
        "customer_phone",
        "description",
        "footer",
        "number",
        "statement_descriptor",
    )
    about = {**about, **dict.fromkeys(texts, f"{PLANTED} Ada"), "metadata": {PLANTED: f"{PLANTED} Ada"}}
    about |= {"customer_address": {"line1": PLANTED}, "hosted_invoice_url": f"https://invoice.example.com/{PLANTED}"}
    return {**event, "data": {**event["data"], "object": about}}
