"""Credit lines that Stripe shows in odd ways: in one snapshot only, without an invoice, without a subscription item."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.pure_core import bill_of, catalog, opened, plan, revisions, spans_in
from tests.stripe_builders import Bill, Json, Line, Shape, event, events, one_off, paid, snapshot

CREDIT = Line(id="il_c", start="01-11", amount=-1700, proration=True)
DEBIT = Line(id="il_d", start="01-11", amount=3400, proration=True, price="price_analytics")
JANUARY = paid(Line(id="il_1"), id="in_1")
UPGRADE = Bill(id="in_2", reason="subscription_update", lines=(CREDIT, DEBIT), finalized="01-11", paid="01-12")
TERMS = revisions(
    catalog(
        {
            "enterprise": plan(renewal_leeway="2h"),
            "analytics": plan(prices=["price_analytics"], apis=["reports"], renewal_leeway="2h"),
        }
    )
)
SWITCHED = [
    "il_1 paid 01-01..01-12",
    "il_d paid 01-12..02-01",
    "il_d renewal_leeway 02-01..02-01T02:00",
]


def test_a_credit_shown_before_payment_counts_once_its_invoice_is_paid() -> None:
    """Stripe may leave a line out of a later snapshot; lines are joined over all of them."""
    finalized = event("invoice.finalized", snapshot(UPGRADE, "open"), at="01-11")
    settled = event("invoice.paid", snapshot(replace(UPGRADE, lines=(DEBIT,)), "paid"), at="01-12")

    assert SWITCHED == spans_in(bill_of([*events(JANUARY), finalized, settled], terms=TERMS))


def test_a_credit_on_an_invoice_that_stays_unpaid_ends_nothing() -> None:
    """An upgrade that stays unpaid takes nothing away and gives nothing."""
    assert ["il_1 paid 01-01..02-01", "il_1 renewal_leeway 02-01..02-01T02:00"] == opened(
        JANUARY, replace(UPGRADE, paid=None, voided="01-20"), terms=TERMS
    )


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("shape", [Shape.NEW, Shape.MIXED])
def test_a_proration_rendered_as_an_invoice_item_is_of_its_subscription_s_item(named: bool, shape: Shape) -> None:
    """`invoice_item_details` names no item: it is taken from the subscription's other lines, so all shapes agree."""
    credited = replace(CREDIT, credited=("in_1", ("il_1",))) if named else CREDIT
    upgrade = replace(UPGRADE, lines=(credited, DEBIT))
    told = [*events(JANUARY, shape=shape), *(without_items(each) for each in events(upgrade, shape=shape))]

    assert SWITCHED == spans_in(bill_of(told, terms=TERMS))


def test_of_a_subscription_with_several_items_none_is_guessed() -> None:
    """Where other lines name two items, an item-less credit that names no line ends nothing."""
    two = paid(Line(id="il_1"), Line(id="il_2", item="si_2", price="price_analytics"), id="in_1")
    credit = replace(CREDIT, price="price_unknown")
    told = [
        *events(two),
        *(without_items(each) for each in events(paid(credit, id="in_2", at="01-12"), shape=Shape.NEW)),
    ]

    assert not [span for span in spans_in(bill_of(told, terms=TERMS)) if "01-12" in span]


def test_a_credited_line_named_without_its_invoice_is_found() -> None:
    """The line's own id is enough."""
    upgrade = replace(UPGRADE, lines=(replace(CREDIT, credited=("", ("il_1",))), DEBIT))

    assert SWITCHED == opened(JANUARY, upgrade, terms=TERMS)


@pytest.mark.parametrize("credited", ["il_a", "il_b"])
def test_a_credit_of_one_of_two_lines_that_count_once_leaves_the_other(credited: str) -> None:
    """Two lines of one period whose plan the invoice names count once; ending one source never ends another's."""
    bill = paid(
        one_off(id="il_a", price=None), one_off(id="il_b", price=None), metadata={"entitlement_plan": "enterprise"}
    )
    credit = replace(CREDIT, subscription=None, item=None, credited=("in_1", (credited,)))
    left = "il_b" if credited == "il_a" else "il_a"

    assert [f"{left} paid 01-01..02-01"] == opened(bill, paid(credit, id="in_2", at="01-12"), terms=TERMS)


def test_a_month_credited_away_is_not_paid_up_to_its_end() -> None:
    """A line of no subscription is a renewal only of what was paid up to at most a day before (R2)."""
    terms = revisions(catalog({"enterprise": plan(first_unpaid="10d", renewal_unpaid="3d")}))
    january = paid(one_off(id="il_1"), id="in_1")
    credit = replace(CREDIT, id="il_c", start="01-05", subscription=None, item=None, credited=("in_1", ("il_1",)))
    february = Bill(
        id="in_2", reason="manual", lines=(one_off(id="il_2", start="02-01", end="03-01"),), finalized="02-01"
    )

    assert "il_2 unpaid_terms 02-01..02-04" in opened(january, february, terms=terms)
    given_back = paid(credit, id="in_c", at="01-10")
    assert "il_2 unpaid_terms 02-01..02-11" in opened(january, given_back, february, terms=terms)


def test_what_was_never_uncollectible_before_it_was_paid_ends_no_leeway() -> None:
    """Nothing leaves paid: a time of `uncollectible` at or after payment is none."""
    february = Bill(
        id="in_2",
        reason="subscription_cycle",
        lines=(Line(id="il_2", start="02-01", end="03-01"),),
        finalized="02-01T01:00",
        paid="02-01T01:30",
        uncollectible="02-01T01:30",
    )

    assert "il_1 renewal_leeway 02-01..02-01T02:00" in opened(JANUARY, february, terms=TERMS)


@pytest.mark.parametrize("quantity", [0, -2])
def test_no_quantity_grants_nothing(quantity: int) -> None:
    """A line of quantity 0, or of less, grants nothing; it would make quotas negative."""
    assert [] == opened(paid(Line(amount=0, quantity=quantity)), terms=TERMS)


def without_items(told: Json) -> Json:
    """The event with its prorations as `parent.invoice_item_details`, which name no subscription item."""
    body = told["data"]["object"]
    lines = []
    for line in body["lines"]["data"]:
        details = dict(line["parent"]["subscription_item_details"])
        details.pop("subscription_item")
        parent = {"type": "invoice_item_details", "invoice_item_details": details, "subscription_item_details": None}
        lines.append({**line, "parent": parent, "subscription_item": None})
    return told | {"data": {"object": body | {"lines": body["lines"] | {"data": lines}}}}
