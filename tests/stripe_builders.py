"""
What Stripe would send, built from what a test wants to say, in each of the shapes that API versions give it. Pure.

Times are written as `"01-31"`, `"01-31T01:05"` or `"2027-01-31T01:05:09"`: UTC, in 2026 unless a year is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from itertools import count
from typing import Any

Json = dict[str, Any]

CUSTOMER = "cus_1"


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
    total = sum(line.amount for line in bill.lines)
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
        "lines": {"object": "list", "data": [_line(line, shape) for line in bill.lines], "has_more": False},
        "livemode": False,
        "metadata": dict(bill.metadata),
        "number": f"ACME-{bill.id}",
        # The window in which invoice items could be attached: a trap, since no rule reads it.
        "period_start": seconds(on("2025-06-01")),
        "period_end": seconds(on("2025-07-01")),
        "status": status,
        "status_transitions": _transitions(bill, status),
        "total": total,
    }
    return body | _subscription_fields(bill, status, shape) | changes


def _transitions(bill: Bill, status: str) -> dict[str, int | None]:
    reached = bill.moment(status)
    transitions: dict[str, int | None] = {}
    for name, (transition, _) in _STATUSES.items():
        at = bill.moment(name)
        passed = at is not None and reached is not None and at <= reached and name in ("open", "uncollectible")
        transitions[transition] = seconds(at) if passed or name == status else None
    return transitions


def _subscription_fields(bill: Bill, status: str, shape: Shape) -> Json:
    subscription = next((line.subscription for line in bill.lines if line.subscription), None)
    fields: Json = {}
    if shape is not Shape.NEW:
        fields |= {"subscription": subscription, "paid": status == "paid", "charge": None, "payment_intent": None}
    if shape is not Shape.OLD:
        details: Json = {"metadata": {}, "subscription": subscription}
        parent = {"type": "subscription_details", "subscription_details": details, "quote_details": None}
        fields["parent"] = None if subscription is None else parent
    return fields


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
