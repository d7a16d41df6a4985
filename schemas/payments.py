"""
Reading what Stripe says of payments and of what takes them back, of any API version, into frozen values. Pure.

By presence of fields, as `stripe_event.py`. Which payment paid an invoice stands on the invoice and the charge up to
2025-02, and on `invoice_payment` since 2025-05-28 (facts/stripe.md, section 3); refunds and disputes name their charge
and payment intent in every version.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.fields import Json, id_of, integer, mapping, moment, optional_moment, optional_text, text
from schemas.stripe_event import object_of

ENDED = "customer.subscription.deleted"
"""The one subscription event that decides anything: a subscription's status is no evidence of payment (R7)."""

CLOSED = "charge.dispute.closed"
"""The event that closes a dispute. Others tell its last status again: `funds_reinstated` after it, `updated`."""

CANCELED = "canceled"
"""Status of an invoice's payment that did not pay it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An invoice, the payment that an object names with it, and the customer; each None where it does not."""

    invoice: str | None
    payment_intent: str | None
    charge: str | None
    customer: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """*amount_refunded* is what was given back of it in all, in the currency's smallest unit."""

    id: str
    payment_intent: str | None
    amount_refunded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """*amount* is in the currency's smallest unit; *status* in Stripe's words."""

    id: str
    charge: str | None
    payment_intent: str | None
    amount: int
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """*status* in Stripe's words: `warning_…` is an inquiry. *is_closing*: told by the event that closes it."""

    id: str
    charge: str | None
    payment_intent: str | None
    status: str
    is_closing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditNote:
    """*lines* are the invoice's lines that it credits, by id, and by how much; all in the currency's smallest unit."""

    id: str
    customer: str
    invoice: str
    amount: int
    issued_at: datetime
    is_void: bool
    voided_at: datetime | None
    names_refund: bool
    lines: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A subscription that ended; None: each of the customer's, for it was deleted."""

    customer: str
    subscription: str | None
    ended_at: datetime | None


def read_links(event: Json) -> tuple[Link, ...]:
    """What belongs together, by an event's object: nothing where it names no payment, or nothing with it."""
    return tuple(link for link in _links(object_of(event)) if _says_something(link))


def _links(body: Json) -> Iterator[Link]:
    match body.get("object"):
        case "invoice":
            yield _link(body, invoice=body.get("id"))
            for paid in _data(body.get("payments")):
                if paid.get("status") != CANCELED:
                    yield _link(mapping(paid.get("payment")), invoice=body.get("id"), customer=body.get("customer"))
        case "invoice_payment" if body.get("status") != CANCELED:
            yield _link(mapping(body.get("payment")), invoice=body.get("invoice"))
        case "charge":
            yield _link(body, charge=body.get("id"), invoice=body.get("invoice"))
        case "refund" | "dispute":
            yield _link(body)


def _link(body: Json, **others: Any) -> Link:
    named = {name: id_of(others.get(name, body.get(name))) for name in ("payment_intent", "charge", "customer")}
    return Link(invoice=id_of(others.get("invoice")), **named)


def _says_something(link: Link) -> bool:
    payment = [each for each in (link.payment_intent, link.charge) if each]
    return bool(payment) and len(payment) + bool(link.invoice) + bool(link.customer) > 1


def read_charge(event: Json) -> Charge | None:
    """The charge that an event is about, or None if it is about something else."""
    body = object_of(event)
    if body.get("object") != "charge":
        return None
    what = f"charge {id_of(body.get('id')) or '(no id)'}"
    is_told = body.get("amount_refunded") is not None
    return Charge(
        id=text(body, "id", what),
        payment_intent=id_of(body.get("payment_intent")),
        amount_refunded=integer(body, "amount_refunded", what) if is_told else 0,
    )


def read_refund(event: Json) -> Refund | None:
    """The refund that an event is about, or None if it is about something else. Old ones have no status: they are."""
    body = object_of(event)
    if body.get("object") != "refund":
        return None
    what = f"refund {id_of(body.get('id')) or '(no id)'}"
    return Refund(
        id=text(body, "id", what),
        charge=id_of(body.get("charge")),
        payment_intent=id_of(body.get("payment_intent")),
        amount=integer(body, "amount", what),
        status=optional_text(body, "status") or "succeeded",
    )


def read_dispute(event: Json) -> Dispute | None:
    """The dispute that an event is about, or None if it is about something else."""
    body = object_of(event)
    if body.get("object") != "dispute":
        return None
    what = f"dispute {id_of(body.get('id')) or '(no id)'}"
    return Dispute(
        id=text(body, "id", what),
        charge=id_of(body.get("charge")),
        payment_intent=id_of(body.get("payment_intent")),
        status=text(body, "status", what),
        is_closing=event.get("type") == CLOSED,
    )


def read_credit_note(event: Json) -> CreditNote | None:
    """The credit note that an event is about, or None if it is about something else."""
    body = object_of(event)
    if body.get("object") != "credit_note":
        return None
    what = f"credit note {id_of(body.get('id')) or '(no id)'}"
    is_void = text(body, "status", what) == "void"
    return CreditNote(
        id=text(body, "id", what),
        customer=id_of(body.get("customer")) or text(body, "customer", what),
        invoice=id_of(body.get("invoice")) or text(body, "invoice", what),
        amount=integer(body, "amount", what),
        issued_at=moment(body, "created", what),
        is_void=is_void,
        voided_at=optional_moment(body, "voided_at", what) if is_void else None,
        names_refund=bool(body.get("refund") or body.get("refunds")),
        lines=_credited(body, what),
    )


def _credited(body: Json, what: str) -> tuple[tuple[str, int], ...]:
    amounts: dict[str, int] = {}
    for line in _data(body.get("lines")):
        if (credited := id_of(line.get("invoice_line_item"))) is not None:
            amounts[credited] = amounts.get(credited, 0) + integer(line, "amount", f"a line of {what}")
    return tuple(sorted(amounts.items()))


def read_ended(event: Json) -> Ended | None:
    """The subscription whose end an event tells, or the customer whose every one ended; else None."""
    body = object_of(event)
    if body.get("object") == "customer" and event.get("type") == "customer.deleted":
        return Ended(customer=text(body, "id", "the deleted customer"), subscription=None, ended_at=None)
    if body.get("object") != "subscription" or event.get("type") != ENDED:
        return None
    what = f"subscription {id_of(body.get('id')) or '(no id)'}"
    return Ended(
        customer=id_of(body.get("customer")) or text(body, "customer", what),
        subscription=text(body, "id", what),
        ended_at=optional_moment(body, "ended_at", what),
    )


def _data(listing: Any) -> Iterator[Json]:
    """The objects of a list as Stripe embeds it; nothing where it is not there."""
    data = mapping(listing).get("data")
    return (each for each in data if isinstance(each, dict)) if isinstance(data, list) else iter(())
