"""
Stripe and a gateway during an outage, and the reckoning afterwards. Edge: HTTP, Kafka, Postgres.

Stripe delivers signed webhooks all the time, each again until it is answered 200, and every answer is kept. The
reckoning is the promise: what was answered 200 lies in the log exactly where the answer said, and in the facts and the
provenance of every consumer group, each record once; everything else was answered 503.
"""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from ops.asking import NoAnswer
from schemas.topics import CONSUMER_GROUPS, EVENTS
from tests.acceptance.plant import PATIENCE_S, Plant, wait_until
from tests.acceptance.running import SECRET
from tests.ingesting import Told, records
from tests.stripe_builders import Bill, Line, events, on, paid
from tests.webhooks import body_of

SENDERS = 3
PAUSE_S = 0.1
STEADY = "cus_steady"
"""A customer who has paid before anything goes wrong, and about whom the gateway asks."""

ENDINGS: tuple[dict[str, Any], ...] = ({"paid": "01-02"}, {"voided": "01-03"}, {"uncollectible": "02-11"})
"""How the invoices that are delivered end, in turn, so that every group has facts to record."""

Place = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One delivery of an event; *told* is None where nobody listened, or the connection broke."""

    event: Mapping[str, Any]
    told: Told | None

    @property
    def invoice(self) -> tuple[str, str]:
        """The invoice and the status that the event shows it in."""
        about = self.event["data"]["object"]
        return about["id"], about["status"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What went to and fro: every delivery with its answer, and how often the gateway was told what."""

    deliveries: list[Delivery] = field(default_factory=list)
    told: Counter[tuple[int | None, str | None]] = field(default_factory=Counter)

    def statuses(self) -> dict[int | None, int]:
        """How often deliveries were answered with what; None is no answer at all."""
        return Counter(each.told.status if each.told else None for each in self.deliveries)


@contextmanager
def traffic(plant: Plant) -> Iterator[Traffic]:
    """Deliveries and questions while the context lasts; in the end all is delivered and read."""
    seen, over = Traffic(), threading.Event()
    [*_, was_paid] = events(paid(Line(id="il_steady", price="price_strict"), id="in_steady", customer=STEADY))
    _insist(plant, seen, {**was_paid, "id": "evt_steady"})
    plant.catch_up()
    threads = [threading.Thread(target=_deliver, args=(plant, seen, over)) for _ in range(SENDERS)]
    threads.append(threading.Thread(target=_ask, args=(plant, seen, over)))
    for thread in threads:
        thread.start()
    try:
        time.sleep(1)
        yield seen
        time.sleep(1)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    plant.catch_up()


def deliver(plant: Plant, count: int) -> Traffic:
    """So many invoices, paid, one after the other, each until it is answered 200; nobody asks."""
    seen, tag = Traffic(), uuid.uuid4().hex[:12]
    for number in range(count):
        line = Line(id=f"il_{tag}_{number}", price="price_strict")
        [*_, was_paid] = events(paid(line, id=f"in_{tag}_{number}", customer=f"cus_{tag}_{number}"))
        _insist(plant, seen, {**was_paid, "id": f"evt_{tag}_{number}"})
    return seen


def _insist(plant: Plant, seen: Traffic, event: Mapping[str, Any]) -> None:
    wait_until(lambda: _delivered(plant, seen, event), "it is delivered", lambda: seen.deliveries[-1].told)


def _deliver(plant: Plant, seen: Traffic, over: threading.Event) -> None:
    """Invoice after invoice; an event that is not answered 200 is delivered again, for a while even when it is over."""
    tag = uuid.uuid4().hex[:12]
    for number in itertools.count():
        bill = Bill(
            id=f"in_{tag}_{number}",
            customer=f"cus_{tag}_{number}",
            lines=(Line(id=f"il_{tag}_{number}", price="price_strict"),),
            finalized="01-01",
        )
        bill = replace(bill, **ENDINGS[number % len(ENDINGS)])
        for step, event in enumerate(events(bill)):
            patience = time.monotonic() + PATIENCE_S
            while not _delivered(plant, seen, {**event, "id": f"evt_{tag}_{number}_{step}"}):
                if over.is_set() and time.monotonic() > patience:
                    return
                time.sleep(0.2)
            if over.wait(PAUSE_S):
                return


def _delivered(plant: Plant, seen: Traffic, event: Mapping[str, Any]) -> bool:
    try:
        told = plant.ingest.deliver(body_of(event), SECRET)
    except OSError:
        told = None
    seen.deliveries.append(Delivery(event=event, told=told))
    return told is not None and told.status == 200


def _ask(plant: Plant, seen: Traffic, over: threading.Event) -> None:
    while not over.wait(PAUSE_S):
        try:
            told = plant.edge.evaluate(customer=STEADY, api="orders", at=on("01-10"))
        except NoAnswer:
            seen.told[None, None] += 1
        else:
            seen.told[told.status, told.body.get("context", {}).get("reason")] += 1


def faults(plant: Plant, seen: Traffic, *, was_down: Sequence[str] = ()) -> list[str]:
    """What breaks the promise, in words; *was_down* names the processes that the test itself had ended meanwhile."""
    lying = {
        (record.partition, record.offset): dict(record.headers)["ce_id"].decode()
        for record in records(plant.kafka, EVENTS)
    }
    found = [f"{name} has ended" for name in plant.dead()]
    found += _answers(seen, lying, was_down)
    found += _provenance(plant, lying)
    found += _facts(plant, seen)
    return found


def _answers(seen: Traffic, lying: Mapping[Place, str], was_down: Sequence[str]) -> Iterator[str]:
    for each in seen.deliveries:
        match each.told:
            case None if "ingest" not in was_down:
                yield f"{each.event['id']} was not answered"
            case Told(status=200) as told:
                if told.body["event"] != each.event["id"] or lying.get(told.place) != each.event["id"]:
                    yield f"{each.event['id']} does not lie where its answer says: {told.body}"
            case Told(status=503, headers=headers):
                if "retry-after" not in headers:
                    yield f"{each.event['id']} was answered 503 without Retry-After"
            case Told() as told:
                yield f"{each.event['id']} was answered {told.status}: {told.body}"
    allowed = {(200, "paid"), (503, None), *([(None, None)] if "query" in was_down else [])}
    yield from (f"the gateway was told {told}" for told in seen.told if told not in allowed)


def _provenance(plant: Plant, lying: Mapping[Place, str]) -> Iterator[str]:
    """Every record of the log once in every group, under its event's id, and none set aside."""
    rows = plant.rows(
        'SELECT consumer_group, "partition", "offset", event_id, outcome FROM provenance WHERE topic = :topic',
        topic=EVENTS,
    )
    wanted = Counter((group, place, event) for group in CONSUMER_GROUPS for place, event in lying.items())
    given = Counter((group, (partition, offset), event) for group, partition, offset, event, _ in rows)
    yield from (f"not in the provenance: {each}" for each in (wanted - given))
    yield from (f"in the provenance, but not in the log, or twice: {each}" for each in (given - wanted))
    yield from (f"set aside: {row}" for row in rows if row.outcome == "dead_letter")


def _facts(plant: Plant, seen: Traffic) -> Iterator[str]:
    """Every invoice's status that was answered 200 once in the facts of each group that records it."""
    kinds = {"void": "voided", "uncollectible": "marked_uncollectible"}
    acknowledged = {each.invoice for each in seen.deliveries if each.told and each.told.status == 200}
    ended = {(invoice, kinds[status]) for invoice, status in acknowledged if status in kinds}
    for table, column, wanted in (
        ("grants", "status", acknowledged),
        ("invoices", "status", acknowledged),
        ("revocations", "kind", ended),
    ):
        rows = plant.rows(f"SELECT invoice, {column} FROM {table}")  # noqa: S608  # names of ours
        given = Counter((invoice, said) for invoice, said in rows)
        yield from (f"not in {table}: {each}" for each in sorted(wanted - given.keys()))
        yield from (f"in {table} {given[each]} times: {each}" for each in sorted(wanted) if given[each] > 1)
