"""What docs/stripe-versions.md says is true: where each field is read, and what becomes of the corpus."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest

from entitlements.domain.facts import Grant, Revocation
from schemas.codec import StripeMessage
from schemas.fields import InvalidMessage
from schemas.invoice_line import InvoiceLine
from schemas.payments import read_charge, read_credit_note, read_dispute, read_ended, read_links, read_refund
from schemas.stripe_event import Invoice, read_invoice
from tests.corpus import CORPUS
from tests.pure_core import DECIDERS
from tests.stripe_builders import Bill, Json, Line, Shape, event, one_off, snapshot
from tests.stripe_versions import BEGIN, DOCUMENT, faults

PERIOD = {"start": 1, "end": 2}
BARE: dict[str, Json] = {
    "invoice": {"id": "in_1", "customer": "cus_1", "status": "paid", "created": 1, "lines": {"data": []}},
    "line": {"id": "il_1", "amount": 1, "period": PERIOD},
    "invoice_payment": {"id": "inpay_1", "invoice": "in_1"},
    "charge": {"id": "ch_1", "payment_intent": "pi_1"},
    "refund": {"id": "re_1", "amount": 1},
    "dispute": {"id": "du_1", "status": "won"},
    "credit_note": {
        "id": "cn_1",
        "customer": "cus_1",
        "invoice": "in_1",
        "amount": 1,
        "status": "void",
        "created": 1,
        "lines": {"data": [{"amount": 1}]},
    },
    "subscription": {"id": "sub_1", "customer": "cus_1"},
}
"""The least of each object that is read; a line stands on the invoice."""


def invoice(about: Json) -> Invoice:
    found = read_invoice(about)
    assert found is not None
    return found


def line(about: Json) -> InvoiceLine:
    return invoice(about).lines[0]


def linked(about: Json) -> set[str | None]:
    return {name for link in read_links(about) for name in (link.invoice, link.payment_intent, link.charge)}


def read(reader: Callable[[Json], Any], field: str) -> Callable[[Json], Any]:
    return lambda about: getattr(reader(about), field)


SECOND = datetime.fromtimestamp(7, UTC)
DETAILS = ("line.parent.subscription_item_details", "line.parent.invoice_item_details")
PRICE = "line.pricing.price_details.price"
CREDITS = ("line", *DETAILS)
WHERE: dict[str, tuple[Any, Callable[[Json], Any], Any]] = {
    "invoice.status": ("open", read(invoice, "status"), "open"),
    "invoice.status_transitions.paid_at": (7, read(invoice, "paid_at"), SECOND),
    "invoice.subscription": ("sub_1", read(invoice, "subscription"), "sub_1"),
    "invoice.parent.subscription_details.subscription": ("sub_1", read(invoice, "subscription"), "sub_1"),
    "invoice.payment_intent": ("pi_1", linked, {"in_1", "pi_1", None}),
    "invoice.charge": ("ch_1", linked, {"in_1", "ch_1", None}),
    "invoice.payments.data[].payment.payment_intent": ("pi_1", linked, {"in_1", "pi_1", None}),
    "invoice_payment.payment.payment_intent": ("pi_1", linked, {"in_1", "pi_1", None}),
    "invoice_payment.payment.charge": ("ch_1", linked, {"in_1", "ch_1", None}),
    "charge.invoice": ("in_1", linked, {"in_1", "pi_1", "ch_1"}),
    "line.period.start": (7, read(line, "period_start"), SECOND),
    "line.period.end": (7, read(line, "period_end"), SECOND),
    "line.price": ("price_1", read(line, "price"), "price_1"),
    "line.plan": ({"id": "price_1"}, read(line, "price"), "price_1"),
    PRICE: ("price_1", read(line, "price"), "price_1"),
    "line.price.recurring.usage_type": ("metered", read(line, "usage_type"), "metered"),
    "line.plan.usage_type": ("metered", read(line, "usage_type"), "metered"),
    f"{PRICE}.recurring.usage_type": ("metered", read(line, "usage_type"), "metered"),
    "line.subscription": ("sub_1", read(line, "subscription"), "sub_1"),
    **{f"{details}.subscription": ("sub_1", read(line, "subscription"), "sub_1") for details in DETAILS},
    "line.subscription_item": ("si_1", read(line, "subscription_item"), "si_1"),
    f"{DETAILS[0]}.subscription_item": ("si_1", read(line, "subscription_item"), "si_1"),
    "line.proration": (True, read(line, "proration"), True),
    **{f"{details}.proration": (True, read(line, "proration"), True) for details in DETAILS},
    **{
        f"{holder}.proration_details.credited_items.invoice_line_items": (
            ["il_0"],
            read(line, "credited_lines"),
            ("il_0",),
        )
        for holder in CREDITS
    },
    "line.quantity": (3, read(line, "quantity"), 3),
    "line.quantity_decimal": ("3", read(line, "quantity"), 3),
    "line.metadata.entitlement_plan": ("gold", read(line, "plan"), "gold"),
    "line.price.metadata.entitlement_plan": ("gold", read(line, "price_plan"), "gold"),
    f"{PRICE}.metadata.entitlement_plan": ("gold", read(line, "price_plan"), "gold"),
    "invoice.metadata.entitlement_plan": ("gold", read(invoice, "plan"), "gold"),
    "charge.amount_refunded": (7, read(read_charge, "amount_refunded"), 7),
    "refund.amount": (7, read(read_refund, "amount"), 7),
    "refund.status": ("failed", read(read_refund, "status"), "failed"),
    "refund.charge": ("ch_1", read(read_refund, "charge"), "ch_1"),
    "refund.payment_intent": ("pi_1", read(read_refund, "payment_intent"), "pi_1"),
    "credit_note.amount": (7, read(read_credit_note, "amount"), 7),
    "credit_note.status": ("issued", read(read_credit_note, "is_void"), False),
    "credit_note.voided_at": (7, read(read_credit_note, "voided_at"), SECOND),
    "credit_note.lines.data[].invoice_line_item": ("il_1", read(read_credit_note, "lines"), (("il_1", 1),)),
    "credit_note.refund": ("re_1", read(read_credit_note, "names_refund"), True),
    "credit_note.refunds": ([{"refund": "re_1"}], read(read_credit_note, "names_refund"), True),
    "dispute.status": ("lost", read(read_dispute, "status"), "lost"),
    "dispute.charge": ("ch_1", read(read_dispute, "charge"), "ch_1"),
    "dispute.payment_intent": ("pi_1", read(read_dispute, "payment_intent"), "pi_1"),
    "subscription.ended_at": (7, read(read_ended, "ended_at"), SECOND),
}
"""By where the document says that it stands: a value, how it is read, and what it is read as."""


def with_value(path: str, value: Any) -> Json:
    """An event about the bare object that *path* begins with, with the value there."""
    kind, *steps = path.split(".")
    body = deepcopy(BARE[kind])
    place: Any = body
    for step in steps[:-1]:
        if step.endswith("[]"):
            place = place.setdefault(step.removesuffix("[]"), [{}])[0]
        else:
            place = place.setdefault(step, {})
    place[steps[-1]] = value
    if kind == "line":
        kind, body = "invoice", BARE["invoice"] | {"lines": {"data": [body]}}
    name = "customer.subscription.deleted" if kind == "subscription" else f"{kind}.updated"
    return event(name, {"object": kind, **body}, at="01-01")


@pytest.mark.parametrize("path", WHERE)
def test_each_field_is_read_where_the_document_says(path: str) -> None:
    """Put there and nowhere else, it is read."""
    value, reader, expected = WHERE[path]

    assert reader(with_value(path, value)) == expected


def test_the_document_names_just_these_places() -> None:
    """Every path in its table is tried above, and every one above stands in its table."""
    named = re.findall(r"`([a-z_]+)(\.[a-z_.\[\]]+)`", written().split(BEGIN)[0])

    assert {f"{kind}{path}" for kind, path in named if kind in BARE} == {*WHERE}


def test_the_tables_are_what_becomes_of_the_corpus() -> None:
    """Their sums are those of their rows and, where the corpus lies beside the project, they are what is done today."""
    assert faults(written()) == []


def test_a_table_that_is_not_true_is_noticed() -> None:
    """One file more in a row, and its sum is wrong."""
    row = next(each for each in written().splitlines() if each.startswith("| disputes | 2025-03-31"))

    assert (
        faults(written().replace(row, row.replace("| 1 |", "| 2 |", 1)))[0]
        == "files: the rows have 297, their sum says 296"
    )


def test_what_is_supported_is_never_refused() -> None:
    """Of versions from 2022-11-15 on, all of the corpus is taken in."""
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in written().split(BEGIN)[1].splitlines()]
    supported = {row[0]: row[5:7] for row in rows if len(row) == 11 and "2022-11-15" <= row[0] < "3"}

    assert len(supported) > 10
    assert {name: refused for name, refused in supported.items() if any(refused)} == {}


def test_a_draft_that_was_deleted_is_no_invoice() -> None:
    """Up to 2023 Stripe listed `deleted` among the statuses: such an event states nothing, and is no dead letter."""
    deleted = snapshot(Bill(), "open") | {"status": "deleted"}

    assert read_invoice(event("invoice.deleted", deleted, at="01-01")) is None


def written() -> str:
    return DOCUMENT.read_text(encoding="utf-8")


PREFIXES = {"price": ("price_", "plan_"), "subscription": ("sub_",), "subscription_item": ("si_",)}
"""How Stripe's ids begin: by that they are found wherever they stand, by no rule about where they should."""


def ids_in(value: Any, prefixes: tuple[str, ...]) -> Iterator[str]:
    """Every id that begins so, anywhere in a line but in what it credits and in metadata."""
    if isinstance(value, str) and value.startswith(prefixes):
        yield value
    children = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    skipped = [value.get(name) for name in ("metadata", "proration_details")] if isinstance(value, dict) else []
    for child in children:
        if not any(child is each for each in skipped):
            yield from ids_in(child, prefixes)


def invoices() -> Iterator[Json]:
    """Invoices that are no drafts: of the corpus where there is one, and our own examples in every shape."""
    bill = Bill(lines=(Line(), one_off(id="il_2", price="price_2")), paid="01-01", finalized="01-01")
    yield from (snapshot(bill, "paid", shape=shape) for shape in Shape)
    for path in sorted(CORPUS.rglob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        body = found.get("data", {}).get("object", {}) if found.get("object") == "event" else found
        if body.get("object") == "invoice" and body.get("status") in ("open", "paid", "uncollectible", "void"):
            yield body


def test_what_a_line_names_is_what_is_recorded() -> None:
    """Price, subscription and its item stand in the fact wherever the line has them, and no other ones do."""
    compared = 0
    for body in invoices():
        facts = stated(body)
        for each in body.get("lines", {}).get("data", ()):
            for fact in (fact for fact in facts if fact.line == each["id"]):
                for name, prefixes in PREFIXES.items():
                    there, recorded = {*ids_in(each, prefixes)}, getattr(fact, name)
                    if len(there) == 1:
                        assert recorded in there, (body["id"], each["id"], name)
                        compared += 1
                    assert recorded is None or recorded in there or not there, (body["id"], each["id"], name)

    assert compared > (60 if CORPUS.is_dir() else 8)


def stated(body: Json) -> list[Grant | Revocation]:
    """The facts about lines that an event about the invoice states; none where it can't be read."""
    message = StripeMessage(integration="main", event=event("invoice.updated", body, at="01-01"))
    with suppress(InvalidMessage):
        facts = [fact for decider in DECIDERS for fact in decider(message)]
        return [fact for fact in facts if isinstance(fact, Grant | Revocation) and fact.line is not None]
    return []
