"""
What Stripe would send, built from what a test wants to say, in each of the shapes that API versions give it; and a
memory in place of the database, for tests of the pure core. Pure.

Times are written as `"01-31"`, `"01-31T01:05"` or `"2027-01-31T01:05:09"`: UTC, in 2026 unless a year is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from itertools import count
from typing import Any

from consumers import grants, invoices, revocations
from entitlements.domain.access import Decision, Scope, Standing, apis_of, decide, standing
from entitlements.domain.catalog import Revision, Revisions
from entitlements.domain.catalog_document import read_catalog
from entitlements.domain.facts import CatalogRevision, Customer, CustomerFacts, Fact, Grant, InvoiceSnapshot, Revocation
from entitlements.domain.invoice import InvoiceHistory, histories
from entitlements.domain.spans import Billed, billed
from schemas.codec import Message, StripeMessage

Json = dict[str, Any]

INTEGRATION = "main"
CUSTOMER = "cus_1"
DECIDERS: tuple[Callable[[Message], tuple[Fact, ...]], ...] = (grants.decide, revocations.decide, invoices.decide)


def on(text: str) -> datetime:
    """The moment that *text* writes: `on("01-31T01:05")`."""
    return datetime.fromisoformat(text if text.count("-") > 1 else f"2026-{text}").replace(tzinfo=UTC)


def written(moment: datetime) -> str:
    """A moment as tests write it, in the shortest form: the inverse of `on`."""
    text = moment.replace(tzinfo=None).isoformat().removeprefix("2026-")
    return text.removesuffix("T00:00:00") if text.endswith("T00:00:00") else text.removesuffix(":00")


def seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


class Shape(StrEnum):
    """How an event is rendered; a version's name decides nothing, the fields that are there do."""

    OLD = "2022-11-15"
    NEW = "2025-05-28.basil"
    MIXED = "2022-11-15, rendered today"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An invoice's line: by default a month of `price_enterprise`, of an item of a subscription."""

    id: str = "il_1"
    price: str | None = "price_enterprise"
    start: str = "01-01"
    end: str = "02-01"
    amount: int = 2500
    quantity: int | str | None = 1
    subscription: str | None = "sub_1"
    item: str | None = "si_1"
    proration: bool = False
    usage_type: str = "licensed"
    metadata: Mapping[str, str] = field(default_factory=dict)
    price_metadata: Mapping[str, str] = field(default_factory=dict)
    credited: tuple[str, tuple[str, ...]] | None = None


def one_off(**changes: Any) -> Line:
    """A line that comes from no subscription."""
    return replace(Line(subscription=None, item=None), **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """An invoice and what became of it: when it was finalized, paid, voided, marked uncollectible, if ever."""

    id: str = "in_1"
    customer: str = CUSTOMER
    lines: tuple[Line, ...] = (Line(),)
    reason: str = "subscription_create"
    created: str | None = None
    due: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    finalized: str | None = None
    uncollectible: str | None = None
    paid: str | None = None
    voided: str | None = None

    def moment(self, status: str) -> datetime | None:
        text = {
            "open": self.finalized,
            "uncollectible": self.uncollectible,
            "paid": self.paid,
            "void": self.voided,
        }.get(status)
        return None if text is None else on(text)

    @property
    def created_at(self) -> datetime:
        return on(self.created or self.finalized or self.paid or "01-01")


def paid(*lines: Line, at: str = "01-01", **changes: Any) -> Bill:
    """An invoice finalized and paid at one moment."""
    return Bill(**({"lines": lines or (Line(),), "finalized": at, "paid": at} | changes))


_STATUSES = {
    "open": ("finalized_at", "invoice.finalized"),
    "uncollectible": ("marked_uncollectible_at", "invoice.marked_uncollectible"),
    "void": ("voided_at", "invoice.voided"),
    "paid": ("paid_at", "invoice.paid"),
}


def snapshot(bill: Bill, status: str, *, shape: Shape = Shape.OLD, **changes: Any) -> Json:
    """The invoice object as Stripe shows it once *status* is reached; *changes* overwrite what it holds."""
    reached = bill.moment(status)
    transitions: dict[str, int | None] = {}
    for name, (transition, _) in _STATUSES.items():
        at = bill.moment(name)
        passed = at is not None and reached is not None and at <= reached and name in ("open", "uncollectible")
        transitions[transition] = seconds(at) if passed or name == status else None
    total = sum(line.amount for line in bill.lines)
    subscription = next((line.subscription for line in bill.lines if line.subscription), None)
    body: Json = {
        "id": bill.id,
        "object": "invoice",
        "amount_due": total,
        "amount_paid": total if status == "paid" else 0,
        "amount_remaining": 0 if status == "paid" else total,
        "attempt_count": 0,
        "billing_reason": bill.reason,
        "collection_method": "charge_automatically" if bill.due is None else "send_invoice",
        "created": seconds(bill.created_at),
        "currency": "usd",
        "customer": bill.customer,
        "due_date": None if bill.due is None else seconds(on(bill.due)),
        "hosted_invoice_url": f"https://invoice.example.com/{bill.id}",
        "lines": {
            "object": "list",
            "data": [_line(line, shape) for line in bill.lines],
            "has_more": False,
            "total_count": len(bill.lines),
        },
        "livemode": False,
        "metadata": dict(bill.metadata),
        "number": f"ACME-{bill.id}",
        # The window in which invoice items could be attached: a trap, since no rule reads it.
        "period_start": seconds(on("2025-06-01")),
        "period_end": seconds(on("2025-07-01")),
        "status": status,
        "status_transitions": transitions,
        "total": total,
    }
    if shape is not Shape.NEW:
        body |= {"subscription": subscription, "paid": status == "paid", "charge": None, "payment_intent": None}
    if shape is not Shape.OLD:
        details: Json = {"metadata": {}, "subscription": subscription}
        body["parent"] = (
            None
            if subscription is None
            else {"type": "subscription_details", "subscription_details": details, "quote_details": None}
        )
    return body | changes


def _line(line: Line, shape: Shape) -> Json:
    body: Json = {
        "id": line.id,
        "object": "line_item",
        "amount": line.amount,
        "currency": "usd",
        "livemode": False,
        "metadata": dict(line.metadata),
        "period": {"start": seconds(on(line.start)), "end": seconds(on(line.end))},
        "quantity": line.quantity,
    }
    if shape is not Shape.NEW:
        body |= _old_fields(line)
    if shape is not Shape.OLD:
        body |= _new_fields(line)
    return body


def _old_fields(line: Line) -> Json:
    recurring = None if line.item is None else {"interval": "month", "interval_count": 1, "usage_type": line.usage_type}
    price = {
        "id": line.price,
        "object": "price",
        "type": "one_time" if recurring is None else "recurring",
        "recurring": recurring,
        "metadata": dict(line.price_metadata),
    }
    fields: Json = {
        "type": "invoiceitem" if line.proration or line.item is None else "subscription",
        "proration": line.proration,
        "proration_details": {"credited_items": _credited_items(line)},
        "price": None if line.price is None else price,
        "subscription": line.subscription,
    }
    return fields if line.item is None else fields | {"subscription_item": line.item}


def _new_fields(line: Line) -> Json:
    details: Json = {
        "proration": line.proration,
        "proration_details": {"credited_items": _credited_items(line)},
        "subscription": line.subscription,
    }
    kind = "invoice_item_details"
    if line.item is not None:
        kind, details = "subscription_item_details", details | {"subscription_item": line.item}
    other = {"invoice_item_details": None, "subscription_item_details": None}
    price_details = {"type": "price_details", "price_details": {"price": line.price, "product": "prod_1"}}
    return {
        "parent": {**other, "type": kind, kind: details},
        "pricing": None if line.price is None else price_details,
        "taxes": [],
    }


def _credited_items(line: Line) -> Json | None:
    return None if line.credited is None else {"invoice": line.credited[0], "invoice_line_items": [*line.credited[1]]}


_numbers = count(1)


def event(kind: str, about: Mapping[str, Any], *, at: str | datetime, id: str | None = None) -> Json:  # noqa: A002
    """An event of type *kind* about an object, created *at*; each has an id of its own unless one is given."""
    return {
        "id": id or f"evt_{next(_numbers)}",
        "object": "event",
        "api_version": "2022-11-15",
        "created": seconds(on(at) if isinstance(at, str) else at),
        "data": {"object": dict(about)},
        "livemode": False,
        "type": kind,
    }


def events(*bills: Bill, shape: Shape = Shape.OLD) -> list[Json]:
    """One event for each status that each of the invoices came to, created at that moment, in order of time."""
    reached = [
        (at, kind, snapshot(bill, status, shape=shape))
        for bill in bills
        for status, (_, kind) in _STATUSES.items()
        if (at := bill.moment(status)) is not None
    ]
    return [event(kind, about, at=at) for at, kind, about in sorted(reached, key=lambda each: each[0])]


Memory = dict[bytes, Fact]
"""The facts by digest, each with the smallest `stated_at` it was given: what the database keeps."""


def record(memory: Memory, stripe_events: Iterable[Json], *, integration: str = INTEGRATION) -> Memory:
    """What all consumers find in events is added to *memory*."""
    for each in stripe_events:
        for decider in DECIDERS:
            remember(memory, decider(StripeMessage(integration=integration, event=each)))
    return memory


def remember(memory: Memory, facts: Iterable[Fact]) -> Memory:
    """Facts are added to *memory* as the database does: a known one at most gets a smaller `stated_at`."""
    for said in facts:
        known = memory.setdefault(said.digest, said)
        if not isinstance(known, Customer | CatalogRevision) and not isinstance(said, Customer | CatalogRevision):
            memory[said.digest] = replace(known, stated_at=min(known.stated_at, said.stated_at))
    return memory


def facts_of(memory: Memory, customer: str = CUSTOMER, *, integration: str = INTEGRATION) -> CustomerFacts:
    """What *memory* knows of a customer."""
    known = [fact for fact in memory.values() if (fact.integration, fact.customer) == (integration, customer)]
    return CustomerFacts(
        named=any(isinstance(fact, Customer) for fact in known),
        grants=tuple(fact for fact in known if isinstance(fact, Grant)),
        revocations=tuple(fact for fact in known if isinstance(fact, Revocation)),
        invoices=tuple(fact for fact in known if isinstance(fact, InvoiceSnapshot)),
    )


def history(*stripe_events: Json, invoice: str = "in_1") -> InvoiceHistory:
    """One invoice, joined from what these events say."""
    return histories(facts_of(record({}, stripe_events)))[invoice]


def plan(
    *,
    prices: Sequence[str] = ("price_enterprise",),
    apis: Sequence[str] = ("orders", "invoices"),
    calls: int | None = None,
    quotas: Sequence[Mapping[str, Any]] = (),
    every: str = "month",
    **access: str,
) -> Json:
    """
    A plan of a catalog document that opens nothing but paid cycles, without leeway unless *access* says otherwise.

    *calls* is the limit of a strict quota of that name.
    """
    counted = [] if calls is None else [{"name": "calls", "limit": calls}]
    return {
        "cost": "paid",
        "base_price": {"amount": "25.00", "currency": "usd", "every": every},
        "stripe_prices": list(prices),
        "apis": list(apis),
        "quotas": [*counted, *quotas],
        "access": {"renewal_leeway": "0s"} | access,
    }


def catalog(plans: Mapping[str, Json] | None = None, *, elsewhere: Mapping[str, Json] | None = None) -> Json:
    """A catalog document: *plans* of the marketplace `acme`, *elsewhere* those of `other`, both of one integration."""
    sold = {"acme": {"enterprise": plan()} if plans is None else plans, "other": elsewhere}
    return {
        "catalog": 1,
        "integrations": {INTEGRATION: {"mode": "test", "signing_secrets_env": "STRIPE_SIGNING_SECRETS"}},
        "marketplaces": {"acme": {"integration": INTEGRATION}, "other": {"integration": INTEGRATION}},
        "products": {
            f"product-of-{marketplace}": {"marketplace": marketplace, "plans": dict(offered)}
            for marketplace, offered in sold.items()
            if offered
        },
    }


def revisions(*documents: Json | tuple[str, Json]) -> Revisions:
    """Catalog revisions, numbered as given; all but the first say from when on they are in force."""
    read = []
    for number, each in enumerate(documents, 1):
        start, document = (None, each) if isinstance(each, dict) else (on(each[0]), each[1])
        found, mistakes = read_catalog(document)
        assert found is not None, mistakes
        read.append(Revision(number=number, in_force_from=start, catalog=found))
    return Revisions(revisions=tuple(read))


def plans(**named: Json) -> Revisions:
    """One catalog revision with these plans."""
    return revisions(catalog(named))


def stand(
    stripe_events: Iterable[Json],
    *,
    terms: Revisions | None = None,
    customer: str = CUSTOMER,
    scope: Scope | None = None,
) -> Standing:
    """Where a customer stands after these events."""
    facts = facts_of(record({}, stripe_events), customer)
    return standing(facts, scope or Scope(integration=INTEGRATION), terms or revisions(catalog()))


def ask(
    *bills: Bill,
    at: str,
    api: str = "orders",
    terms: Revisions | None = None,
    customer: str = CUSTOMER,
    scope: Scope | None = None,
    now: str = "12-31",
    shape: Shape = Shape.OLD,
) -> Decision:
    """The decision about *api* at a moment, all of the invoices' events being known."""
    scope = scope or Scope(integration=INTEGRATION)
    terms = terms or revisions(catalog())
    standing_then = stand(events(*bills, shape=shape), terms=terms, customer=customer, scope=scope)
    return decide(standing_then, api, on(at), known_apis=apis_of(standing_then, scope, terms, on(now)))


def bill_of(stripe_events: Iterable[Json], *, terms: Revisions | None = None) -> Billed:
    """All that these events bill to the customer."""
    return billed(histories(facts_of(record({}, stripe_events))), INTEGRATION, terms or revisions(catalog()))


def opened(*bills: Bill, terms: Revisions | None = None, shape: Shape = Shape.OLD) -> list[str]:
    """What the invoices' lines open, sorted: `"il_1 paid 01-01..02-01"`, with the line, the reason and the period."""
    return spans_in(bill_of(events(*bills, shape=shape), terms=terms))


def spans_in(everything: Billed) -> list[str]:
    """The spans, sorted and written as in `opened`."""
    return sorted(
        f"{span.cycle.line.id} {span.reason} {written(span.period.start)}..{written(span.period.end)}"
        for span in everything.spans
    )
