"""
When each billed line opens its APIs, and why: rules R1 to R4 of the contract, a test for each of their sentences.

Long because those rules are: each test reads as a sentence of its rule, and its invoices stand in it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.pure_core import bill_of, catalog, opened, plan, plans, revisions, spans_in
from tests.renewals import EACH_SHAPE, SECOND, TERMS, UPGRADE, renewal
from tests.stripe_builders import Bill, Line, Shape, event, one_off, paid, snapshot

# R1: paid


@EACH_SHAPE
def test_a_paid_line_opens_its_plan_for_its_period(shape: Shape) -> None:
    """A line of a paid invoice grants from its period's start to its end, whatever the invoice's own period says."""
    assert opened(paid(), shape=shape) == ["il_1 paid 01-01..02-01"]


def test_a_line_paid_late_opens_from_the_payment_on() -> None:
    """Paid after the cycle began, a line grants from `paid_at`."""
    assert opened(Bill(finalized="01-01", paid="01-12T08:00")) == ["il_1 paid 01-12T08:00..02-01"]


def test_a_line_paid_ahead_opens_when_its_period_begins() -> None:
    """Paid before the cycle begins, a line grants from `period.start`."""
    assert opened(Bill(finalized="2025-12-20", paid="2025-12-21")) == ["il_1 paid 01-01..02-01"]


@pytest.mark.parametrize("paid_at", ["02-01", "03-10"])
def test_a_line_paid_after_its_period_opens_nothing(paid_at: str) -> None:
    """Paid at its period's end or later, a line grants nothing, and has no leeway either."""
    assert opened(Bill(finalized="01-01", paid=paid_at), terms=plans(enterprise=plan(renewal_leeway="2h"))) == []


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        (Line(amount=0), {"amount_paid": 0, "amount_due": 0}),
        (Line(), {"paid_out_of_band": True, "attempted": False, "attempt_count": 0}),
        (Line(), {"amount_paid": 0, "amount_due": 0, "starting_balance": -2500, "ending_balance": 0}),
        (Line(), {"amount_paid": 0, "amount_remaining": 0, "pre_payment_credit_notes_amount": 2500}),
    ],
    ids=["zero amount", "out of band", "from the balance", "credit note before payment"],
)
def test_however_an_invoice_came_to_be_paid_it_is_paid(line: Line, changes: dict[str, Any]) -> None:
    """Card, bank, out of band, zero amount, balance: the status decides and no amount does."""
    done = event("invoice.paid", snapshot(paid(line), "paid", **changes), at="01-01")

    assert spans_in(bill_of([done])) == ["il_1 paid 01-01..02-01"]


def test_a_payment_still_processing_is_not_paid() -> None:
    """While a bank transfer is on its way the invoice is open: nothing is granted, whatever the event is called."""
    waiting = snapshot(Bill(finalized="01-01"), "open", payment_intent="pi_1", attempted=True, attempt_count=1)

    assert spans_in(bill_of([event("invoice.payment_succeeded", waiting, at="01-01")])) == []


def test_a_backdated_line_opens_from_the_payment_on() -> None:
    """A backdated line, longer than one interval, grants nothing before it was paid, and then to its end."""
    assert opened(paid(Line(start="2025-11-10"), at="01-05")) == ["il_1 paid 01-05..02-01"]


# R2: unpaid terms


def test_by_default_a_finalized_invoice_opens_nothing() -> None:
    """The defaults of unpaid terms are zero."""
    catalog_of_defaults = catalog(
        {"enterprise": {"cost": "paid", "stripe_prices": ["price_enterprise"], "apis": ["orders"]}}
    )

    assert opened(Bill(finalized="01-01"), renewal(), terms=revisions(catalog_of_defaults)) == []


@EACH_SHAPE
def test_first_unpaid_counts_from_finalization(shape: Shape) -> None:
    """An open first invoice grants for `first_unpaid` from its finalization, where the period began before."""
    bill = Bill(finalized="01-01T03:00")

    assert opened(bill, terms=plans(enterprise=plan(first_unpaid="5d")), shape=shape) == [
        "il_1 unpaid_terms 01-01T03:00..01-06T03:00"
    ]


def test_first_unpaid_counts_from_the_period_where_that_begins_later() -> None:
    """Finalized ahead of its period, a first invoice grants for `first_unpaid` from `period.start`."""
    bill = Bill(finalized="2025-12-20")

    assert opened(bill, terms=plans(enterprise=plan(first_unpaid="5d"))) == ["il_1 unpaid_terms 01-01..01-06"]


def test_unpaid_terms_last_while_the_invoice_is_open() -> None:
    """Paid within its terms, an invoice goes on as paid without a gap."""
    bill = Bill(finalized="01-01", paid="01-03")

    assert opened(bill, terms=plans(enterprise=plan(first_unpaid="5d"))) == [
        "il_1 paid 01-03..02-01",
        "il_1 unpaid_terms 01-01..01-03",
    ]


def test_until_due_lasts_to_the_due_date() -> None:
    """`until_due` grants to `due_date`."""
    bill = Bill(finalized="01-01T01:00", due="01-15")

    assert opened(bill, terms=plans(enterprise=plan(first_unpaid="until_due"))) == [
        "il_1 unpaid_terms 01-01T01:00..01-15"
    ]


@pytest.mark.parametrize("reason", ["subscription_create", "subscription_cycle"])
def test_until_due_without_a_due_date_opens_nothing(reason: str) -> None:
    """`until_due` without a due date: not at all, for a first invoice and for a renewal."""
    terms = plans(enterprise=plan(first_unpaid="until_due", renewal_unpaid="until_due"))

    assert opened(Bill(finalized="01-01", reason=reason), terms=terms) == []


@pytest.mark.parametrize("term", ["60d", "until_due"])
@pytest.mark.parametrize("reason", ["subscription_create", "subscription_cycle"])
def test_unpaid_terms_never_pass_the_cycles_end(term: str, reason: str) -> None:
    """However long the terms are, they end with the cycle."""
    terms = plans(enterprise=plan(first_unpaid=term, renewal_unpaid=term))

    assert opened(Bill(finalized="01-01", due="03-15", reason=reason), terms=terms) == [
        "il_1 unpaid_terms 01-01..02-01"
    ]


@EACH_SHAPE
def test_renewal_unpaid_counts_from_the_cycles_start(shape: Shape) -> None:
    """A renewal grants for `renewal_unpaid` from its cycle's start, though only once it is finalized."""
    terms = plans(enterprise=plan(first_unpaid="10d", renewal_unpaid="3d"))

    assert opened(paid(), renewal(), terms=terms, shape=shape) == [
        "il_1 paid 01-01..02-01",
        "il_2 unpaid_terms 02-01T01:00..02-04",
    ]


def test_a_renewal_may_run_until_due() -> None:
    """`renewal_unpaid: until_due` grants a renewal to its due date."""
    terms = plans(enterprise=plan(renewal_unpaid="until_due"))

    assert opened(renewal(due="02-10"), terms=terms) == ["il_2 unpaid_terms 02-01T01:00..02-10"]


def test_every_line_of_a_cycle_invoice_is_a_renewal() -> None:
    """On a `subscription_cycle` invoice a line without a subscription is a renewal as well."""
    terms = plans(enterprise=plan(first_unpaid="10d", renewal_unpaid="3d"))

    assert opened(renewal(replace(SECOND, subscription=None, item=None)), terms=terms) == [
        "il_2 unpaid_terms 02-01T01:00..02-04"
    ]


@pytest.mark.parametrize(
    ("paid_up_to", "expected"),
    [
        ("02-01", "02-04"),
        ("02-20", "02-04"),
        ("01-31", "02-04"),
        ("01-30T23:59:59", "02-11T01:00"),
    ],
)
def test_a_line_of_no_subscription_renews_what_was_paid_up_to_a_day_before(paid_up_to: str, expected: str) -> None:
    """A line of no subscription is a renewal if its plan had been paid up to at most a day before, else a first one."""
    terms = plans(enterprise=plan(first_unpaid="10d", renewal_unpaid="3d"))
    before = paid(one_off(end=paid_up_to), reason="manual")
    following = renewal(replace(SECOND, subscription=None, item=None), reason="manual")

    assert opened(before, following, terms=terms)[1:] == [f"il_2 unpaid_terms 02-01T01:00..{expected}"]


@pytest.mark.parametrize(
    "before",
    [
        Bill(finalized="01-01", voided="01-02"),
        paid(one_off(price="price_other")),
        paid(one_off(start="02-01", end="03-01"), at="02-01"),
    ],
    ids=["not paid", "another plan", "the same cycle"],
)
def test_a_line_of_no_subscription_is_no_renewal_without_a_paid_cycle_before(before: Bill) -> None:
    """Unpaid, another plan's, or not before: then the line is a first one."""
    terms = plans(
        enterprise=plan(first_unpaid="10d", renewal_unpaid="3d"), other=plan(prices=["price_other"], apis=["reports"])
    )
    following = renewal(replace(SECOND, subscription=None, item=None), reason="manual")

    assert "il_2 unpaid_terms 02-01T01:00..02-11T01:00" in opened(before, following, terms=terms)


def test_a_subscriptions_first_invoice_is_no_renewal() -> None:
    """A line of a subscription is a renewal by its billing reason alone, even right after a paid cycle of the plan."""
    terms = plans(enterprise=plan(first_unpaid="10d", renewal_unpaid="3d"))
    anew = renewal(replace(SECOND, subscription="sub_2", item="si_2"), reason="subscription_create")

    assert opened(paid(), anew, terms=terms)[1:] == ["il_2 unpaid_terms 02-01T01:00..02-11T01:00"]


def test_a_line_of_no_subscription_is_a_renewal_from_when_the_one_before_was_paid() -> None:
    """At a moment before that payment the plan had not been paid up: `first_unpaid` holds until then."""
    terms = plans(enterprise=plan(first_unpaid="until_due", renewal_unpaid="10d"))
    before = Bill(lines=(one_off(end="02-10"),), reason="manual", finalized="01-01", due="02-05", paid="02-03")
    following = renewal(replace(SECOND, subscription=None, item=None), reason="manual", due="02-02")

    assert opened(before, following, terms=terms) == [
        "il_1 paid 02-03..02-10",
        "il_1 unpaid_terms 01-01..02-03",
        "il_2 unpaid_terms 02-01T01:00..02-02",
        "il_2 unpaid_terms 02-03..02-11",
    ]


def test_an_invoice_item_of_a_subscription_is_no_renewal() -> None:
    """A line that names a subscription, though no item of it, is no line of no subscription."""
    terms = plans(enterprise=plan(first_unpaid="10d", renewal_unpaid="3d"))
    extra = renewal(replace(SECOND, item=None), reason="manual")

    assert opened(paid(), extra, terms=terms)[1:] == ["il_2 unpaid_terms 02-01T01:00..02-11T01:00"]


@pytest.mark.parametrize(
    "bill",
    [
        Bill(lines=(Line(proration=True),), reason="subscription_create", finalized="01-01"),
        Bill(lines=(Line(proration=True),), reason="subscription_cycle", finalized="01-01"),
        Bill(reason="subscription_update", finalized="01-01"),
        Bill(reason="subscription_threshold", finalized="01-01"),
    ],
    ids=["proration", "proration with a renewal", "update", "threshold"],
)
@EACH_SHAPE
def test_prorations_updates_and_thresholds_open_nothing_unpaid(bill: Bill, shape: Shape) -> None:
    """Prorations, `subscription_update` and `subscription_threshold` invoices give nothing before they are paid."""
    terms = plans(enterprise=plan(first_unpaid="5d", renewal_unpaid="5d"))

    assert opened(bill, terms=terms, shape=shape) == []
    assert opened(replace(bill, paid="01-01"), terms=terms, shape=shape) == ["il_1 paid 01-01..02-01"]


@pytest.mark.parametrize(
    ("older", "expected"),
    [
        (Bill(finalized="01-01"), []),
        (Bill(finalized="01-01", uncollectible="01-20"), []),
        (Bill(finalized="01-01", paid="02-05"), ["il_2 unpaid_terms 02-05..02-11"]),
        (Bill(finalized="01-01", uncollectible="01-20", paid="02-05"), ["il_2 unpaid_terms 02-05..02-11"]),
        (Bill(finalized="01-01", voided="02-05"), ["il_2 unpaid_terms 02-05..02-11"]),
        (Bill(finalized="01-01", paid="01-20"), ["il_1 paid 01-20..02-01", "il_2 unpaid_terms 02-01T01:00..02-11"]),
    ],
    ids=["open", "uncollectible", "paid late", "uncollectible, then paid", "voided", "paid before"],
)
@EACH_SHAPE
def test_an_older_overdue_invoice_stops_unpaid_terms(older: Bill, expected: list[str], shape: Shape) -> None:
    """While an older invoice of the item is owed and past its terms the next gives nothing; paid, it is released."""
    given = [each for each in opened(older, renewal(), terms=TERMS, shape=shape) if "il_1 unpaid_terms" not in each]

    assert given == expected


def test_an_older_invoice_within_its_own_terms_stops_nothing() -> None:
    """Two open invoices may both be within their terms; once the older is past its own, the newer gives nothing."""
    older = Bill(finalized="01-25", lines=(Line(start="01-20", end="02-20"),))

    assert opened(older, renewal(), terms=TERMS) == [
        "il_1 unpaid_terms 01-25..02-04",
        "il_2 unpaid_terms 02-01T01:00..02-04",
    ]


def test_a_newer_invoice_never_stops_an_older_one() -> None:
    """Only an invoice whose line starts earlier stops another's terms: not one that starts later, or with it."""
    for start in ("02-01", "02-15"):
        newer = Bill(finalized="01-01", reason="subscription_update", lines=(Line(start=start, end="03-15"),))

        assert opened(newer, renewal(), terms=TERMS) == ["il_2 unpaid_terms 02-01T01:00..02-11"]


def test_an_invoice_never_stops_its_own_terms() -> None:
    """Prorations that a renewal bills with it start earlier and have no terms; the renewal's own line has its terms."""
    assert opened(renewal(*UPGRADE, replace(SECOND, price="price_other")), terms=TERMS) == [
        "il_2 unpaid_terms 02-01T01:00..02-11"
    ]


@pytest.mark.parametrize(
    ("older", "newer", "stopped"),
    [
        (Line(), SECOND, True),
        (Line(price="price_other"), SECOND, True),
        (Line(item="si_other"), SECOND, False),
        (one_off(), replace(SECOND, subscription=None, item=None), True),
        (Line(), replace(SECOND, subscription=None, item=None), True),
        (one_off(price="price_other"), replace(SECOND, subscription=None, item=None), False),
        (one_off(), SECOND, False),
    ],
    ids=[
        "same item",
        "same item, other plan",
        "other item, same plan",
        "no item, same plan",
        "no item, same plan's item",
        "no item, other plan",
        "item, same plan without item",
    ],
)
def test_overdue_is_told_by_item_or_without_one_by_plan(older: Line, newer: Line, stopped: bool) -> None:
    """What is overdue is a line of the same subscription item or, for a line without one, of the same plan."""
    given = opened(Bill(lines=(older,), finalized="01-01", reason="manual"), renewal(newer), terms=TERMS)

    assert (not any(each.startswith("il_2") for each in given)) == stopped


# R3: a new cycle


@EACH_SHAPE
def test_a_paid_cycle_of_a_subscription_item_has_leeway(shape: Shape) -> None:
    """After the end of a paid cycle of a subscription item access goes on for `renewal_leeway`, and no longer."""
    terms = plans(enterprise=plan(renewal_leeway="2h"))

    assert opened(paid(), renewal(), terms=terms, shape=shape) == [
        "il_1 paid 01-01..02-01",
        "il_1 renewal_leeway 02-01..02-01T02:00",
    ]


def test_a_line_of_no_subscription_item_has_no_leeway() -> None:
    """Leeway is for lines of a subscription item: nothing renews the others by itself."""
    assert opened(paid(one_off()), terms=plans(enterprise=plan(renewal_leeway="2h"))) == ["il_1 paid 01-01..02-01"]


def test_after_its_end_a_paid_cycle_says_nothing_about_the_next() -> None:
    """Without leeway or terms the next cycle opens when it is paid, and not before."""
    assert opened(paid(), renewal(paid="02-03")) == ["il_1 paid 01-01..02-01", "il_2 paid 02-03..03-01"]


def test_a_cycle_that_was_ended_early_has_no_leeway() -> None:
    """A line that a credit ended before its end has no leeway at its end."""
    terms = plans(enterprise=plan(renewal_leeway="2h"))
    credit = Line(id="il_2", start="01-11", amount=-1700, proration=True)

    assert opened(paid(), paid(credit, id="in_2", at="01-11"), terms=terms) == ["il_1 paid 01-01..01-11"]


# R4: void and uncollectible


@pytest.mark.parametrize("change", ["voided", "uncollectible"])
@EACH_SHAPE
def test_void_and_uncollectible_end_unpaid_terms_at_their_transition(change: str, shape: Shape) -> None:
    """Both end, at their transition, what R2 gave for that invoice."""
    voided, uncollectible = (None, "01-03") if change == "uncollectible" else ("01-03", None)
    bill = Bill(finalized="01-01", voided=voided, uncollectible=uncollectible)

    assert opened(bill, terms=TERMS, shape=shape) == ["il_1 unpaid_terms 01-01..01-03"]


@pytest.mark.parametrize("change", ["voided", "uncollectible"])
@EACH_SHAPE
def test_void_and_uncollectible_end_the_leeway_of_the_cycle_before(change: str, shape: Shape) -> None:
    """Both end, at their transition, the leeway of the cycle before it, of the same subscription item."""
    terms = plans(enterprise=plan(renewal_leeway="2h"))

    assert opened(paid(), renewal(**{change: "02-01T01:30"}), terms=terms, shape=shape) == [
        "il_1 paid 01-01..02-01",
        "il_1 renewal_leeway 02-01..02-01T01:30",
    ]


def test_leeway_of_another_item_or_of_an_earlier_cycle_is_not_ended() -> None:
    """Giving up an invoice ends the leeway of the cycle right before it alone, and of its own item."""
    terms = plans(enterprise=plan(renewal_leeway="60d"))
    third = Line(id="il_3", start="03-01", end="04-01")
    other = Line(id="il_other", item="si_other")

    assert opened(
        paid(Line(), other),
        renewal(paid="02-01T01:00"),
        renewal(third, id="in_3", finalized="03-01", voided="03-01T01:00"),
        terms=terms,
    ) == [
        "il_1 paid 01-01..02-01",
        "il_1 renewal_leeway 02-01..04-02",
        "il_2 paid 02-01T01:00..03-01",
        "il_2 renewal_leeway 03-01..03-01T01:00",
        "il_other paid 01-01..02-01",
        "il_other renewal_leeway 02-01..04-02",
    ]


@EACH_SHAPE
def test_uncollectible_then_paid_is_paid(shape: Shape) -> None:
    """Marked uncollectible and paid after all: the rest of its cycle is open, from the payment on (R1, R4)."""
    terms = plans(enterprise=plan(renewal_unpaid="5d"))
    late = renewal(uncollectible="02-03", paid="02-10")

    assert opened(paid(), late, terms=terms, shape=shape) == [
        "il_1 paid 01-01..02-01",
        "il_2 paid 02-10..03-01",
        "il_2 unpaid_terms 02-01T01:00..02-03",
    ]


def test_uncollectible_never_touches_what_the_invoice_had_paid() -> None:
    """Should an invoice be called uncollectible after it was paid, its paid cycle stays."""
    contrary = Bill(finalized="01-01", paid="01-02", uncollectible="01-10")

    assert opened(contrary) == ["il_1 paid 01-02..02-01"]


def test_a_voided_invoice_never_touches_what_another_pays() -> None:
    """Corrected and billed anew: voiding the old invoice ends nothing of the new one, for the same cycle."""
    old = Bill(id="in_0", lines=(Line(id="il_0"),), finalized="01-01", voided="01-02")

    assert opened(old, paid(at="01-01T12:00")) == ["il_1 paid 01-01T12:00..02-01"]


@EACH_SHAPE
def test_voiding_an_upgrade_takes_nothing_away(shape: Shape) -> None:
    """A voided upgrade gives nothing and ends nothing: not the cycle paid before, not its leeway."""
    terms = plans(
        enterprise=plan(renewal_leeway="2h", first_unpaid="5d"), big=plan(prices=["price_big"], first_unpaid="5d")
    )
    upgrade = Bill(id="in_2", reason="subscription_update", lines=UPGRADE, finalized="01-11", voided="01-12")

    assert opened(paid(), upgrade, terms=terms, shape=shape) == [
        "il_1 paid 01-01..02-01",
        "il_1 renewal_leeway 02-01..02-01T02:00",
    ]


@EACH_SHAPE
def test_voiding_an_upgrade_of_the_next_cycle_leaves_the_leeway(shape: Shape) -> None:
    """Only the next cycle's own invoice ends leeway; prorations are none, wherever they begin."""
    terms = plans(enterprise=plan(renewal_leeway="2h"))
    proration = replace(SECOND, start="02-01T00:30", proration=True)
    upgrade = renewal(proration, reason="subscription_update", finalized="02-01T00:30", voided="02-01T01:00")

    assert opened(paid(), upgrade, terms=terms, shape=shape) == [
        "il_1 paid 01-01..02-01",
        "il_1 renewal_leeway 02-01..02-01T02:00",
    ]


@EACH_SHAPE
def test_voiding_a_change_of_plan_inside_a_paid_cycle_leaves_the_leeway(shape: Shape) -> None:
    """Though billed in full and not as a proration; what begins at the end of a paid cycle or later is the next one."""
    terms = plans(enterprise=plan(renewal_leeway="2h"))
    whole = replace(SECOND, start="01-11", end="02-11")
    change = Bill(id="in_2", reason="subscription_update", lines=(whole,), finalized="01-11", voided="01-12")

    assert opened(paid(), change, terms=terms, shape=shape) == [
        "il_1 paid 01-01..02-01",
        "il_1 renewal_leeway 02-01..02-01T02:00",
    ]
