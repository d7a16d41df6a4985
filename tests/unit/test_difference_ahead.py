"""Under which terms cycles go on once a catalog is applied, and how many customers that and all else concerns."""

from __future__ import annotations

import pytest

from entitlements.domain.access import Scope, standing
from entitlements.domain.difference import Change
from entitlements.domain.difference_ahead import NextTerms, next_terms
from entitlements.domain.difference_totals import Ahead, Totals
from tests.differing import GOLD, NAMES_NOTHING, NARROWER, OF_GOLD, WIDER, between, known
from tests.pure_core import INTEGRATION, catalog, plan, revisions
from tests.renewals import renewal
from tests.stripe_builders import Bill, Json, Line, on, one_off, paid


def ahead(then: Json, now: Json, *bills: Bill, at: str, since: str = "02-10") -> tuple[NextTerms, ...]:
    """Under which other terms the cycles at *at* go on."""
    terms = revisions(then)
    customer = standing(known(*bills), Scope(integration=INTEGRATION), terms)
    return next_terms(customer, INTEGRATION, on(at), terms, revisions(then, (since, now)))


@pytest.mark.parametrize(
    ("now", "lost", "gained", "to"),
    [
        (NARROWER, ("invoices",), (), "enterprise"),
        (WIDER, (), ("reports",), "enterprise"),
        (NAMES_NOTHING, ("invoices", "orders"), (), None),
        (catalog({"basic": plan(apis=["orders"])}), ("invoices",), (), "basic"),
    ],
)
def test_the_next_cycle_has_the_new_terms(
    now: Json, lost: tuple[str, ...], gained: tuple[str, ...], to: str | None
) -> None:
    """What closes nothing today is foretold for the end of the running cycle, unless it is in force later."""
    found = ahead(catalog(), now, paid(), at="01-15", since="01-20")

    assert [(each.lost, each.gained, each.after and each.after.name, each.at) for each in found] == [
        (lost, gained, to, on("02-01"))
    ]
    assert ahead(catalog(), now, paid(), at="01-15", since="02-02") == ()


@pytest.mark.parametrize(
    "bill",
    [
        paid(one_off()),
        Bill(finalized="01-01", voided="01-02"),
        paid(Line(end="01-10")),
    ],
)
def test_what_is_not_renewed_has_no_next_cycle(bill: Bill) -> None:
    """A line of no subscription, a void invoice, a cycle that is over."""
    assert ahead(catalog(), NARROWER, bill, at="01-15", since="01-20") == ()


def test_totals_count_customers() -> None:
    """Who had anything open from now on, who loses any of it, and who changes at all, the past included."""
    terms, narrower = revisions(catalog()), revisions(catalog(), ("2025-12-01", NARROWER))
    gold = revisions(catalog(), ("2025-12-01", GOLD))
    january, february = paid(), renewal(paid="02-01T01:05")
    totals = Totals()
    for found in (
        between(terms, narrower, january, february),
        between(terms, narrower, january),
        between(terms, narrower, renewal()),
        between(terms, gold, paid(OF_GOLD), february),
    ):
        totals = totals.plus(found, ahead(catalog(), NARROWER, january, at="01-15", since="01-20"), on("02-10"))

    assert (totals.compared, totals.open, totals.losing, totals.differing) == (4, 2, 1, 3)
    assert totals.losing_share == 0.5
    assert totals.by_change == {Change.CLOSED: 2, Change.OPENED: 1}
    assert totals.by_api[("acme", "invoices", Change.CLOSED)] == 2
    assert totals.places == [("acme", "invoices"), ("acme", "orders"), ("acme", "reports")]
    assert totals.ahead == {Ahead(before="enterprise", after="enterprise", lost=("invoices",), gained=()): 4}
    assert [(each.value, number) for each, number in totals.lines.items()] == [("mapped", 1)]


def test_what_ends_now_is_neither_open_nor_lost() -> None:
    """Half-open, as all periods: at its end a cycle is over, a second before it is not."""
    terms, narrower = revisions(catalog()), revisions(catalog(), ("2025-12-01", NARROWER))
    found = between(terms, narrower, paid())
    before, then = (Totals().plus(found, (), on(at)) for at in ("01-31T23:59:59", "02-01"))

    assert (before.open, before.losing, then.open, then.losing) == (1, 1, 0, 0)
    assert before.differing == then.differing == 1


def test_places_are_in_order_of_marketplace_and_api() -> None:
    """What no marketplace sells comes first."""
    places = [("b", "x"), ("a", "z"), ("a", "y"), (None, "zz")]
    counts = Totals(by_api={(*place, Change.OPENED): 1 for place in places})

    assert counts.places == [(None, "zz"), ("a", "y"), ("a", "z"), ("b", "x")]


def test_nobody_is_no_share() -> None:
    """Where nobody has anything open, nobody loses it."""
    assert Totals().losing_share == 0.0


@pytest.mark.parametrize(
    "line",
    [
        Line(price="price_other", metadata={"entitlement_plan": "enterprise"}),
        Line(price="price_other", price_metadata={"entitlement_plan": "enterprise"}),
    ],
    ids=["the line's metadata", "its price's metadata"],
)
def test_the_next_cycle_is_of_the_plan_that_metadata_names(line: Line) -> None:
    """It is renewed with the metadata that it has, whatever becomes of prices."""
    (found,) = ahead(catalog(), NARROWER, paid(line), at="01-15", since="01-20")

    assert (found.before and found.before.name, found.after and found.after.name) == ("enterprise", "enterprise")
    assert (found.lost, found.gained) == (("invoices",), ())
    assert ahead(catalog(), NAMES_NOTHING, paid(line), at="01-15", since="01-20") == ()


def test_what_is_ahead_is_told_in_order_of_invoice_and_line() -> None:
    """However the lines come."""
    bills = [
        paid(Line(id=f"il_{n}", item=f"si_{n}"), Line(id=f"il_1{n}", item=f"si_1{n}"), id=f"in_{n}") for n in (3, 1)
    ]
    told = ahead(catalog(), NARROWER, *bills, at="01-15", since="01-20")

    assert [(each.line.invoice, each.line.id) for each in told] == [
        ("in_1", "il_1"),
        ("in_1", "il_11"),
        ("in_3", "il_13"),
        ("in_3", "il_3"),
    ]
