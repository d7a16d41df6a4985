"""
Which lines could grant anything, of which plan, and what ends them: rule R8 of the contract, sentence by sentence.

Long because the rule is: each test reads as a sentence of it, and its invoices stand in it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.pure_core import bill_of, catalog, opened, plan, plans, revisions, spans_in
from tests.renewals import EACH_SHAPE, SECOND, TERMS, UPGRADE, renewal
from tests.stripe_builders import Bill, Line, Shape, event, events, one_off, paid, snapshot

# R8: lines


BIG = plans(enterprise=plan(), big=plan(prices=["price_big"]))


def test_each_line_stands_alone() -> None:
    """Several plans, periods and subscriptions on one invoice: each line opens its own plan for its own period."""
    terms = plans(enterprise=plan(), reports=plan(prices=["price_reports"], apis=["reports"]))
    bill = paid(
        Line(),
        Line(id="il_2", price="price_reports", start="01-01", end="2027-01-01", item="si_2"),
        Line(id="il_3", start="01-10", end="02-10", subscription="sub_2", item="si_3"),
        one_off(id="il_4", start="01-20", end="01-21"),
    )

    assert opened(bill, terms=terms) == [
        "il_1 paid 01-01..02-01",
        "il_2 paid 01-01..2027-01-01",
        "il_3 paid 01-10..02-10",
        "il_4 paid 01-20..01-21",
    ]


@pytest.mark.parametrize(
    "line",
    [
        Line(amount=-2500),
        Line(quantity=0),
        Line(start="01-01", end="01-01"),
        Line(usage_type="metered", start="2025-12-01", end="01-01"),
    ],
    ids=["negative", "of quantity 0", "of empty period", "metered in arrears"],
)
@EACH_SHAPE
def test_a_line_that_grants_nothing_is_no_cycle(line: Line, shape: Shape) -> None:
    """Negative, of quantity 0, metered in arrears or of empty period: a line grants nothing, nor is it unmapped."""
    everything = bill_of(events(paid(line), shape=shape))

    assert (everything.cycles, everything.unmapped) == ((), ())


@pytest.mark.parametrize(
    ("shape", "expected"), [(Shape.OLD, []), (Shape.MIXED, []), (Shape.NEW, ["il_1 paid 01-01..02-01"])]
)
def test_metered_is_told_by_the_usage_type_where_it_is_shown(shape: Shape, expected: list[str]) -> None:
    """`usage_type` decides where it is shown; where it is not, a period that is yet to end is taken for licensed."""
    assert opened(paid(Line(usage_type="metered")), shape=shape) == expected


@EACH_SHAPE
def test_a_licensed_line_is_never_taken_for_metered_where_its_period_had_not_ended(shape: Shape) -> None:
    """A subscription line whose period ends after its invoice's creation is billed ahead."""
    assert opened(paid(Line(start="2025-11-01", end="01-01T00:00:01")), shape=shape) == [
        "il_1 paid 01-01..01-01T00:00:01"
    ]


@pytest.mark.parametrize("quantity", [None, 1, 3, "0.5"])
def test_any_other_quantity_grants(quantity: int | str | None) -> None:
    """A null quantity, or a part of one, grants like any other."""
    assert opened(paid(Line(quantity=quantity))) == ["il_1 paid 01-01..02-01"]


def test_a_zero_amount_line_grants() -> None:
    """A trial's or a free plan's line costs nothing and grants its period."""
    assert opened(paid(Line(amount=0, end="01-15"))) == ["il_1 paid 01-01..01-15"]


@pytest.mark.parametrize(
    ("every", "start", "end"),
    [
        ("month", "01-31", "02-28"),
        ("month", "01-10", "02-10"),
        ("day", "01-10", "01-11"),
        ("year", "01-10", "2027-01-10"),
    ],
)
@EACH_SHAPE
def test_a_one_off_line_of_empty_period_lasts_one_cycle(every: str, start: str, end: str, shape: Shape) -> None:
    """A line of no subscription item and of empty period lasts one `every` of its plan from its start."""
    bill = paid(one_off(start=start, end=start), at=start)

    assert opened(bill, terms=plans(enterprise=plan(every=every)), shape=shape) == [f"il_1 paid {start}..{end}"]


@EACH_SHAPE
def test_an_invoice_item_on_a_subscriptions_invoice_lasts_one_cycle_too(shape: Shape) -> None:
    """An extra billed with a renewal names the subscription, no item of it, and an empty period in the past."""
    extra = one_off(id="il_extra", price="price_extra", subscription="sub_1", start="01-20", end="01-20")
    terms = plans(enterprise=plan(), extra=plan(prices=["price_extra"]))

    assert opened(renewal(SECOND, extra, paid="02-01T01:05"), terms=terms, shape=shape) == [
        "il_2 paid 02-01T01:05..03-01",
        "il_extra paid 02-01T01:05..02-20",
    ]


def test_a_one_off_line_may_have_a_period_of_its_own() -> None:
    """A one-off line whose period is not empty lasts that period, whatever its plan's cycle is."""
    assert opened(paid(one_off(end="01-04"))) == ["il_1 paid 01-01..01-04"]


def test_a_line_of_no_plan_is_unmapped_and_shown() -> None:
    """A line that nothing names a plan for grants nothing and is listed as unmapped."""
    everything = bill_of(events(paid(Line(), Line(id="il_2", price="price_nobody_lists", item="si_2"))))

    assert spans_in(everything) == ["il_1 paid 01-01..02-01"]
    assert [line.id for line in everything.unmapped] == ["il_2"]


# R8: credit lines


@EACH_SHAPE
def test_an_upgrade_billed_at_once_ends_the_old_line_when_it_is_paid(shape: Shape) -> None:
    """The credit line ends lines of its item and price that start before it; the new price's line begins."""
    upgrade = Bill(id="in_2", reason="subscription_update", lines=UPGRADE, finalized="01-11", paid="01-11T00:05")

    assert opened(paid(), upgrade, terms=BIG, shape=shape) == [
        "il_1 paid 01-01..01-11T00:05",
        "il_debit paid 01-11T00:05..02-01",
    ]


@EACH_SHAPE
def test_an_upgrade_that_stays_unpaid_takes_nothing_away_and_gives_nothing(shape: Shape) -> None:
    """A credit line counts on a paid invoice only."""
    upgrade = Bill(id="in_2", reason="subscription_update", lines=UPGRADE, finalized="01-11", uncollectible="01-20")

    assert opened(paid(), upgrade, terms=BIG, shape=shape) == ["il_1 paid 01-01..02-01"]


@pytest.mark.parametrize("credited", [None, ("in_1", ("il_1",))], ids=["by item and price", "by name"])
@EACH_SHAPE
def test_a_switch_billed_with_the_next_renewal_takes_nothing_away_in_the_past(
    credited: tuple[str, tuple[str, ...]] | None, shape: Shape
) -> None:
    """Prorations of both signs on the renewal: the old plan's cycle was over when they were paid, so it stays whole."""
    credit, debit = UPGRADE
    bill = renewal(replace(credit, credited=credited), debit, replace(SECOND, price="price_big"), paid="02-01T01:05")

    assert opened(paid(), bill, terms=BIG, shape=shape) == ["il_1 paid 01-01..02-01", "il_2 paid 02-01T01:05..03-01"]


def test_a_credit_on_the_renewal_ends_the_leeway_that_is_left() -> None:
    """Paid during the old line's leeway, the credit ends that too: the plan was switched away from."""
    terms = plans(enterprise=plan(renewal_leeway="2h"), big=plan(prices=["price_big"]))
    bill = renewal(*UPGRADE, replace(SECOND, price="price_big"), paid="02-01T01:05")

    assert opened(paid(), bill, terms=terms)[:2] == [
        "il_1 paid 01-01..02-01",
        "il_1 renewal_leeway 02-01..02-01T01:05",
    ]


def test_a_credit_paid_ahead_ends_its_line_when_its_period_begins() -> None:
    """A credit whose period begins after its payment ends the line from that start on."""
    ahead = paid(Line(id="il_2", start="01-20", amount=-900, proration=True), id="in_2", at="01-11")

    assert opened(paid(), ahead) == ["il_1 paid 01-01..01-20"]


@EACH_SHAPE
def test_named_lines_are_ended_and_no_others(shape: Shape) -> None:
    """Where `credited_items` names lines, those end and no other line of the item and price does."""
    bills = paid(Line(), Line(id="il_same_price"))
    credit = Line(id="il_2", start="01-11", amount=-1700, proration=True, credited=("in_1", ("il_1",)))

    assert opened(bills, paid(credit, id="in_2", at="01-11"), shape=shape) == [
        "il_1 paid 01-01..01-11",
        "il_same_price paid 01-01..02-01",
    ]


def test_named_lines_are_ended_whatever_their_item_and_price() -> None:
    """A name decides alone: the credited line may be of another item, and of another price."""
    credit = Line(
        id="il_2", start="01-11", amount=-1, proration=True, item=None, price=None, credited=("in_1", ("il_1", "il_x"))
    )

    assert opened(paid(), paid(credit, id="in_2", at="01-11")) == ["il_1 paid 01-01..01-11"]


def test_names_are_gathered_from_all_snapshots() -> None:
    """What any of a credit line's snapshots names is credited; one that names nothing says nothing."""
    lines = [Line(id=f"il_{name}") for name in ("a", "b", "c", "not_named")]
    credit = Line(id="il_2", start="01-11", amount=-1700, proration=True)
    told = events(paid(*lines))
    for shape, credited in zip(Shape, ("il_a", "il_b", "il_c"), strict=True):
        told += events(paid(replace(credit, credited=("in_1", (credited,))), id="in_2", at="01-11"), shape=shape)
    told += events(paid(credit, id="in_2", at="01-11"))

    assert spans_in(bill_of(told)) == [
        "il_a paid 01-01..01-11",
        "il_b paid 01-01..01-11",
        "il_c paid 01-01..01-11",
        "il_not_named paid 01-01..02-01",
    ]


@pytest.mark.parametrize(
    ("line", "ended"),
    [
        (Line(), True),
        (Line(start="01-05"), True),
        (Line(start="01-11"), True),
        (Line(start="01-11T00:00:01"), False),
        (Line(price="price_big"), False),
        (Line(item="si_other"), False),
        (one_off(), False),
    ],
    ids=["", "starts before", "starts with it", "starts after", "other price", "other item", "no item"],
)
def test_unnamed_are_lines_of_the_same_item_and_price_that_start_before(line: Line, ended: bool) -> None:
    """If none are named: of the same item and price, starting before the credit, or with it if finalized earlier."""
    credit = Line(id="il_2", start="01-11", amount=-1700, proration=True)
    given = opened(paid(line), paid(credit, id="in_2", at="01-21"), terms=BIG)

    assert given == [f"il_1 paid {line.start}..{'01-21' if ended else '02-01'}"]


@EACH_SHAPE
def test_a_debit_billed_after_its_time_is_licensed_in_every_shape(shape: Shape) -> None:
    """Stripe prorates licensed prices only: a proration is never taken for metered, though its period had ended."""
    everything = bill_of(events(renewal(*UPGRADE, paid="02-01T01:05"), shape=shape), terms=BIG)

    assert [cycle.line.id for cycle in everything.cycles] == ["il_debit"]


@EACH_SHAPE
def test_a_changed_quantity_ends_the_old_line_and_not_its_own_debit(shape: Shape) -> None:
    """Credit and debit of one price start together on one invoice: the debit is not what the credit ends."""
    change = paid(
        Line(id="il_credit", start="01-11", amount=-1700, proration=True),
        Line(id="il_debit", start="01-11", amount=3400, quantity=2, proration=True),
        id="in_2",
        reason="subscription_update",
        at="01-11",
    )

    assert opened(paid(), change, shape=shape) == ["il_1 paid 01-01..01-11", "il_debit paid 01-11..02-01"]


def test_switching_there_and_back_keeps_what_was_bought_last() -> None:
    """Back to the first price in the same cycle: the first credit does not end the line that came after it."""
    there = paid(*UPGRADE, id="in_2", reason="subscription_update", at="01-11")
    back = paid(
        Line(id="il_credit_2", start="01-21", amount=-3400, proration=True, price="price_big"),
        Line(id="il_debit_2", start="01-21", amount=850, proration=True),
        id="in_3",
        reason="subscription_update",
        at="01-21",
    )

    assert opened(paid(), there, back, terms=BIG) == [
        "il_1 paid 01-01..01-11",
        "il_debit paid 01-11..01-21",
        "il_debit_2 paid 01-21..02-01",
    ]


@pytest.mark.parametrize(("one", "other"), [("in_2", "in_3"), ("in_3", "in_2")])
def test_the_earliest_of_several_credits_counts(one: str, other: str) -> None:
    """Two credits of one line: it ends at the earlier of their moments, whatever their ids."""
    first = paid(Line(id="il_2", start="01-15", amount=-1, proration=True), id=one, at="01-20")
    second = paid(Line(id="il_3", start="01-11", amount=-1, proration=True), id=other, at="01-12")

    assert opened(paid(), first, second) == ["il_1 paid 01-01..01-12"]


def test_a_negative_line_that_is_no_proration_ends_nothing() -> None:
    """A discount is a negative line too, but credits no time."""
    discount = Line(id="il_2", start="01-11", amount=-1700)

    assert opened(paid(), paid(discount, id="in_2", at="01-11")) == ["il_1 paid 01-01..02-01"]


def test_a_credit_ends_unpaid_terms_too() -> None:
    """A line credited before it was paid gives nothing from then on, paid or not."""
    unpaid = Bill(finalized="01-01", paid="01-25")
    credit = paid(Line(id="il_2", start="01-05", amount=-1700, proration=True), id="in_2", at="01-05")

    assert opened(unpaid, credit, terms=TERMS) == ["il_1 unpaid_terms 01-01..01-05"]


# Which plan a line is of (contract, section 3)


NAMED = plans(
    enterprise=plan(),
    gold=plan(prices=[], apis=["gold"]),
    silver=plan(prices=[], apis=["silver"]),
    bronze=plan(prices=[], apis=["bronze"]),
)


def names(plan_name: str) -> dict[str, str]:
    return {"entitlement_plan": plan_name}


def plan_names(*bills: Bill, shape: Shape = Shape.OLD) -> list[str]:
    return [cycle.plan.name for cycle in bill_of(events(*bills, shape=shape), terms=NAMED).cycles]


@pytest.mark.parametrize(
    ("line", "metadata", "expected"),
    [
        (one_off(metadata=names("gold"), price_metadata=names("silver")), names("bronze"), "gold"),
        (one_off(price_metadata=names("silver")), names("bronze"), "silver"),
        (one_off(), names("bronze"), "enterprise"),
        (one_off(price="price_nobody_lists"), names("bronze"), "bronze"),
        (one_off(price=None), names("bronze"), "bronze"),
        (one_off(metadata=names("no such plan"), price="price_nobody_lists"), names("bronze"), "bronze"),
    ],
    ids=["line", "price", "listed price", "invoice", "invoice, without a price", "a name of no plan"],
)
@pytest.mark.parametrize("shape", [Shape.OLD, Shape.MIXED])
def test_a_lines_plan_is_the_first_that_something_names(
    line: Line, metadata: dict[str, str], expected: str, shape: Shape
) -> None:
    """Metadata of the line; of its price; the plan that lists its price; metadata of the invoice."""
    assert plan_names(paid(line, metadata=metadata, reason="manual"), shape=shape) == [expected]


def test_where_the_payload_does_not_carry_the_price_its_metadata_names_nothing() -> None:
    """The new shape gives the price's id alone: the plan is then the one that lists it."""
    assert plan_names(paid(Line(price_metadata=names("silver"))), shape=Shape.NEW) == ["enterprise"]


@EACH_SHAPE
def test_an_invoices_metadata_counts_once_per_distinct_period_with_quantity_one(shape: Shape) -> None:
    """However many lines of whatever quantity share a period, the plan that the invoice names is had once for it."""
    bill = paid(
        one_off(id="il_1", price=None, quantity=7),
        one_off(id="il_2", price=None, quantity=5),
        one_off(id="il_3", price=None, quantity=5, start="02-01", end="03-01"),
        metadata=names("gold"),
        reason="manual",
    )
    everything = bill_of(events(bill, shape=shape), terms=NAMED)

    assert spans_in(everything) == ["il_1 paid 01-01..02-01", "il_3 paid 02-01..03-01"]
    assert [cycle.quantity for cycle in everything.cycles] == [1, 1]


def test_lines_that_name_their_plan_each_count() -> None:
    """Two lines of one plan and period, each named by its own metadata, are two grants with their quantities."""
    bill = paid(one_off(metadata=names("gold"), quantity=2), one_off(id="il_2", metadata=names("gold"), quantity=3))

    assert [cycle.quantity for cycle in bill_of(events(bill), terms=NAMED).cycles] == [2, 3]


@EACH_SHAPE
def test_an_invoices_metadata_names_no_plan_for_a_subscriptions_lines(shape: Shape) -> None:
    """The invoice's metadata is for invoices made without Stripe subscriptions."""
    bill = paid(Line(price="price_nobody_lists"), metadata=names("gold"))
    everything = bill_of(events(bill, shape=shape), terms=NAMED)

    assert [line.id for line in everything.unmapped] == ["il_1"]


@EACH_SHAPE
def test_an_invoices_metadata_names_no_plan_for_a_pending_item_on_a_subscriptions_invoice(shape: Shape) -> None:
    """Nor for one where the invoice alone names the subscription, or a credit line does."""
    item = one_off(id="il_2", price="price_nobody_lists", start="01-05", end="01-20")
    credit = Line(id="il_3", amount=-500, proration=True, start="01-05")
    alone = paid(item, metadata=names("gold"))
    parent = {"type": "subscription_details", "subscription_details": {"subscription": "sub_1"}}
    by_itself = snapshot(alone, "paid", shape=shape) | (
        {"parent": parent} if shape is Shape.NEW else {"subscription": "sub_1"}
    )

    assert plan_names(paid(Line(), item, metadata=names("gold")), shape=shape) == ["enterprise"]
    assert plan_names(paid(credit, item, metadata=names("gold")), shape=shape) == []
    assert bill_of([event("invoice.paid", by_itself, at="01-05")], terms=NAMED).cycles == ()
    for line in (replace(item, subscription="sub_1"), replace(item, item="si_1")):
        whole = snapshot(paid(line, metadata=names("gold")), "paid", shape=shape)
        by_its_line = {name: said for name, said in whole.items() if name not in ("subscription", "parent")}
        assert bill_of([event("invoice.paid", by_its_line, at="01-05")], terms=NAMED).cycles == ()
    assert plan_names(alone, shape=shape) == ["gold"]


# Terms are those of the catalog in force at finalization (contract, section 3)


def apis(bill: Bill, *documents: Any) -> list[str]:
    (cycle,) = bill_of(events(bill), terms=revisions(*documents)).cycles
    return [f"revision {cycle.revision}", *sorted(cycle.plan.apis)]


BEFORE = catalog({"enterprise": plan(apis=["orders"])})
AFTER = catalog({"enterprise": plan(apis=["orders", "reports"])})


@pytest.mark.parametrize(
    ("finalized", "expected"),
    [
        ("01-09", ["revision 1", "orders"]),
        ("01-10", ["revision 2", "orders", "reports"]),
        ("01-11", ["revision 2", "orders", "reports"]),
    ],
)
def test_a_line_has_the_terms_in_force_at_its_invoices_finalization(finalized: str, expected: list[str]) -> None:
    """A changed plan changes only what is finalized once it is in force, whenever that is paid."""
    assert apis(Bill(finalized=finalized, paid="01-20"), BEFORE, ("01-10", AFTER)) == expected


def test_a_correction_may_reach_back_before_the_finalization() -> None:
    """`--from` before the finalization puts the corrected terms in force for a cycle already billed."""
    assert apis(paid(at="01-05"), BEFORE, ("01-01", AFTER)) == ["revision 2", "orders", "reports"]


def test_a_price_named_late_is_decided_late() -> None:
    """If the revision in force names no plan for a line, the first later one that does gives its terms."""
    nothing = catalog({"enterprise": plan(prices=[])})

    assert apis(paid(at="01-05"), nothing, ("01-10", BEFORE), ("01-20", AFTER)) == ["revision 2", "orders"]


def test_a_price_never_named_stays_unmapped() -> None:
    """Earlier revisions never give terms to what was finalized after they were replaced."""
    nothing = catalog({"enterprise": plan(prices=[])})
    everything = bill_of(events(paid(at="01-15")), terms=revisions(BEFORE, ("01-10", nothing)))

    assert ([*everything.cycles], [line.id for line in everything.unmapped]) == ([], ["il_1"])


def test_without_any_catalog_every_line_is_unmapped() -> None:
    """Facts are recorded before there is a catalog; nothing is granted until one names a plan."""
    assert [line.id for line in bill_of(events(paid()), terms=revisions()).unmapped] == ["il_1"]
