"""Which facts two sides do not share: what stands together, of which invoice it is, and that nothing is left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from entitlements.domain.difference_of_facts import ABOUT, FactChange, Having, facts_compared
from entitlements.domain.facts import Customer, CustomerFacts, Fact, Grant
from entitlements.store import TABLE_OF
from tests.pure_core import INTEGRATION, Memory, facts_of, record
from tests.renewals import renewal
from tests.stripe_builders import Json, events, on, paid
from tests.taking_back import charge, credit_note, dispute, invoice_payment, refund, subscription_deleted

HISTORY: tuple[Json, ...] = (
    *events(paid(), renewal(uncollectible="02-11")),
    charge(at="01-01"),
    charge(refunded=2500, at="01-12"),
    invoice_payment(at="01-01"),
    refund("succeeded", at="01-12"),
    refund("failed", at="01-14"),
    dispute("needs_response", at="01-20"),
    credit_note(at="01-25", amount=500),
    subscription_deleted(at="01-29"),
)


def compared(before: CustomerFacts, after: CustomerFacts) -> tuple[FactChange, ...]:
    """What the sides do not share of the customer."""
    return facts_compared(before, after, integration=INTEGRATION, customer="cus_1")


def every(facts: CustomerFacts) -> dict[bytes, Fact]:
    """All facts, by digest."""
    return {
        fact.digest: fact
        for each in fields(facts)
        for fact in ([] if each.name == "named" else getattr(facts, each.name))
    }


def read(history: Iterable[Json]) -> Memory:
    """What all consumers find in these events."""
    return record({}, history)


def test_every_kind_of_a_customer_has_something_that_it_is_about() -> None:
    """A kind that is added is not forgotten here; a catalog and a name are no facts of one customer."""
    assert {kind.__name__ for kind in TABLE_OF} - {kind.__name__ for kind in ABOUT} == {"Customer", "CatalogRevision"}
    assert [name for kind, names in ABOUT.items() for name in names if name not in {f.name for f in fields(kind)}] == []


def test_two_that_are_about_the_same_are_told_as_one_field_by_field() -> None:
    """A line that was misread: one change, and what it says otherwise."""
    right = facts_of(read(events(paid())))
    wrong = replace(
        right,
        grants=tuple(replace(each, period_end=on("02-11")) if each.paid_at else each for each in right.grants),
    )
    (found,) = compared(wrong, right)

    assert (found.having, found.invoices, type(found.fact)) == (Having.EACH, ("in_1",), Grant)
    assert [(each.field, each.before, each.after) for each in found.fields] == [
        ("period_end", on("02-11"), on("02-01"))
    ]


def test_one_that_is_stated_at_another_time_is_told() -> None:
    """The one column that is no part of what a fact says decides too, which statement came first."""
    one = facts_of(read(events(paid())))
    later = replace(one, grants=tuple(replace(each, stated_at=each.stated_at + timedelta(1)) for each in one.grants))

    assert {each.field for found in compared(one, later) for each in found.fields} == {"stated_at"}
    assert {found.having for found in compared(one, later)} == {Having.EACH}


def test_what_is_paid_back_stands_by_the_invoice_that_it_paid() -> None:
    """A refund names a payment alone; the links of either side lead to the invoice."""
    whole = facts_of(read(HISTORY))
    lacking = replace(whole, refunds=(), payment_links=())
    found = [each for each in compared(lacking, whole) if hasattr(each.fact, "refund")]

    assert len(found) == 2
    assert {(each.having, each.invoices) for each in found} == {(Having.AFTER, ("in_1",))}


def test_whom_one_side_alone_has_heard_of_is_told() -> None:
    """A customer that Stripe named, as one side has it."""
    (found,) = compared(CustomerFacts(named=False), CustomerFacts(named=True))

    assert (found.having, found.fact) == (Having.AFTER, Customer(integration=INTEGRATION, customer="cus_1"))


@given(st.sets(st.sampled_from(range(len(HISTORY)))), st.sets(st.sampled_from(range(len(HISTORY)))))
@settings(max_examples=100, deadline=None)
def test_what_is_told_makes_of_one_side_the_other(one: set[int], other: set[int]) -> None:
    """From the facts before, with what is told, come exactly those after; of two that are the same nothing is told."""
    before, after = (facts_of(read(HISTORY[each] for each in sorted(chosen))) for chosen in (one, other))
    made = every(before)
    for change in compared(before, after):
        if change.having is not Having.AFTER:
            made.pop(change.fact.digest, None)
        if change.having is Having.EACH:
            fact = replace(change.fact, **{each.field: each.after for each in change.fields})
            made[fact.digest] = fact
        elif change.having is Having.AFTER and not isinstance(change.fact, Customer):
            made[change.fact.digest] = change.fact

    assert made == every(after)
    assert compared(before, before) == ()
