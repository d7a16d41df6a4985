"""All gateways before one API, with the whole program behind them, and what Stripe says of customers. Edge: HTTP."""

from __future__ import annotations

import json
import time
import urllib.request
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ops.settings import Address
from tests.acceptance.gateways.passage import Passage
from tests.acceptance.gateways.recipes import GATEWAYS, Gateway, started
from tests.acceptance.gateways.seen import Api, Told, ask, listening
from tests.acceptance.plant import Plant
from tests.acceptance.running import ADMIN_TOKEN, SECRET, TOKEN
from tests.stripe_builders import Bill, Line, events, written
from tests.taking_back import charge

PATIENCE_S = 20.0

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """A customer of Stripe's who holds an API key, and the invoice of a cycle that began yesterday."""

    id: str
    key: str
    bill: Bill

    @property
    def invoice(self) -> str:
        return self.bill.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """Gateways by name, started when a test first asks for one and kept running; they ask the program of *plant*."""

    names: Sequence[str]
    plant: Plant
    api: Api
    until_end: ExitStack
    _running: dict[tuple[str, str, int], Gateway] = field(default_factory=dict)

    @property
    def query(self) -> Address:
        host, _, port = self.plant.edge.query.removeprefix("http://").rpartition(":")
        return Address(host, int(port))

    def gateway(self, name: str, variant: str, *, by: Passage | None = None) -> Gateway:
        """The gateway *name*; asks *by* a passage, or the query process itself."""
        query = self.query if by is None else by.address
        place = (name, variant, query.port)
        if place not in self._running:
            made = started(name, variant, query=query, api=self.api.address, token=TOKEN)
            self._running[place] = self.until_end.enter_context(made)
        return self._running[place]

    def gateways(self, variant: str, *, by: Passage | None = None) -> tuple[Gateway, ...]:
        """Every gateway that has this variant."""
        return tuple(self.gateway(name, variant, by=by) for name in self.names if variant in GATEWAYS[name].variants)

    def everywhere(self, variants: Sequence[str] = ("closed", "open"), **asked: Any) -> dict[str, Told]:
        """What each gateway answers to the same request."""
        return {str(gateway): ask(gateway, **asked) for variant in variants for gateway in self.gateways(variant)}

    def customer(self, *, until: datetime | None = None, price: str = "price_strict") -> Customer:
        """A new customer with a key, of whom Stripe has said nothing yet; the cycle would end *until*."""
        now, tag = datetime.now(UTC).replace(microsecond=0), uuid.uuid4().hex[:12]
        line = Line(id=f"il_{tag}", price=price, start=written(now - DAY), end=written(until or now + DAY))
        line = replace(line, subscription=f"sub_{tag}", item=f"si_{tag}")
        bill = Bill(id=f"in_{tag}", customer=f"cus_{tag}", lines=(line,), finalized=written(now - DAY))
        return Customer(id=bill.customer, key=self._key(bill.customer), bill=bill)

    def finalize(self, customer: Customer) -> None:
        """Stripe says that the invoice is open."""
        self._deliver(events(customer.bill)[-1])

    def pay(self, *customers: Customer) -> None:
        """Stripe says that the invoices were paid."""
        for each in customers:
            self._deliver(events(replace(each.bill, paid=each.bill.finalized))[-1])

    def refund(self, customer: Customer) -> None:
        """Stripe says that all of what was paid was given back, just now."""
        now = written(datetime.now(UTC).replace(microsecond=0))
        tag = customer.id.removeprefix("cus_")
        self._deliver(
            charge(
                refunded=2500,
                at=now,
                invoice=customer.invoice,
                id=f"ch_{tag}",
                customer=customer.id,
                payment_intent=f"pi_{tag}",
            )
        )

    def until(self, happened: Callable[[], bool], what: str) -> float:
        """Wait for it; after how many seconds it was so."""
        begun = time.monotonic()
        while not happened():
            assert time.monotonic() < begun + PATIENCE_S, f"not within {PATIENCE_S:.0f} s: {what}"
            time.sleep(0.02)
        return time.monotonic() - begun

    def until_told(self, status: int, customer: Customer, path: str = "/orders/1") -> None:
        """Wait until the first of the gateways answers so."""
        gateway = self.gateway(self.names[0], "closed")
        self.until(lambda: ask(gateway, path, key=customer.key).status == status, f"{gateway} answers {status}")

    def _deliver(self, event: Mapping[str, Any]) -> None:
        named = {**event, "id": f"evt_{uuid.uuid4().hex}"}
        told = self.plant.edge.deliver(named, integration="main", secret=SECRET, at=datetime.now(UTC))
        assert (told.status, told.body.get("status")) == (200, "published"), told

    def _key(self, customer: str) -> str:
        """A new API key, as a portal makes it."""
        request = urllib.request.Request(  # noqa: S310  # our own listener's URL
            f"{self.plant.edge.query}/v1/customers/{customer}/keys",
            data=b"{}",
            headers={"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310
            key: str = json.load(answer)["key"]
            return key


def put_up(names: Sequence[str], plant: Plant) -> Stand:
    """The stand; it stays until its `until_end` is closed."""
    until_end = ExitStack()
    return Stand(names=names, plant=plant, api=until_end.enter_context(listening()), until_end=until_end)
