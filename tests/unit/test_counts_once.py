"""Lines whose plan the invoice's metadata names count once per distinct period, whichever of them still stands (R8)."""

from __future__ import annotations

from dataclasses import replace

from entitlements.domain.access import Scope, apis_of, decide
from entitlements.domain.decision import Decision, Reason
from tests.pure_core import INTEGRATION, bill_of, plan, plans, spans_in, stand
from tests.stripe_builders import Bill, Json, Line, events, on, one_off, paid
from tests.taking_back import charge, credit_note, crediting, dispute

TERMS = plans(gold=plan(calls=1000), silver=plan(prices=["price_s"], calls=10))
FIRST = one_off(id="il_1", price=None, amount=1000, quantity=7)
SECOND = one_off(id="il_2", price=None, amount=1500)
NAMED = {"entitlement_plan": "gold"}
BOTH = paid(FIRST, SECOND, metadata=NAMED)

NOTE_VOIDED_LATER = credit_note(at="01-06", void="01-20", amount=1000, lines=crediting("il_1", 1000))
"""The first line is given back from the 6th to the 20th."""

CREDITED_MEANWHILE = paid(
    Line(id="il_c", start="01-11", amount=-1500, proration=True, credited=("in_1", ("il_2",))), id="in_2", at="01-11"
)
"""The second line is ended on the 11th, for good."""


def told(*others: Json, at: str, bills: tuple[Bill, ...] = (BOTH,)) -> Decision:
    """The decision about `orders` at a moment."""
    customer = stand([*events(*bills), charge(at="01-01"), *others], terms=TERMS)
    known = apis_of(customer, Scope(integration=INTEGRATION), TERMS, on("12-31"))
    return decide(customer, "orders", on(at), known_apis=known)


def test_lines_taken_back_at_different_times_leave_open_what_either_of_them_does() -> None:
    """Closed only while the one is given back and the other has ended; ending one source never ends another's (R9)."""
    bills = (BOTH, CREDITED_MEANWHILE)

    for day in ("01-01", "01-06", "01-10T23:59:59", "01-20", "01-31"):
        assert told(NOTE_VOIDED_LATER, at=day, bills=bills).reason is Reason.PAID, day
    for day in ("01-11", "01-19T23:59:59"):
        assert told(NOTE_VOIDED_LATER, at=day, bills=bills).reason is Reason.REFUNDED, day


def test_until_is_that_of_all_of_them() -> None:
    """The line that is to end first does not tell when the answer turns."""
    assert told(NOTE_VOIDED_LATER, at="01-02").until == on("02-01")
    assert told(NOTE_VOIDED_LATER, at="01-02", bills=(BOTH, CREDITED_MEANWHILE)).until == on("01-11")


def test_refunded_is_told_though_the_other_line_is_disputed_alone() -> None:
    """The first reason that is true of any of them is given: refunded before disputed."""
    taken_back = (credit_note(at="01-06", amount=1000, lines=crediting("il_1", 1000)), dispute("lost", at="01-11"))

    assert told(*taken_back, at="01-10").reason is Reason.PAID
    assert told(*taken_back, at="01-12").reason is Reason.REFUNDED


def test_quotas_count_once_while_both_stand_and_while_one_does() -> None:
    """Quantity 1, however many lines cover the moment; another invoice's lines, or another plan's, count too."""
    assert [each.limit for each in told(NOTE_VOIDED_LATER, at="01-02").quotas] == [1000]
    partly = (NOTE_VOIDED_LATER, credit_note(at="01-25", amount=1500, lines=crediting("il_2", 1500), id="cn_2"))
    for day in ("01-02", "01-10", "01-22", "01-26"):
        assert [each.limit for each in told(*partly, at=day).quotas] == [1000], day
    again = paid(replace(FIRST, id="il_3"), replace(SECOND, id="il_4"), metadata=NAMED, id="in_3")
    other = paid(one_off(id="il_5", price="price_s", quantity=2), id="in_4")
    assert [each.limit for each in told(*partly, at="01-02", bills=(BOTH, again, other)).quotas] == [2020]


def test_distinct_periods_of_one_invoice_each_count() -> None:
    """Where two periods cover a moment, both count."""
    bill = paid(FIRST, replace(SECOND, end="01-15"), metadata=NAMED)

    assert [each.limit for each in told(at="01-10", bills=(bill,)).quotas] == [2000]
    assert [each.limit for each in told(at="01-20", bills=(bill,)).quotas] == [1000]


def test_a_line_that_adds_nothing_is_no_cycle_of_its_own() -> None:
    """Lines of which the same is taken back, and those beside one that stands whole, are told once."""
    third = one_off(id="il_3", price=None, amount=1)
    note = credit_note(at="01-06", amount=2500, lines={"data": crediting("il_1", 1000)["data"]})

    assert spans_in(bill_of(events(paid(third, SECOND, FIRST, metadata=NAMED)), terms=TERMS)) == [
        "il_1 paid 01-01..02-01"
    ]
    beside = bill_of([*events(paid(FIRST, SECOND, third, metadata=NAMED)), note], terms=TERMS)
    assert spans_in(beside) == ["il_2 paid 01-01..02-01"]
    assert [cycle.line.id for cycle in beside.cycles] == ["il_2"]


def test_a_proration_never_stands_for_a_line_that_gives_unpaid_terms() -> None:
    """Prorations give nothing unpaid (R2); the other line does, though part of it was credited."""
    terms = plans(gold=plan(first_unpaid="10d"))
    bill = Bill(lines=(replace(FIRST, proration=True), SECOND), metadata=NAMED, finalized="01-01")
    note = credit_note(at="01-05", amount=1500, lines=crediting("il_2", 1500))

    assert spans_in(bill_of(events(bill), terms=terms)) == ["il_2 unpaid_terms 01-01..01-11"]
    assert spans_in(bill_of([*events(bill), note], terms=terms)) == ["il_2 unpaid_terms 01-01..01-05"]
