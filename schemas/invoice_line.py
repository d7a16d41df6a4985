"""
Reading one line of an invoice in whatever shape Stripe renders it: cycle, price, plan, and what it credits. Pure.

The cycle is the line's own `period`, in every version; where all else lives moved with 2025-03-31.basil.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from schemas.fields import LARGEST_INTEGER, InvalidMessage, Json, id_of, integer, mapping, moment, quoted, text

PLAN_KEY = "entitlement_plan"
"""The metadata key by which a line, a price or an invoice names its plan (contract, section 3)."""

MOST_DECIMALS = 12
"""To how many places Stripe gives decimals."""

SAYS_NONE = ""
"""Metadata that is there and names no plan, as opposed to metadata that the payload does not carry (None)."""


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


def lines_in(listing: Json, what: str) -> Iterator[InvoiceLine]:
    """The lines that a snapshot's `lines` carries; *what* names the invoice in a refusal."""
    data = listing.get("data")
    if not isinstance(data, list):
        raise InvalidMessage(f"{what} has no list of lines")
    for number, line in enumerate(data, 1):
        if not isinstance(line, dict):
            raise InvalidMessage(f"line {number} of {what} is not an object")
        yield _line(line, f"line {id_of(line.get('id')) or number} of {what}")


def _line(line: Json, what: str) -> InvoiceLine:
    period = mapping(line.get("period"))
    item_details = details_of(line, "subscription_item_details")
    details = item_details or details_of(line, "invoice_item_details")
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
        plan=plan_in(line) or SAYS_NONE,
        price_plan=plan_in(price),
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


def details_of(body: Json, kind: str) -> Json:
    """`parent.<kind>` (since 2025-03-31): where invoices and lines say what they come from."""
    return mapping(mapping(body.get("parent")).get(kind))


def _credited(holder: Json) -> Json:
    return mapping(mapping(holder.get("proration_details")).get("credited_items"))


def plan_in(holder: Json) -> str | None:
    """The plan that an object's metadata names: `SAYS_NONE` if it names none, None if there is no metadata."""
    metadata = holder.get("metadata")
    if not isinstance(metadata, dict):
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
    if type(given) is int and abs(given) <= LARGEST_INTEGER:  # as nearly all are
        return Decimal(given)
    if not isinstance(given, int | str) or isinstance(given, bool):
        raise InvalidMessage(f"{what}: quantity {quoted(given)} is not a number")
    try:
        quantity = Decimal(given)
    except InvalidOperation as error:
        raise InvalidMessage(f"{what}: quantity {quoted(given)} is not a number") from error
    exponent = quantity.as_tuple().exponent  # a text for what is not finite
    small = not isinstance(exponent, str) and -MOST_DECIMALS <= exponent <= MOST_DECIMALS
    if not small or quantity.copy_abs() > LARGEST_INTEGER:  # abs() overflows on what is huge
        raise InvalidMessage(f"{what}: quantity {quoted(given)} is out of range")
    plain = format(quantity, "f")
    return Decimal(plain.rstrip("0").rstrip(".") if "." in plain else plain)
