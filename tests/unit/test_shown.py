"""What a person is shown of invoices, at a moment."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from entitlements.domain.access import Scope, decide, standing
from entitlements.domain.catalog import Revisions
from entitlements.domain.decision import Decision
from entitlements.domain.facts import CustomerFacts, Fact, Grant, InvoiceSnapshot, Revocation
from entitlements.domain.shown import InvoiceShown, invoices_shown, snapshot_at
from entitlements.store import as_revisions
from schemas.stripe_event import InvoiceStatus
from tests.pure_core import facts_of, plan, plans, record
from tests.stated import JULY, JUNE, PAY_AT, catalog, line, snapshot, voided_too
from tests.stripe_builders import events, on, paid
from tests.taking_back import charge, credit_note, dispute, refund

PAID, OPEN, VOID = InvoiceStatus.PAID, InvoiceStatus.OPEN, InvoiceStatus.VOID
UNCOLLECTIBLE = InvoiceStatus.UNCOLLECTIBLE
HOUR = timedelta(hours=1)
LATER = datetime(2026, 6, 15, tzinfo=UTC)


def known_by(facts: Iterable[Fact]) -> CustomerFacts:
    """These facts as those of one customer."""
    said = list(facts)
    return CustomerFacts(
        named=True,
        grants=tuple(fact for fact in said if isinstance(fact, Grant)),
        revocations=tuple(fact for fact in said if isinstance(fact, Revocation)),
        invoices=tuple(fact for fact in said if isinstance(fact, InvoiceSnapshot)),
    )


def shown(*facts: Fact, at: datetime = LATER, marketplace: str | None = None) -> tuple[InvoiceShown, ...]:
    """The invoices that these facts, and the story's catalog, come to."""
    known, scope = known_by(facts), Scope(integration="main", marketplace=marketplace)
    return invoices_shown(standing(known, scope, revisions()), known.invoices, scope, at)


def answer(*facts: Fact) -> Decision:
    """The decision about `orders` that rests on these facts."""
    scope = Scope(integration="main")
    return decide(standing(known_by(facts), scope, revisions()), "orders", LATER, known_apis=("orders",))


def revisions() -> Revisions:
    """The story's catalog."""
    return as_revisions([catalog()])


def of(status: InvoiceStatus, at: datetime, **changed: Any) -> InvoiceSnapshot:
    """A snapshot that shows *status* and was stated at *at*."""
    return snapshot("cus_paid", status=status, stated_at=at, **changed)


@pytest.mark.parametrize(
    ("status", "at", "number"),
    [
        (PAID, LATER, "paid, at last"),
        (OPEN, JUNE + 3 * HOUR, "half paid"),
        (OPEN, JUNE + HOUR, "open"),
        (UNCOLLECTIBLE, LATER, "given up"),
        (OPEN, JUNE - HOUR, "open"),
    ],
)
def test_amounts_are_those_of_the_highest_rank_that_was_stated_last(
    status: InvoiceStatus, at: datetime, number: str
) -> None:
    """Never of a status beyond the one that the invoice had, nor of a later moment; whatever the order they came in."""
    snapshots = [
        of(OPEN, JUNE, number="open"),
        of(OPEN, JUNE + 2 * HOUR, number="half paid"),
        of(UNCOLLECTIBLE, JUNE + 4 * HOUR, number="given up"),
        of(PAID, JUNE + 5 * HOUR, number="paid"),
        of(PAID, JUNE + 6 * HOUR, number="paid, at last"),
    ]

    for order in permutations(snapshots):
        counts = snapshot_at(order, status, at)
        assert counts is not None
        assert counts.number == number


def test_within_one_second_the_smallest_canonical_json_counts() -> None:
    """Two snapshots of one status and second are told apart by what they say, not by which came first."""
    one, other = of(OPEN, JUNE, amount_paid=100), of(OPEN, JUNE, amount_paid=200)

    assert [one, one] == [snapshot_at(order, OPEN, LATER) for order in ([one, other], [other, one])]


def test_where_only_a_later_snapshot_is_known_it_counts() -> None:
    """A number and a total are better than none; without any snapshot there is none."""
    paid = of(PAID, JUNE + HOUR)

    assert paid == snapshot_at([paid], OPEN, JUNE)
    assert snapshot_at([], OPEN, JUNE) is None


def test_an_invoice_is_shown_as_it_was() -> None:
    """Before payment it was open, could be paid, and had not been paid; before finalization it was not there."""
    facts = (
        line(),
        of(OPEN, JUNE, amount_remaining=2500),
        of(PAID, JUNE + timedelta(minutes=5), amount_remaining=0),
    )

    ((now,), (before,)) = shown(*facts), shown(*facts, at=JUNE + timedelta(minutes=1))
    assert (now.status, now.pay_at) == (PAID, None)
    assert dict(now.transitions) == {OPEN: JUNE, PAID: JUNE + timedelta(minutes=5)}
    assert now.amounts is not None
    assert now.amounts.amount_remaining == 0
    assert (before.status, before.pay_at, dict(before.transitions)) == (OPEN, PAY_AT, {OPEN: JUNE})
    assert before.amounts is not None
    assert before.amounts.amount_remaining == 2500
    assert shown(*facts, at=JUNE - HOUR) == ()


def test_the_status_is_the_one_that_decisions_rest_on() -> None:
    """Whichever consumer has come to a record first: what is shown as paid is open, and what is not yet is not."""
    line_open, line_paid = line(status=OPEN, paid_at=None, stated_at=JUNE), line(paid_at=JUNE + HOUR)
    open_, paid = of(OPEN, JUNE), of(PAID, JUNE + 2 * HOUR, paid_at=JUNE + HOUR)

    for facts in ((line_open, open_, paid), (line_open, line_paid, open_), (line_open, line_paid, paid)):
        (invoice,) = shown(*facts)
        allowed = answer(*facts).allowed
        assert (allowed, invoice.status, invoice.pay_at, invoice.transitions[PAID]) == (True, PAID, None, JUNE + HOUR)
    (invoice,) = shown(line_open, open_)
    assert (answer(line_open, open_).allowed, invoice.status, invoice.amounts) == (False, OPEN, open_)
    assert invoice.pay_at == PAY_AT


def test_an_invoice_that_snapshots_alone_know_is_shown() -> None:
    """One without any line that bills for something: each status since it was stated, void not believed."""
    snapshots = [of(OPEN, JUNE), of(PAID, JUNE + HOUR), of(VOID, JUNE + 2 * HOUR)]

    (invoice,) = shown(*snapshots)
    assert (invoice.status, invoice.is_contradictory, invoice.cycles) == (PAID, True, ())
    assert dict(invoice.transitions) == {OPEN: JUNE, PAID: JUNE + HOUR}
    assert shown(*snapshots, marketplace="acme") == ()


def test_an_invoice_that_no_snapshot_shows_yet_has_its_cycles() -> None:
    """Without number and amounts, and nobody knows whether its lines are complete."""
    (invoice,) = shown(line(), voided_too("cus_paid"))

    assert (invoice.amounts, invoice.lines_complete, invoice.created) == (None, None, JUNE)
    assert [(each.plan, each.line, each.period.start) for each in invoice.cycles] == [
        ("enterprise", "il_cus_paid", JUNE)
    ]
    assert invoice.is_contradictory


def test_a_marketplace_s_scope_shows_its_own_lines_alone() -> None:
    """Of an invoice with lines of two marketplaces and of none, each sees its own; others' invoices not at all."""
    facts = (
        line(),
        line(line="il_report", price="price_reporting"),
        line(line="il_odd", price="price_nobody_named"),
        line(invoice="in_other", line="il_other", price="price_reporting", invoice_created=JULY, finalized_at=JUNE),
    )
    plans = {
        marketplace: [
            (each.id, [cycle.plan for cycle in each.cycles]) for each in shown(*facts, marketplace=marketplace)
        ]
        for marketplace in (None, "acme", "globex")
    }

    assert plans == {
        None: [("in_other", ["reporting"]), ("in_cus_paid", ["enterprise", None, "reporting"])],
        "acme": [("in_cus_paid", ["enterprise"])],
        "globex": [("in_other", ["reporting"]), ("in_cus_paid", ["reporting"])],
    }


def test_lines_are_complete_once_any_snapshot_had_them_all() -> None:
    """Lines are joined over snapshots, so one that has all of them is enough."""
    short, whole = of(OPEN, JUNE, lines_complete=False), of(PAID, JUNE + HOUR, lines_complete=True)

    assert [each.lines_complete for facts in ((short,), (short, whole)) for each in shown(line(), *facts)] == [
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("at", "given_back", "is_disputed"),
    [("01-05", 0, False), ("01-06", 1000, False), ("01-10", 1000, True), ("01-15", 1500, False), ("01-25", 500, False)],
)
def test_what_was_given_back_and_disputed_is_shown_as_it_was(at: str, given_back: int, is_disputed: bool) -> None:
    """Refunds and credit notes that count at the moment, and whether a dispute stands; whatever the plan's terms."""
    known = [
        *events(paid()),
        charge(at="01-01"),
        refund("pending", at="01-06", amount=1000),
        refund("failed", at="01-20", amount=1000),
        dispute("needs_response", at="01-10"),
        dispute("won", at="01-15"),
        credit_note(at="01-15", amount=500),
    ]
    facts = facts_of(record({}, known))
    terms = plans(enterprise=plan(on_refund="keep", on_dispute="keep"))
    scope = Scope(integration="main")

    (invoice,) = invoices_shown(standing(facts, scope, terms), facts.invoices, scope, on(at))

    assert (invoice.given_back, invoice.is_disputed) == (given_back, is_disputed)


def test_of_an_invoice_without_a_known_line_nobody_says_that_nothing_was_given_back() -> None:
    """Payments are looked for where lines are known."""
    (invoice,) = shown(of(PAID, JUNE))

    assert (invoice.given_back, invoice.is_disputed) == (None, None)


def test_when_it_is_due_and_was_made_is_shown_of_every_invoice() -> None:
    """Whether a line bills for something or snapshots alone know of it; and at its very moment it is finalized."""
    by_line = (line(due_date=JULY), of(OPEN, JUNE, due_date=JULY))
    alone = (of(OPEN, JUNE, due_date=JULY, created=JUNE - HOUR, finalized_at=JUNE),)

    for facts, created in ((by_line, JUNE), (alone, JUNE - HOUR)):
        (invoice,) = shown(*facts, at=JUNE)
        assert (invoice.id, invoice.due_date, invoice.created) == ("in_cus_paid", JULY, created)
        assert invoice.transitions == {OPEN: JUNE}
        assert shown(*facts, at=JUNE - timedelta(seconds=1)) == ()
