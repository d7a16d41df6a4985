"""
Reading Stripe's events: by presence of fields, in every shape, and a named refusal of what can't be read.

Long because each field that may be absent, moved, expanded or broken is a case of its own.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from schemas.fields import LONGEST_QUOTATION, InvalidMessage
from schemas.invoice_line import InvoiceLine
from schemas.stripe_event import EventHead, Invoice, InvoiceStatus, read_head, read_invoice
from tests.stripe_builders import Bill, Json, Line, Shape, event, on, one_off, paid, seconds, snapshot

EACH_SHAPE = pytest.mark.parametrize("shape", list(Shape))


def read(bill: Bill, status: str = "paid", *, shape: Shape = Shape.OLD, **changes: Any) -> Invoice:
    found = read_invoice(event("invoice.updated", snapshot(bill, status, shape=shape, **changes), at="01-01"))
    assert found is not None
    return found


def line_of(line: Line, shape: Shape = Shape.OLD) -> InvoiceLine:
    (found,) = read(paid(line), shape=shape).lines
    return found


def line_with(**changes: Any) -> InvoiceLine:
    """A line of an old-shape invoice with some fields overwritten."""
    body = snapshot(paid(), "paid")
    body["lines"]["data"][0] |= changes
    found = read_invoice(event("invoice.paid", body, at="01-01"))
    assert found is not None
    return found.lines[0]


# What every event says of itself


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ({"id": "in_1", "object": "invoice", "customer": "cus_1"}, ("in_1", "cus_1")),
        ({"id": "in_1", "object": "invoice", "customer": {"id": "cus_1", "object": "customer"}}, ("in_1", "cus_1")),
        ({"id": "cus_1", "object": "customer"}, ("cus_1", "cus_1")),
        ({"id": "du_1", "object": "dispute"}, ("du_1", None)),
        ({"object": "invoice", "customer": None}, (None, None)),
    ],
)
def test_an_event_names_its_object_and_customer_where_it_can(about: Json, expected: tuple[str | None, ...]) -> None:
    """The customer may be an id, an expanded object, the object itself, or not named."""
    head = read_head(event("some.type", about, at="01-02", id="evt_1"))

    assert (head.about, head.customer) == expected
    assert head == EventHead(
        id="evt_1", type="some.type", created=on("01-02"), about=head.about, customer=head.customer
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": None}, "the event has no id"),
        ({"id": 7}, "the event has no id"),
        ({"type": ""}, "the event has no type"),
        ({"created": None}, "the event: created is None"),
        ({"created": "2026-01-01T00:00:00Z"}, "not a whole number"),
        ({"created": True}, "not a whole number"),
        ({"created": 10**18}, "not a time in Unix seconds"),
        ({"created": 10**19}, "not a whole number"),
        ({"data": None}, "^the event has no data.object"),
        ({"data": {}}, "no data.object"),
        ({"data": {"object": []}}, "no data.object"),
    ],
)
def test_what_is_no_event_is_refused_by_name(changes: Json, said: str) -> None:
    """The refusal says what the event lacks."""
    with pytest.raises(InvalidMessage, match=said):
        read_head(event("invoice.paid", {"id": "in_1"}, at="01-01") | changes)


# What is an invoice


@pytest.mark.parametrize(
    "about",
    [
        {"id": "sub_1", "object": "subscription", "status": "active"},
        {"id": "in_1", "object": "invoice", "status": "draft"},
        {"object": "invoice", "status": "draft", "lines": None},
        {"id": "in_1", "object": "invoice", "deleted": True},
    ],
    ids=["another object", "a draft", "a preview without an id", "deleted"],
)
def test_drafts_previews_and_other_objects_are_no_invoices(about: Json) -> None:
    """Drafts may still change in everything, previews are none: nothing of them is even looked at."""
    assert read_invoice(event("invoice.updated", about, at="01-01")) is None


@pytest.mark.parametrize("status", ["open", "paid", "void", "uncollectible"])
def test_the_status_is_the_objects(status: str) -> None:
    """The type of the event is not asked."""
    assert read(Bill(), status).status is InvoiceStatus(status)


# The same in every shape


@EACH_SHAPE
def test_a_line_reads_the_same_in_every_shape(shape: Shape) -> None:
    """Old, new and mixed shapes give one line; only what the price itself says is missing from the new."""
    line = Line(
        quantity=3,
        amount=7500,
        proration=True,
        metadata={"entitlement_plan": "gold"},
        price_metadata={"entitlement_plan": "silver"},
        credited=("in_0", ("il_b", "il_a", "il_a")),
    )
    carries_price = shape is not Shape.NEW

    assert line_of(line, shape) == InvoiceLine(
        id="il_1",
        amount=7500,
        quantity=Decimal(3),
        period_start=on("01-01"),
        period_end=on("02-01"),
        proration=True,
        subscription="sub_1",
        subscription_item="si_1",
        price="price_enterprise",
        usage_type="licensed" if carries_price else None,
        plan="gold",
        price_plan="silver" if carries_price else None,
        credited_invoice="in_0",
        credited_lines=("il_a", "il_b"),
    )


@EACH_SHAPE
def test_a_one_off_line_names_no_subscription_item_in_any_shape(shape: Shape) -> None:
    """Neither subscription nor item, no usage type, no credit, and no plan where metadata names none."""
    line = line_of(one_off(), shape)

    assert (line.subscription, line.subscription_item, line.usage_type, line.proration) == (None, None, None, False)
    assert (line.plan, line.credited_invoice, line.credited_lines) == ("", None, ())


@EACH_SHAPE
def test_an_invoice_reads_the_same_in_every_shape(shape: Shape) -> None:
    """What an invoice says of itself is found wherever a version put it."""
    bill = Bill(
        finalized="01-01", uncollectible="01-03", paid="01-05", due="01-15", metadata={"entitlement_plan": "gold"}
    )
    invoice = read(bill, shape=shape)

    assert replace(invoice, lines=()) == Invoice(
        id="in_1",
        customer="cus_1",
        status=InvoiceStatus.PAID,
        created=on("01-01"),
        billing_reason="subscription_create",
        due_date=on("01-15"),
        subscription="sub_1",
        plan="gold",
        number="ACME-in_1",
        currency="usd",
        total=2500,
        amount_due=2500,
        amount_paid=2500,
        amount_remaining=0,
        hosted_invoice_url="https://invoice.example.com/in_1",
        finalized_at=on("01-01"),
        paid_at=on("01-05"),
        voided_at=None,
        marked_uncollectible_at=on("01-03"),
        lines=(),
        lines_complete=True,
    )


def test_the_cycle_is_the_lines_period_and_never_the_invoices() -> None:
    """The invoice's own period is the window for invoice items; moving it changes nothing that is read."""
    moved = read(paid(), period_start=0, period_end=1)

    assert moved == read(paid())
    assert (moved.lines[0].period_start, moved.lines[0].period_end) == (on("01-01"), on("02-01"))


def test_left_out_lines_are_noticed() -> None:
    """More than ten lines: the payload says that there are more."""
    body = snapshot(paid(), "paid")
    body["lines"] |= {"has_more": True, "total_count": 11}
    invoice = read_invoice(event("invoice.paid", body, at="01-01"))

    assert invoice is not None
    assert not invoice.lines_complete


def test_a_list_that_says_nothing_of_more_is_whole() -> None:
    """As Stripe's examples and old fixtures show it."""
    body = snapshot(paid(), "paid")
    del body["lines"]["has_more"]
    invoice = read_invoice(event("invoice.paid", body, at="01-01"))

    assert invoice is not None
    assert invoice.lines_complete


# Where the price is


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("price_enterprise", "licensed", "")),
        ({"price": "price_1"}, ("price_1", None, None)),
        ({"price": None, "plan": {"id": "plan_1", "usage_type": "metered"}}, ("plan_1", "metered", None)),
        ({"price": None}, (None, None, None)),
        ({"price": {"id": "price_1", "metadata": {"entitlement_plan": "gold"}}}, ("price_1", None, "gold")),
        (
            {
                "price": None,
                "pricing": {"price_details": {"price": {"id": "p", "recurring": {"usage_type": "metered"}}}},
            },
            ("p", "metered", None),
        ),
        ({"price": None, "pricing": {"price_details": None}}, (None, None, None)),
    ],
    ids=["a price", "its id", "an old plan", "none", "without recurring", "expanded in the new place", "no details"],
)
def test_the_price_is_found_where_it_stands(changes: Json, expected: tuple[str | None, ...]) -> None:
    """As an object, an id, an old plan, or expanded in the new place: the id, the usage type and the plan it names."""
    line = line_with(**changes)

    assert (line.price, line.usage_type, line.price_plan) == expected


def test_a_plan_that_metadata_names_by_anything_but_text_is_none() -> None:
    """Metadata is text in Stripe; whatever else stands there names no plan."""
    assert line_with(metadata={"entitlement_plan": 7}).plan == ""
    assert line_with(metadata=None).plan == ""


# Quantities


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"quantity": 2}, "2"),
        ({"quantity": None}, "None"),
        ({"quantity": 0}, "0"),
        ({"quantity": None, "quantity_decimal": "1.500"}, "1.5"),
        ({"quantity": None, "quantity_decimal": "2.000"}, "2"),
        ({"quantity": None, "quantity_decimal": "100"}, "100"),
        ({"quantity": None, "quantity_decimal": "1E+2"}, "100"),
        ({"quantity": None, "quantity_decimal": "0.000000000001"}, "1E-12"),
        ({"quantity": 2, "quantity_decimal": "9.5"}, "2"),
    ],
)
def test_a_quantity_is_written_in_one_way(changes: Json, expected: str) -> None:
    """Whole or decimal, 2 and "2.000" are one quantity, so that two shapes of an event state one fact."""
    assert str(line_with(**changes).quantity) == expected


@pytest.mark.parametrize(
    "quantity",
    ["", "two", "NaN", "-Infinity", "1e99", "1e-99999999", "0e99999999", "0.0000000000001", 1.5, True, [], {}, 2**63],
)
def test_a_quantity_that_is_none_is_refused(quantity: Any) -> None:
    """What is no number, or none that Stripe could mean, is refused; nothing is spent on writing it out."""
    with pytest.raises(InvalidMessage, match="line il_1 of invoice in_1: quantity"):
        line_with(quantity=quantity)


# Credits


@pytest.mark.parametrize("credited", [None, {}, [], "in_0", {"invoice": None}, {"invoice_line_items": 7}])
def test_credited_items_of_no_known_form_name_nothing(credited: Any) -> None:
    """What can't be read as names of lines names none."""
    line = line_with(proration_details={"credited_items": credited})

    assert (line.credited_invoice, line.credited_lines) == (None, ())


def test_credited_items_may_be_expanded() -> None:
    """Names of lines, whether ids or objects, are sorted and stand once each."""
    named = [{"id": "il_b"}, "il_a", "il_b", None, 7]
    line = line_with(proration_details={"credited_items": {"invoice": {"id": "in_0"}, "invoice_line_items": named}})

    assert (line.credited_invoice, line.credited_lines) == ("in_0", ("il_a", "il_b"))


def test_either_place_may_say_that_a_line_is_a_proration() -> None:
    """A mixed shape whose old field is null is a proration if the new one says so."""
    details = {"proration": True, "subscription": "sub_1", "subscription_item": "si_1"}

    assert line_with(proration=None, parent={"subscription_item_details": details}).proration
    assert line_with(proration=True, parent=None).proration
    assert not line_with(proration=None, parent=None).proration


# Refusals


def harmed(path: str, value: Any) -> Json:
    """A paid invoice in which what stands at *path* is *value* instead."""
    body = snapshot(paid(), "paid")
    *steps, last = path.split(".")
    place: Any = body
    for step in steps:
        place = place[int(step) if step.isdigit() else step]
    place[int(last) if last.isdigit() else last] = value
    return body


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("id", None, "invoice (no id) has no id"),
        ("status", None, "invoice in_1 has no status; API versions before 2019-03-14 are not read"),
        ("status", "settled", "invoice in_1 has the status 'settled'; known are draft, open"),
        ("status", {"is": "paid"}, "invoice in_1 has the status an object; known are"),
        ("customer", None, "invoice in_1 names no customer"),
        ("customer", {}, "invoice in_1 names no customer"),
        ("created", None, "invoice in_1: created is None, not a whole number"),
        ("due_date", 10**15, "invoice in_1: due_date is 1000000000000000, not a time in Unix seconds"),
        ("due_date", 250_000_000_000, "invoice in_1: due_date is 250000000000, which is in the year 9892"),
        ("status_transitions.paid_at", 1.5, "invoice in_1: paid_at is 1.5, not a whole number"),
        ("status_transitions.finalized_at", 1.5, "invoice in_1: finalized_at is 1.5, not a whole number"),
        ("status_transitions.voided_at", "", "invoice in_1: voided_at is '', not a whole number"),
        ("status_transitions.marked_uncollectible_at", [], "invoice in_1: marked_uncollectible_at is a list, not a"),
        ("lines", None, "invoice in_1 has no list of lines"),
        ("lines.data", None, "invoice in_1 has no list of lines"),
        ("lines.data", {}, "invoice in_1 has no list of lines"),
        ("lines.data.0", None, "line 1 of invoice in_1 is not an object"),
        ("lines.data.0.id", None, "line 1 of invoice in_1 has no id"),
        ("lines.data.0.amount", None, "line il_1 of invoice in_1: amount is None, not a whole number"),
        ("lines.data.0.amount", 25.0, "line il_1 of invoice in_1: amount is 25.0, not a whole number"),
        ("lines.data.0.period", None, "the period of line il_1 of invoice in_1: start is None, not a whole number"),
        ("lines.data.0.period.end", [], "the period of line il_1 of invoice in_1: end is a list, not a whole number"),
    ],
)
def test_an_invoice_that_cant_be_read_is_refused_by_name(path: str, value: Any, said: str) -> None:
    """The refusal names the invoice, the line and the field, for the person who reads the dead letter."""
    with pytest.raises(InvalidMessage) as refused:
        read_invoice(event("invoice.paid", harmed(path, value), at="01-01"))
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize("path", ["status", "lines.data.0.amount", "lines.data.0.quantity"])
def test_a_refusal_never_quotes_a_megabyte(path: str) -> None:
    """Refusals are logged; what is wrong is quoted, and cut."""
    with pytest.raises(InvalidMessage) as refused:
        read_invoice(event("invoice.paid", harmed(path, "x" * 1_000_000), at="01-01"))
    assert len(str(refused.value)) < LONGEST_QUOTATION + 150


def test_times_before_1970_and_of_long_ago_are_read() -> None:
    """A negative time is odd, not unreadable."""
    line = line_with(period={"start": -1, "end": seconds(on("02-01"))})

    assert line.period_start == on("1969-12-31T23:59:59")


@pytest.mark.parametrize("amount", ["25.00", 25.0, 2**63, True, None, {}])
def test_an_amount_that_is_only_shown_refuses_nothing(amount: object) -> None:
    """What was due decides nothing, so whatever stands there is read as unknown."""
    invoice = read_invoice(event("invoice.paid", harmed("amount_due", amount), at="01-01"))

    assert invoice is not None
    assert invoice.amount_due is None


@pytest.mark.parametrize("total", ["2500", 2500.0, 2**63, True, {}])
def test_a_total_that_is_no_whole_number_is_refused(total: object) -> None:
    """R5 goes by it: read as unknown, nothing would ever be given back in full, and nobody would be told."""
    with pytest.raises(InvalidMessage, match=r"^invoice in_1: total is .*, not a whole number$"):
        read_invoice(event("invoice.paid", harmed("total", total), at="01-01"))


@pytest.mark.parametrize("quantity", ["1E+1000000", "1e-999999", "Infinity", "NaN", "9" * 5000])
def test_a_quantity_beyond_all_bounds_is_refused(quantity: str) -> None:
    """Arithmetic on it would raise something else than a refusal, and stop every consumer."""
    with pytest.raises(InvalidMessage, match="quantity"):
        read_invoice(event("invoice.paid", harmed("lines.data.0.quantity", quantity), at="01-01"))
