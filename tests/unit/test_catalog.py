"""Which plan a line has in a catalog, and which revision of the catalog counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entitlements.domain.catalog import Catalog, NamedPlan, Plan, Revision, Revisions
from tests.unit.catalog_documents import TWO_INTEGRATIONS, catalog, minimal, plan


def named(
    found: Catalog,
    *,
    integration: str = "main",
    line_plan: str | None = None,
    price_plan: str | None = None,
    price: str | None = None,
    invoice_plan: str | None = None,
) -> NamedPlan | None:
    return found.plan_of(
        integration=integration, line_plan=line_plan, price_plan=price_plan, price=price, invoice_plan=invoice_plan
    )


@pytest.mark.parametrize(
    ("sources", "expected", "by_invoice"),
    [
        ({"line_plan": "basic", "price_plan": "extra", "price": "?", "invoice_plan": "extra"}, "basic", False),
        ({"line_plan": "extra", "price_plan": "basic", "price": "price_1", "invoice_plan": "basic"}, "extra", False),
        ({"price_plan": "extra", "price": "price_1", "invoice_plan": "basic"}, "extra", False),
        ({"price": "price_1", "invoice_plan": "extra"}, "basic", False),
        ({"invoice_plan": "extra"}, "extra", True),
        ({"invoice_plan": "extra", "price": "price_unknown"}, "extra", True),
    ],
)
def test_plan_of_a_line(sources: dict[str, str], expected: str, by_invoice: bool) -> None:
    """A line's plan is the first of its own metadata, its price's, the plan that lists its price, its invoice's."""
    found = catalog(TWO_INTEGRATIONS)

    assert NamedPlan(plan=found.plans[expected], by_invoice=by_invoice) == named(found, **sources)


@pytest.mark.parametrize("name", ["no-such-plan", "", "foreign"])
def test_a_name_that_is_no_plan_names_nothing(name: str) -> None:
    """Where a source names no plan of this integration the next one is asked."""
    found = catalog(TWO_INTEGRATIONS)

    assert NamedPlan(plan=found.plans["basic"], by_invoice=False) == named(found, line_plan=name, price="price_1")
    assert NamedPlan(plan=found.plans["extra"], by_invoice=True) == named(
        found, line_plan=name, price_plan=name, price="price_foreign", invoice_plan="extra"
    )


def test_an_integration_grants_only_its_own_plans() -> None:
    """A plan of another integration's marketplace can't be had, however it is named."""
    found = catalog(TWO_INTEGRATIONS)

    assert named(found, integration="other", price="price_1", invoice_plan="basic") is None
    assert named(found, integration="none", price="price_1", invoice_plan="basic") is None
    assert NamedPlan(plan=found.plans["foreign"], by_invoice=False) == named(
        found, integration="other", price="price_foreign"
    )


def test_a_line_of_no_plan() -> None:
    """A line that nothing names has no plan."""
    assert named(catalog(TWO_INTEGRATIONS)) is None
    assert named(catalog(TWO_INTEGRATIONS), price="price_unknown") is None


def test_apis_in_scope() -> None:
    """An integration's APIs are those of all its marketplaces' plans, a marketplace's its own."""
    found = catalog(TWO_INTEGRATIONS)

    assert {"orders", "reports", "maps"} == found.apis(integration="main", marketplace=None)
    assert {"orders", "reports"} == found.apis(integration="main", marketplace="acme")
    assert {"maps"} == found.apis(integration="main", marketplace="side")
    assert {"labs"} == found.apis(integration="other", marketplace=None)
    assert frozenset() == found.apis(integration="other", marketplace="acme")
    assert frozenset() == found.apis(integration="none", marketplace=None)


T0 = datetime(2026, 1, 1, tzinfo=UTC)


def day(number: int) -> datetime:
    return T0 + timedelta(days=number)


def revision(number: int, start: datetime | None, found: Catalog | None = None) -> Revision:
    return Revision(number=number, in_force_from=start, catalog=found or catalog(minimal()))


def revisions(*starts: datetime | None) -> Revisions:
    """Revisions numbered 1, 2, … in force from these moments."""
    return Revisions(revisions=tuple(revision(number, start) for number, start in enumerate(starts, 1)))


def number_in_force(known: Revisions, moment: datetime) -> int:
    found = known.in_force_at(moment)
    assert found is not None
    return found.number


def test_no_revision() -> None:
    """Before a catalog was applied nothing is in force, and no line has terms."""
    assert Revisions().newest is None
    assert Revisions().in_force_at(T0) is None
    assert terms(Revisions(), T0) is None


def test_the_first_revision_holds_from_the_beginning_of_time() -> None:
    """Even if it was applied with a moment."""
    known = revisions(day(10))

    assert known.revisions[0].in_force_from is None
    assert number_in_force(known, datetime.min.replace(tzinfo=UTC)) == 1


def test_a_revision_is_in_force_from_its_moment_on() -> None:
    """Its moment belongs to it."""
    known = revisions(None, day(10))

    assert number_in_force(known, day(10) - timedelta(microseconds=1)) == 1
    assert number_in_force(known, day(10)) == 2


def test_a_correction_reaches_back() -> None:
    """A later revision from an earlier moment takes the place of those before it, for all time after that moment."""
    known = revisions(None, day(10), day(5))

    assert [number_in_force(known, day(number)) for number in (4, 5, 9, 11)] == [1, 3, 3, 3]


def test_a_revision_of_the_future_waits() -> None:
    """The newest revision is not in force before its moment, and a later one without a future is until then."""
    known = revisions(None, day(20), day(10))

    assert [number_in_force(known, day(number)) for number in (9, 10, 20)] == [1, 3, 3]
    assert known.newest == known.revisions[2]


def test_a_number_stands_once() -> None:
    """Two revisions of one number are a programming error: the store keeps the first."""
    with pytest.raises(ValueError, match="one number"):
        Revisions(revisions=(revision(1, None), revision(1, day(1))))


def test_naive_moments_are_refused() -> None:
    """A moment without a time zone is a programming error, not a guess."""
    naive = T0.replace(tzinfo=None)

    with pytest.raises(ValueError, match="no time zone"):
        revision(1, naive)
    with pytest.raises(ValueError, match="no time zone"):
        revisions(None).in_force_at(naive)


def terms(known: Revisions, finalized_at: datetime, price: str = "price_1") -> tuple[int, Plan] | None:
    """Number of the revision and plan that a line with this price has."""
    found = known.terms_of(
        finalized_at, integration="main", line_plan=None, price_plan=None, price=price, invoice_plan=None
    )
    return None if found is None else (found[0].number, found[1].plan)


def test_a_changed_plan_never_changes_a_cycle_already_billed() -> None:
    """A line has the terms of the revision in force when its invoice was finalized."""
    old = catalog(minimal(basic=plan(stripe_prices=["price_1"])))
    new = catalog(minimal(basic=plan(stripe_prices=["price_1"], apis=["reports"])))
    known = Revisions(revisions=(revision(1, None, old), revision(2, day(10), new)))

    assert (1, old.plans["basic"]) == terms(known, day(9))
    assert (2, new.plans["basic"]) == terms(known, day(10))


def test_a_correction_changes_what_was_billed_after_its_moment() -> None:
    """With a moment before the finalization a revision changes a cycle already billed."""
    old = catalog(minimal(basic=plan(stripe_prices=["price_1"])))
    new = catalog(minimal(basic=plan(stripe_prices=["price_1"], apis=["reports"])))
    known = Revisions(revisions=(revision(1, None, old), revision(2, day(5), new)))

    assert (2, new.plans["basic"]) == terms(known, day(9))


def test_a_price_named_late_is_decided_late() -> None:
    """A line that its revision names no plan for has the terms of the first later one that does, not of the last."""
    without = catalog(minimal())
    naming = catalog(minimal(basic=plan(stripe_prices=["price_1"])))
    changing = catalog(minimal(basic=plan(stripe_prices=["price_1"], apis=["reports"])))
    known = Revisions(
        revisions=(
            revision(1, None, without),
            revision(2, day(10), without),
            revision(3, day(20), naming),
            revision(4, day(30), changing),
        )
    )

    assert (3, naming.plans["basic"]) == terms(known, day(1))
    assert (3, naming.plans["basic"]) == terms(known, day(12))
    assert (4, changing.plans["basic"]) == terms(known, day(31))
    assert terms(known, day(1), price="price_unknown") is None


def test_an_earlier_revision_never_names_a_plan() -> None:
    """A plan taken out of the catalog opens nothing that is finalized afterwards, though an older revision knew it."""
    naming = catalog(minimal(basic=plan(stripe_prices=["price_1"])))
    known = Revisions(revisions=(revision(1, None, naming), revision(2, day(10), catalog(minimal()))))

    assert terms(known, day(10)) is None


STARTS = st.lists(st.none() | st.integers(0, 30).map(day), min_size=1, max_size=6)
CATALOGS = [
    catalog(minimal()),
    catalog(minimal(basic=plan(stripe_prices=["price_1"]))),
    catalog(minimal(other=plan(stripe_prices=["price_1"]))),
]


@settings(deadline=None)
@given(st.data(), STARTS, st.integers(-1, 31).map(day))
def test_the_order_revisions_come_in_means_nothing(
    data: st.DataObject, starts: list[datetime | None], moment: datetime
) -> None:
    """The same revisions in any order are equal and answer alike, and their answers are the contract's definition."""
    made = [
        revision(number, start, data.draw(st.sampled_from(CATALOGS))) for number, start in enumerate(starts, start=1)
    ]
    known = Revisions(revisions=tuple(made))
    shuffled = Revisions(revisions=tuple(data.draw(st.permutations(made))))
    applied = [replace(made[0], in_force_from=None), *made[1:]]
    in_force = max(
        (each for each in applied if each.in_force_from is None or each.in_force_from <= moment),
        key=lambda each: each.number,
    )
    candidates = [each.number for each in made[in_force.number - 1 :] if each.catalog != CATALOGS[0]]
    found = terms(known, moment)

    assert known == shuffled
    assert in_force == known.in_force_at(moment) == shuffled.in_force_at(moment)
    assert found == terms(shuffled, moment)
    assert candidates[:1] == ([] if found is None else [found[0]])
