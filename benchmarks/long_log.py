"""
A log as years of billing leave it: a realistic mix of what Stripe sends, by the million. Edge: a file beside it, Kafka.

Month after month, of each customer an invoice: opened, finalized, updated, paid, and beside it the charge and the
subscription; one in fifty is refunded. About 5 KB each, as ingest publishes them: redacted, in short runs by partition.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kafka import KafkaProducer

from consumers.log import Source
from ingest.redaction import redacted
from schemas.codec import encode_stripe
from schemas.topics import EVENTS, MAX_MESSAGE_BYTES

PAID = Path(__file__).with_name("invoice_paid.json")
MONTH_S = 30 * 24 * 3600
MONTHS = 3
RUN = 16
"""Records that go to one partition together, since ingest had them under way together."""

WAIT_EVERY = 20_000
REFUNDED_ONE_IN = 50
MIX = ("invoice.created", "invoice.finalized", "charge.succeeded", "invoice.updated", "invoice.paid")
MIX_AFTER = ("invoice.payment_succeeded", "customer.subscription.updated")
PER_INVOICE = len(MIX) + len(MIX_AFTER)

CHARGE: dict[str, Any] = {
    "id": "ch_%(invoice)s",
    "object": "charge",
    "amount": 2500,
    "amount_captured": 2500,
    "amount_refunded": 0,
    "balance_transaction": "txn_%(invoice)s",
    "captured": True,
    "created": "%(later)d",
    "currency": "usd",
    "customer": "%(customer)s",
    "description": "Subscription update",
    "invoice": "%(invoice)s",
    "outcome": {
        "network_status": "approved_by_network",
        "reason": None,
        "risk_level": "normal",
        "seller_message": "Payment complete.",
        "type": "authorized",
    },
    "paid": True,
    "payment_intent": "pi_%(invoice)s",
    "payment_method": "pm_%(customer)s",
    "payment_method_details": {
        "type": "card",
        "card": {"brand": "visa", "country": "US", "exp_month": 8, "exp_year": 2030, "funding": "credit"},
    },
    "refunded": False,
    "status": "succeeded",
}


def fill(source: Source, partitions: int, count: int, processes: int = 2) -> None:
    """Put so many records into the events' topic, the same ones each time."""
    started = time.monotonic()
    context = multiprocessing.get_context("spawn")
    parts = [
        context.Process(target=_put, args=(source.bootstrap, partitions, count, number, processes))
        for number in range(processes)
    ]
    for part in parts:
        part.start()
    for part in parts:
        part.join()
        if part.exitcode:
            raise SystemExit("the log could not be filled")
    print(f"{count:,} records put in {time.monotonic() - started:.0f} s", file=sys.stderr)


def customers_in(count: int) -> int:
    """How many customers so many records are of."""
    return max(1, count // (PER_INVOICE * MONTHS))


def _put(bootstrap: str, partitions: int, count: int, mine: int, of: int) -> None:
    producer = KafkaProducer(
        bootstrap_servers=bootstrap,
        acks=1,
        linger_ms=20,
        batch_size=512 * 1024,
        max_request_size=MAX_MESSAGE_BYTES,
        metrics_enabled=False,
    )
    customers = customers_in(count)
    for number in range(count):
        run = number // RUN
        if run % of == mine:
            key, value, headers = record(number, customers)
            producer.send(EVENTS, key=key, value=value, headers=headers, partition=run % partitions)
        if number % WAIT_EVERY == 0:
            producer.flush(timeout=60)  # it keeps all that is under way in memory, without bound
    producer.flush(timeout=60)
    producer.close()


def record(number: int, customers: int) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """The record of that number, of a log of so many customers."""
    invoice, step = divmod(number, PER_INVOICE)
    month, customer = divmod(invoice, customers)
    start = 1_735_689_600 + month * MONTH_S + customer % MONTH_S
    kind = (*MIX, *MIX_AFTER)[step]
    if kind == "customer.subscription.updated" and invoice % REFUNDED_ONE_IN == 0:
        kind = "charge.refunded"
    names: dict[str, Any] = {
        "event": f"evt_{number:024d}",
        "customer": f"cus_{customer:014d}",
        "invoice": f"in_{month:02d}{customer:022d}",
        "subscription": f"sub_{customer:024d}",
        "start": start,
        "end": start + MONTH_S,
        "later": start + 60 + step,
    }
    template, key, headers = _TEMPLATES[kind]
    filled = [(name, value if name != "ce_id" else names["event"].encode()) for name, value in headers]
    return (key % names).encode(), (template % names).encode(), filled


def _templates() -> Iterator[tuple[str, tuple[str, str, list[tuple[str, bytes]]]]]:
    invoice_paid = json.loads(PAID.read_text(encoding="utf-8"))
    for kind in (*MIX, *MIX_AFTER, "charge.refunded"):
        event: dict[str, Any] = json.loads(json.dumps(invoice_paid)) | {"type": kind}
        event["data"]["object"] = _object(kind, event["data"]["object"])
        event, written = redacted(event)
        key, _, headers = encode_stripe(integration="main", event={**event, "created": 1_735_689_600})
        text = written.decode()
        for name in ("start", "end", "later"):
            text = text.replace(f'"%({name})d"', f"%({name})d")
        yield kind, (text, key.decode(), list(headers))


def _object(kind: str, invoice: dict[str, Any]) -> Mapping[str, Any]:
    match kind:
        case "invoice.created" | "invoice.finalized" | "invoice.updated":
            status = "draft" if kind == "invoice.created" else "open"
            invoice |= {"status": status, "paid": False, "amount_paid": 0, "amount_remaining": invoice["total"]}
            invoice |= {"attempted": False, "attempt_count": 0, "auto_advance": True, "charge": None}
            invoice["status_transitions"]["paid_at"] = None
            if status == "draft":
                invoice["status_transitions"]["finalized_at"] = None
            return invoice
        case "charge.succeeded":
            return CHARGE
        case "charge.refunded":
            return {**CHARGE, "amount_refunded": 2500, "refunded": True}
        case "customer.subscription.updated":
            return {
                "id": "%(subscription)s",
                "object": "subscription",
                "customer": "%(customer)s",
                "current_period_start": "%(start)d",
                "current_period_end": "%(end)d",
                "created": "%(start)d",
                "status": "active",
                "latest_invoice": "%(invoice)s",
                "items": {"object": "list", "data": [line["price"] for line in invoice["lines"]["data"]]},
            }
        case _:
            return invoice


_TEMPLATES = dict(_templates())
