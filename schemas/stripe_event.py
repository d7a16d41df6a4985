"""
Reading a Stripe event of any API version, from 2022-11-15 to today's, into frozen values. Pure.

By presence of fields, never by comparing versions: an event marked 2022-11-15 but rendered today carries both shapes
(facts/stripe.md, section 3). The cycle of a line is the line's own `period`; the invoice's `period_*` is the window in
which invoice items could be attached, and says nothing about access.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from schemas.fields import (
    InvalidMessage,
    Json,
    id_of,
    mapping,
    moment,
    optional_integer,
    optional_moment,
    optional_text,
    quoted,
    shown_integer,
    text,
)
from schemas.invoice_line import SAYS_NONE, InvoiceLine, details_of, lines_in, plan_in


class InvoiceStatus(StrEnum):
    """`invoice.status`, in Stripe's words."""

    DRAFT = "draft"
    OPEN = "open"
    UNCOLLECTIBLE = "uncollectible"
    PAID = "paid"
    VOID = "void"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventHead:
    """What every event says of itself. *about* and *customer* are None where its object does not name them."""

    id: str
    type: str
    created: datetime
    about: str | None
    customer: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """
    An invoice as one snapshot shows it. Amounts are in the currency's smallest unit.

    *lines_complete* is False when Stripe left lines out of the payload (`lines.has_more`).
    """

    id: str
    customer: str
    status: InvoiceStatus
    created: datetime
    billing_reason: str | None
    due_date: datetime | None
    subscription: str | None
    plan: str
    number: str | None
    currency: str | None
    total: int | None
    amount_due: int | None
    amount_paid: int | None
    amount_remaining: int | None
    hosted_invoice_url: str | None
    finalized_at: datetime | None
    paid_at: datetime | None
    voided_at: datetime | None
    marked_uncollectible_at: datetime | None
    lines: tuple[InvoiceLine, ...]
    lines_complete: bool


def read_head(event: Json) -> EventHead:
    """What every event says of itself; raises `InvalidMessage` for what is no event."""
    body = object_of(event)
    about = id_of(body.get("id"))
    kind = body.get("object")
    return EventHead(
        id=text(event, "id", "the event"),
        type=text(event, "type", "the event"),
        created=moment(event, "created", "the event"),
        about=about,
        customer=about if kind == "customer" else id_of(body.get("customer")),
    )


def read_invoice(event: Json) -> Invoice | None:
    """
    The invoice that an event is about, or None if it is about something else, or about a draft or a preview: drafts
    may still change in everything, or be `deleted`, and previews (`invoice.upcoming`) are no invoices.

    Raises `InvalidMessage`, naming the invoice and the field, for one that can't be read.
    """
    body = object_of(event)
    if body.get("object") != "invoice" or body.get("deleted") is True or body.get("status") == "deleted":
        return None
    what = f"invoice {id_of(body.get('id')) or '(no id)'}"
    status = _status(body, what)
    if status is InvoiceStatus.DRAFT:
        return None
    transitions = mapping(body.get("status_transitions"))
    listing = mapping(body.get("lines"))
    return Invoice(
        id=text(body, "id", what),
        customer=_customer(body, what),
        status=status,
        created=moment(body, "created", what),
        billing_reason=optional_text(body, "billing_reason"),
        due_date=optional_moment(body, "due_date", what),
        subscription=id_of(body.get("subscription"))
        or id_of(details_of(body, "subscription_details").get("subscription")),
        plan=plan_in(body) or SAYS_NONE,
        number=optional_text(body, "number"),
        currency=optional_text(body, "currency"),
        total=optional_integer(body, "total", what),
        amount_due=shown_integer(body, "amount_due"),
        amount_paid=shown_integer(body, "amount_paid"),
        amount_remaining=shown_integer(body, "amount_remaining"),
        hosted_invoice_url=optional_text(body, "hosted_invoice_url"),
        finalized_at=optional_moment(transitions, "finalized_at", what),
        paid_at=optional_moment(transitions, "paid_at", what),
        voided_at=optional_moment(transitions, "voided_at", what),
        marked_uncollectible_at=optional_moment(transitions, "marked_uncollectible_at", what),
        lines=tuple(lines_in(listing, what)),
        lines_complete=not listing.get("has_more", False),
    )


def _status(body: Json, what: str) -> InvoiceStatus:
    status = body.get("status")
    if status is None:
        raise InvalidMessage(f"{what} has no status; API versions before 2019-03-14 are not read")
    try:
        return InvoiceStatus(str(status))
    except ValueError as error:
        raise InvalidMessage(f"{what} has the status {quoted(status)}; known are {', '.join(InvoiceStatus)}") from error


def object_of(event: Json) -> Json:
    """The object that an event is about; raises `InvalidMessage` where there is none."""
    body = mapping(event.get("data")).get("object")
    if not isinstance(body, dict):
        raise InvalidMessage("the event has no data.object")
    return body


def _customer(body: Json, what: str) -> str:
    customer = id_of(body.get("customer"))
    if customer is None:
        raise InvalidMessage(f"{what} names no customer")
    return customer
