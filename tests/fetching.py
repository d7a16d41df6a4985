"""Ingest that may ask Stripe's API, stood in for, about an invoice of 25 lines: for tests of what it fetches. Edge."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry

from ingest.answers import App
from ingest.app import ingest_app
from ingest.delivery import Integration
from ingest.metrics import Metrics
from ingest.stripe_api import StripeApi
from tests.ingest_in_memory import InMemory, Told, deliver_together
from tests.stripe_api import HANGING, KEY, Reply, StripeStandIn, refusal, stripe_stood_in
from tests.stripe_builders import Bill, Line, Shape, event, paid, snapshot
from tests.webhooks import SECRET, body_of

LINES = snapshot(Bill(lines=tuple(Line(id=f"il_{n}") for n in range(25)), finalized="01-01"), "open")["lines"]["data"]
BILL = Bill(lines=(), finalized="01-01", paid="01-02")
PERSON: dict[str, Any] = {"customer_name": "Ada Lovelace", "customer_email": "ada@example.com"}

BROKEN = {
    "refused": ("refused", refusal(401)),
    "forbidden": ("refused", refusal(403)),
    "too often": ("limited", refusal(429)),
    "gone": ("missing", refusal(404)),
    "failing": ("failed", refusal(500)),
    "hanging": ("late", HANGING),
    "no JSON": ("malformed", Reply(body=b"<html>")),
    "no list": ("malformed", Reply(body={"object": "list", "data": "?", "has_more": False})),
    "no ids": ("malformed", Reply(body={"object": "list", "data": [{"amount": 1}], "has_more": False})),
    "too few": ("malformed", Reply(body={"object": "list", "data": LINES[:24], "has_more": False})),
    "never ends": ("malformed", Reply(body={"object": "list", "data": LINES, "has_more": True})),
}


@contextmanager
def holding_an_invoice() -> Iterator[StripeStandIn]:
    """A stand-in that holds an invoice of 25 lines, which it gives ten at a time."""
    with stripe_stood_in(page_size=10) as found:
        found.holds(snapshot(BILL, "paid", **PERSON), LINES)
        yield found


class Ingest:
    """The application on an integration that may ask the stand-in, with what it has published and counted."""

    def __init__(self, stripes: StripeStandIn, *, key: str | None = KEY, version: str | None = None) -> None:
        accounts = frozenset({"acct_1"})
        main = Integration(name="main", mode="test", signing_secrets=(SECRET,), accounts=accounts)
        self.api = StripeApi({} if key is None else {"main": key}, {"main": version}, address=stripes.address)
        self.publisher = InMemory()
        self.registry = CollectorRegistry()
        self.app: App = ingest_app({"main": main}, self.publisher, time.monotonic, Metrics(self.registry), self.api)

    def deliver(self, *events: dict[str, Any]) -> list[Told]:
        """Deliver all of them at once."""
        try:
            return deliver_together(self.app, *([body_of(each)] for each in events))
        finally:
            self.api.close()

    @property
    def published(self) -> list[dict[str, Any]]:
        return [json.loads(value) for _, value, _ in self.publisher.records]

    @property
    def marks(self) -> list[bytes | None]:
        """What each record says that it lacks."""
        return [dict(headers).get("ce_incomplete") for _, _, headers in self.publisher.records]

    def fetches(self, what: str, outcome: str) -> float | None:
        labels = {"integration": "main", "what": what, "outcome": outcome}
        return self.registry.get_sample_value("entitle_ingest_fetches_total", labels)


def short(kind: str = "invoice.paid", status: str = "paid", **changes: Any) -> dict[str, Any]:
    """The event of the invoice of 25 lines, which carries ten of them."""
    url = "/v1/invoices/in_1/lines"
    listing = {"object": "list", "data": LINES[:10], "has_more": True, "total_count": 25, "url": url}
    about = snapshot(BILL, status, lines=listing, **PERSON)
    return {**event(kind, about, at="01-01", id="evt_1"), **changes}


PAYMENT: dict[str, Any] = {
    "id": "inpay_1",
    "object": "invoice_payment",
    "invoice": "in_1",
    "payment": {"type": "payment_intent", "payment_intent": "pi_1"},
    "status": "paid",
}
BETWEEN = "2025-04-30.basil"
"""An API version of which no event says what paid an invoice."""


def unlinked(**changes: Any) -> dict[str, Any]:
    """The event of a paid invoice in such a version."""
    about = snapshot(paid(), "paid", shape=Shape.NEW, **changes)
    return event("invoice.paid", about, at="01-01", id="evt_1") | {"api_version": BETWEEN}


def ids(found: dict[str, Any]) -> list[str]:
    return [line["id"] for line in found["data"]["object"]["lines"]["data"]]
