"""
The three consumers' deciders: which facts a message states, and that nothing but `InvalidMessage` ever escapes.

Long because three deciders share their messages, so what each makes of them stands side by side.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from consumers import grants, invoices, revocations
from entitlements.domain.access import Scope, decide, standing
from entitlements.domain.acts import Block, ManualGrant, ManualRevocation, Unblock
from entitlements.domain.facts import (
    CatalogRevision,
    Customer,
    Fact,
    Grant,
    InvoiceSnapshot,
    Revocation,
    RevocationKind,
)
from entitlements.domain.invoice import moments_shown
from schemas.codec import CatalogApplied, StripeMessage
from schemas.fields import InvalidMessage
from schemas.operator_acts import AccessGranted, AccessRevoked, CustomerBlocked, CustomerUnblocked, OperatorAct
from schemas.stripe_event import InvoiceStatus, read_invoice
from tests.pure_core import DECIDERS, INTEGRATION, Memory, catalog, facts_of, of_kind, plan, revisions
from tests.stripe_builders import Bill, Json, Line, Shape, event, events, on, paid, snapshot

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
"""Stripe's JSON as projects recorded it; beside the checkout where it is there at all."""

CREDIT = Line(
    id="il_credit", start="01-11", amount=-1700, proration=True, price="price_old", credited=("in_0", ("il_b", "il_a"))
)


def message(stripe_event: Json) -> StripeMessage:
    return StripeMessage(integration=INTEGRATION, event=stripe_event)


def shown(bill: Bill, status: str, *, at: str = "01-20", **changes: Any) -> StripeMessage:
    return message(event("invoice.updated", snapshot(bill, status, **changes), at=at))


def applied(document: Json, **changes: Any) -> CatalogApplied:
    return CatalogApplied(**({"number": 1, "in_force_from": None, "applied_by": "ann", "document": document} | changes))


# grants


def test_a_grant_holds_what_the_snapshot_says_of_its_line() -> None:
    """Every column is the object's; the event gives `stated_at` alone."""
    line = Line(quantity=3, metadata={"entitlement_plan": "gold"})
    bill = paid(line, due="01-15", metadata={"entitlement_plan": "silver"}, created="2025-12-31")

    assert grants.decide(shown(bill, "paid")) == (
        Grant(
            integration="main",
            customer="cus_1",
            invoice="in_1",
            line="il_1",
            status=InvoiceStatus.PAID,
            finalized_at=on("01-01"),
            paid_at=on("01-01"),
            invoice_created=on("2025-12-31"),
            billing_reason="subscription_create",
            due_date=on("01-15"),
            subscription="sub_1",
            subscription_item="si_1",
            price="price_enterprise",
            amount=2500,
            quantity=Decimal(3),
            period_start=on("01-01"),
            period_end=on("02-01"),
            proration=False,
            usage_type="licensed",
            line_plan="gold",
            price_plan="",
            invoice_plan="silver",
            invoice_total=2500,
            stated_at=on("01-20"),
        ),
    )


@pytest.mark.parametrize("status", ["open", "uncollectible", "paid", "void"])
def test_every_finalized_snapshot_states_its_lines(status: str) -> None:
    """Each status is a fact of its own about each line: they are joined when asked."""
    bill = Bill(lines=(Line(), Line(id="il_2", quantity=0), CREDIT), finalized="01-01")
    said = grants.decide(shown(bill, status))

    assert [(fact.line, fact.status) for fact in said if isinstance(fact, Grant)] == [
        ("il_1", status),
        ("il_2", status),
    ]


def test_250_lines_are_250_grants() -> None:
    """No line is left out, however many an invoice has."""
    bill = paid(*(Line(id=f"il_{number}") for number in range(250)))

    assert len({fact.digest for fact in grants.decide(shown(bill, "paid"))}) == 250


def test_a_catalog_revision_is_recorded_as_it_was_applied() -> None:
    """The document is kept as canonical JSON, whatever the order of its keys."""
    document = catalog()
    turned = dict(reversed(document.items()))
    (one,), (other,) = grants.decide(applied(document)), grants.decide(applied(turned))

    assert isinstance(one, CatalogRevision)
    assert (one.number, one.in_force_from, one.applied_by) == (1, None, "ann")
    assert json.loads(one.document) == document
    assert one == other
    assert one.digest == other.digest


def test_a_catalog_with_mistakes_is_refused_with_the_first() -> None:
    """What `catalog validate` would have named can't be recorded."""
    with pytest.raises(InvalidMessage, match=r"catalog revision 1: products\.product-of-acme.*cost"):
        grants.decide(applied(catalog({"enterprise": plan() | {"cost": "dear"}})))


# revocations


@pytest.mark.parametrize(
    ("status", "changes", "expected"),
    [
        ("open", {}, []),
        ("paid", {}, []),
        ("void", {"voided": "01-05"}, [("voided", "01-05")]),
        ("void", {}, [("voided", None)]),
        ("uncollectible", {"uncollectible": "01-03"}, [("marked_uncollectible", "01-03")]),
        ("uncollectible", {}, [("marked_uncollectible", None)]),
        ("paid", {"uncollectible": "01-03", "paid": "01-05"}, [("marked_uncollectible", "01-03")]),
        (
            "void",
            {"uncollectible": "01-03", "voided": "01-05"},
            [("marked_uncollectible", "01-03"), ("voided", "01-05")],
        ),
    ],
)
def test_what_a_snapshot_revokes_follows_from_the_transitions_it_shows(
    status: str, changes: dict[str, Any], expected: list[tuple[str, str | None]]
) -> None:
    """Void and uncollectible revoke at their transition's time; a later snapshot still tells of having been there."""
    said = of_kind(Revocation, revocations.decide(shown(replace(Bill(finalized="01-01"), **changes), status)))

    assert [(each.kind, each.at) for each in said] == [(kind, at and on(at)) for kind, at in expected]


def test_every_status_stands_once_in_what_it_revokes() -> None:
    """Terminal and do-nothing statuses are written out."""
    assert set(revocations.KIND_OF) == set(InvoiceStatus)


@pytest.mark.parametrize("shape", list(Shape))
def test_a_credit_line_of_a_paid_invoice_is_a_revocation(shape: Shape) -> None:
    """It says when its invoice was paid, from when on it credits, and which lines: named, or by item and price."""
    bill = Bill(lines=(Line(), CREDIT), finalized="01-11", paid="01-12")

    assert revocations.decide(shown(bill, "paid", shape=shape)) == (
        Revocation(
            integration="main",
            customer="cus_1",
            kind=RevocationKind.CREDITED,
            invoice="in_1",
            at=on("01-12"),
            status=InvoiceStatus.PAID,
            line="il_credit",
            finalized_at=on("01-11"),
            subscription="sub_1",
            subscription_item="si_1",
            price="price_old",
            period_start=on("01-11"),
            credited_invoice="in_0",
            credited_lines=("il_a", "il_b"),
            stated_at=on("01-20"),
        ),
    )


@pytest.mark.parametrize("status", ["open", "uncollectible", "void"])
def test_a_credit_line_of_an_unpaid_invoice_is_recorded_without_a_time(status: str) -> None:
    """It takes effect once its invoice is paid, which another snapshot may tell."""
    (said,) = (
        each
        for each in of_kind(Revocation, revocations.decide(shown(Bill(lines=(CREDIT,), finalized="01-11"), status)))
        if each.line
    )

    assert (said.status, said.at) == (InvoiceStatus(status), None)


def test_a_negative_line_that_is_no_proration_is_no_credit() -> None:
    """A discount revokes nothing, and grants nothing."""
    discount = shown(paid(Line(amount=-500)), "paid")

    assert (grants.decide(discount), revocations.decide(discount)) == ((), ())


# invoices


def test_an_invoice_is_shown_as_its_snapshot_has_it() -> None:
    """Number, status, amounts, the plan it names and where to pay it; and its customer is named."""
    bill = Bill(finalized="01-01", due="01-15", metadata={"entitlement_plan": "gold"})

    assert invoices.decide(shown(bill, "open", amount_remaining=100)) == (
        Customer(integration="main", customer="cus_1"),
        InvoiceSnapshot(
            integration="main",
            customer="cus_1",
            invoice="in_1",
            status=InvoiceStatus.OPEN,
            number="ACME-in_1",
            subscription="sub_1",
            currency="usd",
            total=2500,
            amount_due=2500,
            amount_paid=0,
            amount_remaining=100,
            pay_at="https://invoice.example.com/in_1",
            created=on("01-01"),
            due_date=on("01-15"),
            finalized_at=on("01-01"),
            uncollectible_at=None,
            voided_at=None,
            paid_at=None,
            invoice_plan="gold",
            lines_complete=True,
            stated_at=on("01-20"),
        ),
    )


@pytest.mark.parametrize(
    ("about", "customers"),
    [
        ({"id": "sub_1", "object": "subscription", "customer": "cus_7"}, ["cus_7"]),
        ({"id": "cus_7", "object": "customer"}, ["cus_7"]),
        ({"id": "in_1", "object": "invoice", "status": "draft", "customer": "cus_7"}, ["cus_7"]),
        ({"id": "po_1", "object": "payout"}, []),
    ],
)
def test_any_event_may_name_a_customer(about: Json, customers: list[str]) -> None:
    """A customer is known once any event names it; drafts and other objects say nothing more."""
    stripe_event = message(event("some.type", about, at="01-01"))

    assert invoices.decide(stripe_event) == tuple(Customer(integration="main", customer=each) for each in customers)
    assert (grants.decide(stripe_event), revocations.decide(stripe_event)) == ((), ())


def test_the_operators_catalog_is_the_grants_consumers_alone() -> None:
    """Revocations and invoices state nothing of it."""
    assert (revocations.decide(applied(catalog())), invoices.decide(applied(catalog()))) == ((), ())


# Operators' acts


ACTED: dict[str, Any] = {
    "integration": "main",
    "customer": "cus_1",
    "at": on("01-02"),
    "by": "ann",
    "reason": "a trial",
}


@pytest.mark.parametrize(
    ("act", "granted", "taken_back"),
    [
        (
            AccessGranted(id="grant_1", plan="gold", apis=(), start=on("01-01"), end=on("02-01"), **ACTED),
            ManualGrant(id="grant_1", plan="gold", apis=(), start=on("01-01"), end=on("02-01"), **ACTED),
            None,
        ),
        (
            AccessGranted(id="grant_2", plan=None, apis=("b", "a", "b"), start=on("01-01"), end=None, **ACTED),
            ManualGrant(id="grant_2", plan=None, apis=("a", "b"), start=on("01-01"), end=None, **ACTED),
            None,
        ),
        (
            AccessRevoked(id="revocation_1", grant="grant_1", since=on("01-03"), **ACTED),
            None,
            ManualRevocation(id="revocation_1", grant="grant_1", since=on("01-03"), **ACTED),
        ),
        (
            CustomerBlocked(id="block_1", start=on("01-01"), end=None, **ACTED),
            None,
            Block(id="block_1", start=on("01-01"), end=None, **ACTED),
        ),
        (
            CustomerUnblocked(id="unblock_1", since=on("01-03"), **ACTED),
            None,
            Unblock(id="unblock_1", since=on("01-03"), **ACTED),
        ),
    ],
    ids=["granted", "granted apis", "revoked", "blocked", "unblocked"],
)
def test_an_operators_act_is_one_fact_of_one_group(
    act: OperatorAct, granted: Fact | None, taken_back: Fact | None
) -> None:
    """What opens is of `grants`, what takes back of `revocations`; the order of a grant's APIs says nothing."""
    said = [[*decider(act)] for decider in DECIDERS]

    assert said == [[each] if each else [] for each in (granted, taken_back, None)]


# Facts


def test_a_facts_digest_is_over_every_column_but_stated_at() -> None:
    """Two facts that differ in any column have different digests; when they were stated makes no difference."""
    bill = Bill(lines=(Line(), CREDIT), finalized="01-01", paid="01-02", uncollectible="01-01T12:00", due="01-15")
    first, later = (
        [fact for decider in DECIDERS for fact in decider(shown(bill, "paid", at=at))] for at in ("01-02", "01-03")
    )

    assert len({fact.digest for fact in first}) == len(first) == 5
    assert [fact.digest for fact in first] == [fact.digest for fact in later]
    for fact in first:
        columns = [field.name for field in fields(fact) if field.init and field.name != "stated_at"]
        others = [_with(fact, column, f"other {column}").digest for column in columns]
        assert len({fact.digest, *others}) == len(columns) + 1


def _with(fact: Any, column: str, value: Any) -> Any:
    return replace(fact, **{column: value})


def test_a_snapshot_shows_no_status_above_its_own() -> None:
    """Of the transitions that a snapshot gives times for, those of its own status and below count."""
    transitions = {"finalized_at": 1, "marked_uncollectible_at": 2, "voided_at": 3, "paid_at": 4}

    def statuses(status: str) -> set[str]:
        body = snapshot(Bill(), status, status_transitions=transitions)
        invoice = read_invoice(event("invoice.updated", body, at="01-01"))
        assert invoice is not None
        return set(moments_shown(invoice))

    assert statuses("open") == {"open"}
    assert statuses("uncollectible") == {"open", "uncollectible"}
    assert statuses("paid") == {"open", "uncollectible", "paid"}
    assert statuses("void") == {"open", "uncollectible", "void"}


# Nothing but InvalidMessage


TERMS = revisions(catalog())
SCOPE = Scope(integration=INTEGRATION)


def survives(stripe_event: Json) -> None:
    """Reads an event as each consumer does and decides on what it states; only `InvalidMessage` may be raised."""
    memory: Memory = {}
    for decider in DECIDERS:
        with suppress(InvalidMessage):
            memory |= {fact.digest: fact for fact in decider(message(stripe_event))}
    for customer in {fact.customer for fact in memory.values() if fact.customer is not None}:
        known = standing(facts_of(memory, customer), SCOPE, TERMS)
        decide(known, "orders", on("01-15"), known_apis=("orders",))


def objects_in(value: Any) -> Iterator[Json]:
    """Every object of Stripe's in a document: events as they are, others, nested ones too, as an event about them."""
    if isinstance(value, dict):
        if value.get("object") == "event":
            yield value
        elif isinstance(value.get("object"), str):
            yield event("some.type", value, at="01-01")
        for each in value.values():
            yield from objects_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from objects_in(each)


def recorded_events() -> Iterator[Json]:
    """Our own examples, and all of the corpus where there is one."""
    bill = Bill(lines=(Line(), CREDIT), finalized="01-01", uncollectible="01-03", paid="01-05", due="01-15")
    for shape in Shape:
        yield from events(bill, shape=shape)
        yield from objects_in(snapshot(bill, "open", shape=shape))
    yield event("charge.dispute.closed", {"id": "du_1", "object": "dispute", "status": "won"}, at="01-01")
    yield event("invoice.upcoming", {"object": "invoice", "status": "draft", "lines": {"data": []}}, at="01-01")
    yield event("invoice.updated", {"id": "in_1", "object": "invoice", "closed": True, "date": 1}, at="01-01")
    for path in sorted(CORPUS.rglob("*.json")):
        yield from objects_in(json.loads(path.read_text()))


def test_whatever_stripe_ever_sent_is_read_or_refused() -> None:
    """Events and bare objects of many API versions, templates and fixtures: read, or refused as `InvalidMessage`."""
    count = 0
    for stripe_event in recorded_events():
        survives(stripe_event)
        count += 1

    assert count > (1000 if CORPUS.is_dir() else 20)


ODD: tuple[Any, ...] = (None, True, -1, 1.5, 10**30, "", "x", "1e-999999999", [], [None], {"id": 7})


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to everything that stands in a document."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    for step, each in inner:
        yield (*path, step)
        yield from places(each, (*path, step))


@pytest.mark.parametrize("shape", [Shape.MIXED, Shape.NEW])
def test_whatever_stands_anywhere_in_an_event_is_read_or_refused(shape: Shape) -> None:
    """An odd value in any one place of a paid invoice's event: read, or refused as `InvalidMessage`."""
    bill = Bill(lines=(CREDIT,), finalized="01-01", paid="01-05")
    whole = event("invoice.paid", snapshot(bill, "paid", shape=shape), at="01-05")
    untouched = copy.deepcopy(whole)
    for *steps, last in list(places(whole)):
        place: Any = whole
        for step in steps:
            place = place[step]
        usual = place[last]
        for odd in ODD:
            place[last] = odd
            survives(whole)
        place[last] = usual

    assert whole == untouched
