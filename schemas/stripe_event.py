"""
Reading a Stripe event of any API version, from 2022-11-15 to today's, into frozen values. Pure.

By presence of fields, never by comparing versions: an event marked 2022-11-15 but rendered today carries both shapes
(facts/stripe.md, section 3). The cycle of a line is the line's own `period`; the invoice's `period_*` is the window in
which invoice items could be attached, and says nothing about access.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from schemas.fields import (
    LARGEST_INTEGER,
    InvalidMessage,
    Json,
    id_of,
    integer,
    mapping,
    moment,
    optional_integer,
    optional_moment,
    optional_text,
    quoted,
    text,
)

PLAN_KEY = "entitlement_plan"
"""The metadata key by which a line, a price or an invoice names its plan (contract, section 3)."""

MOST_DECIMALS = 12
"""To how many places Stripe gives decimals."""

SAYS_NONE = ""
"""Metadata that is there and names no plan, as opposed to metadata that the payload does not carry (None)."""


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
class InvoiceLine:
    """
    One line of an invoice as one snapshot shows it.

    *amount* is in the currency's smallest unit. *plan* and *price_plan* are what the line's and the price's metadata
    name; *price_plan* and *usage_type* are None where the payload does not carry the price.
    """

    id: str
    amount: int
    quantity: Decimal | None
    period_start: datetime
    period_end: datetime
    proration: bool
    subscription: str | None
    subscription_item: str | None
    price: str | None
    usage_type: str | None
    plan: str
    price_plan: str | None
    credited_invoice: str | None
    credited_lines: tuple[str, ...]


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
    body = _object_of(event)
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
    may still change in everything, and previews (`invoice.upcoming`) are no invoices.

    Raises `InvalidMessage`, naming the invoice and the field, for one that can't be read.
    """
    body = _object_of(event)
    if body.get("object") != "invoice" or body.get("deleted") is True:
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
        or id_of(_details(body, "subscription_details").get("subscription")),
        plan=_plan_in(body) or SAYS_NONE,
        number=optional_text(body, "number"),
        currency=optional_text(body, "currency"),
        total=optional_integer(body, "total", what),
        amount_due=optional_integer(body, "amount_due", what),
        amount_paid=optional_integer(body, "amount_paid", what),
        amount_remaining=optional_integer(body, "amount_remaining", what),
        hosted_invoice_url=optional_text(body, "hosted_invoice_url"),
        finalized_at=optional_moment(transitions, "finalized_at", what),
        paid_at=optional_moment(transitions, "paid_at", what),
        voided_at=optional_moment(transitions, "voided_at", what),
        marked_uncollectible_at=optional_moment(transitions, "marked_uncollectible_at", what),
        lines=tuple(_lines(listing, what)),
        lines_complete=not listing.get("has_more", False),
    )


def _lines(listing: Json, what: str) -> Iterator[InvoiceLine]:
    data = listing.get("data")
    if not isinstance(data, list):
        raise InvalidMessage(f"{what} has no list of lines")
    for number, line in enumerate(data, 1):
        if not isinstance(line, Mapping):
            raise InvalidMessage(f"line {number} of {what} is not an object")
        yield _line(line, f"line {id_of(line.get('id')) or number} of {what}")


def _line(line: Json, what: str) -> InvoiceLine:
    period = mapping(line.get("period"))
    item_details = _details(line, "subscription_item_details")
    details = item_details or _details(line, "invoice_item_details")
    price = _price(line)
    credited = _credited(line) or _credited(details)
    credited_lines = credited.get("invoice_line_items")
    return InvoiceLine(
        id=text(line, "id", what),
        amount=integer(line, "amount", what),
        quantity=_quantity(line, what),
        period_start=moment(period, "start", f"the period of {what}"),
        period_end=moment(period, "end", f"the period of {what}"),
        proration=line.get("proration") is True or details.get("proration") is True,
        subscription=id_of(line.get("subscription")) or id_of(details.get("subscription")),
        subscription_item=id_of(line.get("subscription_item")) or id_of(item_details.get("subscription_item")),
        price=id_of(price) if price else id_of(_price_reference(line)) or id_of(line.get("plan")),
        usage_type=_usage_type(price) or _usage_type(mapping(line.get("plan"))),
        plan=_plan_in(line) or SAYS_NONE,
        price_plan=_plan_in(price),
        credited_invoice=id_of(credited.get("invoice")),
        credited_lines=tuple(
            sorted({name for one in credited_lines if (name := id_of(one))}) if isinstance(credited_lines, list) else ()
        ),
    )


def _price(line: Json) -> Json:
    """The whole price, where the payload carries it: `line.price` to 2025-02, expanded since 2025-12-15."""
    return mapping(line.get("price")) or mapping(_price_reference(line))


def _price_reference(line: Json) -> Any:
    """`pricing.price_details.price`, an id or the object (since 2025-03-31); or an old `price` given as an id."""
    pricing = mapping(line.get("pricing"))
    return mapping(pricing.get("price_details")).get("price") or line.get("price")


def _usage_type(price: Json) -> str | None:
    """`recurring.usage_type` of a price, `usage_type` of an old plan."""
    found = mapping(price.get("recurring")).get("usage_type") or price.get("usage_type")
    return found if isinstance(found, str) else None


def _details(body: Json, kind: str) -> Json:
    """`parent.<kind>` (since 2025-03-31): where invoices and lines say what they come from."""
    return mapping(mapping(body.get("parent")).get(kind))


def _credited(holder: Json) -> Json:
    return mapping(mapping(holder.get("proration_details")).get("credited_items"))


def _plan_in(holder: Json) -> str | None:
    """The plan that an object's metadata names: `SAYS_NONE` if it names none, None if there is no metadata."""
    metadata = holder.get("metadata")
    if not isinstance(metadata, Mapping):
        return None
    named = metadata.get(PLAN_KEY)
    return named if isinstance(named, str) else SAYS_NONE


def _quantity(line: Json, what: str) -> Decimal | None:
    """
    `quantity`, or `quantity_decimal` where a version gives only that (2026-03-25.dahlia); written in one way, so that
    2, "2" and "2.000" make one fact.
    """
    given = line.get("quantity")
    if given is None:
        given = line.get("quantity_decimal")
    if given is None:
        return None
    if not isinstance(given, int | str) or isinstance(given, bool):
        raise InvalidMessage(f"{what}: quantity {quoted(given)} is not a number")
    try:
        quantity = Decimal(given)
    except InvalidOperation as error:
        raise InvalidMessage(f"{what}: quantity {quoted(given)} is not a number") from error
    exponent = quantity.as_tuple().exponent  # a text for what is not finite
    if isinstance(exponent, str) or abs(quantity) > LARGEST_INTEGER or not -MOST_DECIMALS <= exponent <= MOST_DECIMALS:
        raise InvalidMessage(f"{what}: quantity {quoted(given)} is out of range")
    plain = format(quantity, "f")
    return Decimal(plain.rstrip("0").rstrip(".") if "." in plain else plain)


def _status(body: Json, what: str) -> InvoiceStatus:
    status = body.get("status")
    if status is None:
        raise InvalidMessage(f"{what} has no status; API versions before 2019-03-14 are not read")
    try:
        return InvoiceStatus(str(status))
    except ValueError as error:
        raise InvalidMessage(f"{what} has the status {quoted(status)}; known are {', '.join(InvoiceStatus)}") from error


def _object_of(event: Json) -> Json:
    body = mapping(event.get("data")).get("object")
    if not isinstance(body, Mapping):
        raise InvalidMessage("the event has no data.object")
    return body


def _customer(body: Json, what: str) -> str:
    customer = id_of(body.get("customer"))
    if customer is None:
        raise InvalidMessage(f"{what} names no customer")
    return customer
