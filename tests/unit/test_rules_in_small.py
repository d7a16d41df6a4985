"""
What of the rules is easily wrong by one: an order, a bound, one cent, one second.

Each of these was a mutant that no other test noticed (docs/mutation.md). Long because there were so many.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from entitlements.domain.access import Scope, apis_of, decide
from entitlements.domain.catalog import Revisions, Route
from entitlements.domain.from_now_on import from_now_on
from entitlements.domain.given_back import credit_notes_of
from entitlements.domain.invoice import believed, moments_of
from entitlements.domain.payments import Dispute, Refund, payments_of
from entitlements.domain.routing import Requested, Routing
from entitlements.domain.statements import first_stated
from schemas.stripe_event import InvoiceStatus
from tests import acts
from tests.pure_core import INTEGRATION, ask, bill_of, facts_of, opened, plan, plans, record, spans_in, stand
from tests.stated import JUNE, line, snapshot, voided_too
from tests.stripe_builders import Bill, Json, Line, event, events, on, paid
from tests.stripe_builders import snapshot as shown
from tests.taking_back import charge, closed, credit_note, crediting, dispute, refund

WHOLE = ["il_2 paid 01-01..02-01"]
OPEN, PAID, VOID, UNCOLLECTIBLE = (
    InvoiceStatus.OPEN,
    InvoiceStatus.PAID,
    InvoiceStatus.VOID,
    InvoiceStatus.UNCOLLECTIBLE,
)
LATER = JUNE + timedelta(days=9)


# Lines, credits and operators' grants


@pytest.mark.parametrize(
    "other", [Line(quantity=0), Line(price="price_of_nobody")], ids=["of quantity 0", "of no plan"]
)
def test_a_line_that_grants_nothing_hides_none_behind_it(other: Line) -> None:
    """Each line stands alone, in whatever order they are looked at."""
    assert opened(paid(other, Line(id="il_2", item="si_2"))) == WHOLE


def test_a_grant_of_no_plan_hides_none_behind_it() -> None:
    """Grants are looked at from the earliest on; one of a plan that no catalog has opens nothing, and that is all."""
    nothing = acts.grant(plan="no such plan", id="grant_0")

    assert acts.ask(nothing, acts.grant("01-02"), at="01-03").reason == "manual"


def test_of_manual_grants_that_end_together_the_one_of_the_smallest_id_is_shown() -> None:
    """Not the one that began first."""
    terms = plans(enterprise=plan(), other=plan(prices=[]))
    known = (acts.grant("01-02", id="grant_1", plan="other"), acts.grant("01-01", id="grant_2"))

    assert acts.ask(*known, at="01-03", terms=terms).plan == "other"


def test_a_denial_is_kept_for_its_time_at_the_very_start_of_a_grant_that_is_blocked() -> None:
    """What opens at that moment is no later boundary."""
    known = (acts.grant("01-10"), acts.block("01-01"))

    assert acts.ask(*known, at="01-10").max_age == timedelta(seconds=2)


def test_without_a_catalog_no_api_is_known() -> None:
    """Whatever was billed."""
    nobody = stand(events(paid()), terms=Revisions(revisions=()))

    assert not apis_of(nobody, Scope(integration=INTEGRATION), Revisions(revisions=()), on("01-15"))


def test_what_is_paid_after_its_cycle_has_lapsed_from_that_very_moment() -> None:
    """A paid grant, though empty, began then."""
    late = Bill(finalized="01-01", paid="02-10")

    assert (ask(late, at="02-09T23:59:59").reason, ask(late, at="02-10").reason) == ("not_entitled", "cycle_lapsed")


def test_a_next_line_of_nothing_that_is_given_up_ends_the_leeway() -> None:
    """R4: its amount means nothing."""
    terms = plans(enterprise=plan(renewal_leeway="2h"))
    following = Bill(
        id="in_2",
        lines=(Line(id="il_2", start="02-01", end="03-01", amount=0),),
        finalized="02-01",
        voided="02-01T01:00",
    )

    assert opened(paid(), following, terms=terms) == [
        "il_1 paid 01-01..02-01",
        "il_1 renewal_leeway 02-01..02-01T01:00",
    ]


def test_a_next_cycle_on_the_same_invoice_keeps_the_leeway_from_the_one_after_it() -> None:
    """R4: an invoice that is given up ends the leeway of the cycle right before it, and of none before that."""
    terms = plans(enterprise=plan(renewal_leeway="2h"))
    both = paid(Line(), Line(id="il_2", start="02-01", end="03-01"))
    after = Bill(
        id="in_3", lines=(Line(id="il_3", start="03-01", end="04-01"),), finalized="01-20", uncollectible="01-25"
    )

    assert opened(both, after, terms=terms) == [
        "il_1 paid 01-01..02-01",
        "il_1 renewal_leeway 02-01..02-01T02:00",
        "il_2 paid 02-01..03-01",
    ]


def test_an_older_line_of_no_plan_that_is_owed_stops_unpaid_terms() -> None:
    """It has no terms of its own to be within."""
    terms = plans(enterprise=plan(first_unpaid="5d"))
    line_of_nobody = Line(id="il_0", start="2025-12-01", end="01-01", price="price_of_nobody")
    older = Bill(id="in_0", lines=(line_of_nobody,), finalized="2025-12-01")

    assert opened(older, Bill(finalized="01-01"), terms=terms) == []
    assert opened(Bill(finalized="01-01"), terms=terms) == ["il_1 unpaid_terms 01-01..01-06"]


def test_what_a_credit_ended_is_not_called_disputed_after_that() -> None:
    """A dispute closes what would be open without it, and nothing else."""
    credit = paid(Line(id="il_c", start="01-11", amount=-1500, proration=True), id="in_2", at="01-11")
    said = [*events(paid(), credit), charge(at="01-01"), dispute("needs_response", at="01-06")]

    assert [closed_then.period.end for closed_then in bill_of(said).closed] == [on("01-11")]


def test_what_a_later_denial_rests_on_is_remembered_whatever_comes_before_it() -> None:
    """Of what is over, what a query process keeps does not hang on the order of invoices."""
    terms = plans(enterprise=plan(), other=plan(prices=["price_other"], apis=["reports"]))
    old = Line(id="il_2", item="si_2", price="price_other", start="2025-12-01", end="01-01")
    paid_late = Bill(finalized="01-01", paid="02-10")

    for other, now in ((paid(), on("01-15")), (paid_late, on("02-05"))):
        known = stand(events(other, paid(old, id="in_2", at="2025-12-01")), terms=terms)
        left = from_now_on(known, now)
        assert decide(left, "reports", now, known_apis=("orders", "reports")).reason == "cycle_lapsed"


def test_a_proration_without_an_item_is_of_the_item_of_its_price() -> None:
    """Where its subscription has several items."""
    terms = plans(enterprise=plan(), other=plan(prices=["price_other"]))
    both = paid(Line(), Line(id="il_2", item="si_2", price="price_other"))
    credit = paid(Line(id="il_c", item=None, start="01-11", amount=-900, proration=True), id="in_2", at="01-11")

    assert opened(both, credit, terms=terms) == ["il_1 paid 01-01..01-11", *WHOLE]


# R5, R6: what is given back, and the statuses


def test_an_invoice_of_one_cent_is_given_back_by_one_cent() -> None:
    """Above zero is enough."""
    bill = paid(Line(amount=1))

    assert spans_in(bill_of([*events(bill), credit_note(at="01-06", amount=1)])) == ["il_1 paid 01-01..01-06"]


def test_a_charge_of_which_nothing_was_said_yet_gave_back_nothing() -> None:
    """Not even a cent."""
    two = [charge(refunded=2499, at="01-06"), charge(refunded=1, at="01-08", id="ch_2", payment_intent="pi_2")]

    assert spans_in(bill_of([*events(paid()), *two])) == ["il_1 paid 01-01..01-08"]


def test_of_a_line_credited_in_several_statements_the_fullest_counts() -> None:
    """In whatever order they came."""
    part, whole = (credit_note(at="01-06", lines=crediting("il_1", amount)) for amount in (1000, 2500))

    for said in permutations(facts_of(record({}, [part, whole])).credit_notes):
        (note,) = credit_notes_of(said)
        assert note.lines == (("il_1", 2500),)


@pytest.mark.parametrize(
    ("furthest", "told_later"),
    [
        ("pending", "requires_action"),
        ("succeeded", "pending"),
        ("succeeded", "requires_action"),
        ("failed", "succeeded"),
        ("canceled", "pending"),
    ],
)
def test_a_refunds_status_is_the_furthest_that_it_came_to(furthest: str, told_later: str) -> None:
    """Whatever is told after it: required an action, pending, succeeded, failed or cancelled."""
    found = _of_payment(refund(furthest, at="01-06"), refund(told_later, at="01-08"))

    assert isinstance(found, Refund)
    assert found.status == furthest


def test_a_disputes_status_is_that_of_its_closing() -> None:
    """Whatever is told of it afterwards."""
    found = _of_payment(
        dispute("needs_response", at="01-02"), closed("lost", at="01-06"), dispute("under_review", at="01-08")
    )

    assert isinstance(found, Dispute)
    assert found.status == "lost"


def _of_payment(*said: Json) -> Refund | Dispute:
    (payment,) = payments_of(facts_of(record({}, said)))
    several: list[Refund | Dispute] = [*payment.refunds, *payment.disputes]
    (found,) = several
    return found


# An invoice's moments


@pytest.mark.parametrize(
    ("facts", "moments"),
    [
        (([line(finalized_at=JUNE, paid_at=JUNE, stated_at=LATER)], [], []), {OPEN: JUNE, PAID: JUNE}),
        (([], [voided_too("cus_1")], []), {VOID: JUNE + timedelta(days=1)}),
        (
            ([], [], [snapshot("cus_1", status=UNCOLLECTIBLE, uncollectible_at=JUNE, stated_at=LATER)]),
            {OPEN: JUNE, UNCOLLECTIBLE: JUNE},
        ),
        (([], [], [snapshot("cus_1", status=VOID, voided_at=JUNE, stated_at=LATER)]), {OPEN: JUNE, VOID: JUNE}),
    ],
    ids=["a grant", "a revocation", "a snapshot, given up", "a snapshot, voided"],
)
def test_each_kind_of_fact_gives_an_invoices_moments_by_itself(
    facts: Any, moments: dict[InvoiceStatus, datetime]
) -> None:
    """The times that it gives count, not when it was stated."""
    assert moments_of(*facts) == moments


def test_a_revocation_gives_its_time_and_when_the_invoice_was_finalized() -> None:
    """A credit line's, where nothing else is known of the invoice."""
    credit = Line(amount=-500, proration=True)
    known = facts_of(record({}, [event("invoice.paid", shown(paid(credit), "paid"), at="01-09")]))

    assert moments_of((), known.revocations, ()) == {OPEN: on("01-01"), PAID: on("01-01")}


def test_paid_and_void_contradict_each_other_though_nothing_else_is_known() -> None:
    """Paid counts."""
    assert believed({PAID: JUNE, VOID: LATER}) == ({PAID: JUNE}, True)


def test_of_numbers_said_in_one_second_the_smallest_json_counts() -> None:
    """In whatever order they came."""
    for said in permutations((Decimal("10"), Decimal("2"), Decimal("1.5"))):
        assert first_stated((JUNE, each) for each in said) == Decimal("1.5")


# Routes


def routed(path: str, asked: str, host: str | None = None) -> str | None:
    """The API of a request among two routes, the second of which takes all."""
    routes = [Route(host=host, methods=frozenset(), path=path, api="dear")]
    routes.append(Route(host=None, methods=frozenset(), path="/**", api="cheap"))
    return Routing(routes).api_of(Requested(method="GET", host="api.example.com", path=asked))


def test_a_letter_that_is_two_in_capitals_may_be_read_as_those() -> None:
    """So it can't be told which route it is for, and it is for none."""
    assert routed("/straße/**", "/STRASSE/7") is None


def test_a_part_that_stands_for_anything_takes_letters_beyond_ascii_too() -> None:
    """In either case."""
    assert routed("/v*/status", "/v%C3%A9/status") == "dear"


def test_a_routes_host_may_end_in_a_dot() -> None:
    """It is the same host."""
    assert routed("/orders", "/orders", host="api.example.com.") == "dear"
