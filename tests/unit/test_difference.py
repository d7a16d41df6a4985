"""What a change of the catalog opens and closes for one customer, by API and interval, and because of what."""

from __future__ import annotations

from entitlements.domain.catalog import Revisions
from entitlements.domain.difference import Change, compared
from entitlements.domain.facts import CustomerFacts
from tests.differing import (
    GOLD,
    NAMES_NOTHING,
    NARROWER,
    OF_GOLD,
    WIDER,
    applied,
    between,
    blocked,
    changes,
    given_by_hand,
    how,
    lines,
    side,
    span,
)
from tests.pure_core import catalog, facts_of, plan, record, revisions
from tests.renewals import renewal
from tests.stripe_builders import Bill, Line, events, one_off, paid, written
from tests.taking_back import credit_note, crediting


def test_the_same_terms_change_nothing() -> None:
    """A revision that says the same as the one before opens, closes and names nothing, and what is open is counted."""
    found = applied(GOLD, GOLD, paid(), renewal(paid="02-01T01:05"), since="2025-01-01")

    assert (found.access, found.lines) == ((), ())
    assert [span(period) for period in found.open_before] == ["01-01..02-01", "02-01T01:05..03-01"]


def test_a_price_named_late_opens_what_was_paid_for_it() -> None:
    """The line was unmapped; once a later revision names its price, its whole paid cycle is open, past and future."""
    found = applied(catalog(), GOLD, paid(OF_GOLD))

    assert changes(found) == ["opened acme/orders 01-01..02-01 in_1", "opened acme/reports 01-01..02-01 in_1"]
    assert [(each.before, how(each.after)) for each in found.access] == [((), ["paid gold"])] * 2
    assert lines(found.lines) == ["il_1 mapped: None to gold"]
    assert found.open_before == ()


def test_a_plan_that_loses_an_api_closes_nothing_that_was_billed() -> None:
    """In force from after the finalization on, it concerns invoices still to come alone."""
    assert applied(catalog(), NARROWER, paid(), since="01-02").access == ()


def test_a_revision_that_reaches_back_takes_an_api_back() -> None:
    """In force from before the finalization, it closes what the plan no longer names for the whole cycle."""
    found = applied(catalog(), NARROWER, paid(), renewal(finalized="02-01", paid="02-01"), since="01-20")

    assert changes(found) == ["closed acme/invoices 02-01..03-01 in_2"]
    assert [(how(each.before), each.after) for each in found.access] == [(["paid enterprise"], ())]
    assert found.lines == ()


def test_reaching_back_over_a_revision_brings_back_the_terms_before_it() -> None:
    """The revision of the highest number that is in force counts, so an earlier moment beats a later revision."""
    terms = revisions(catalog(), ("01-20", WIDER))
    again = revisions(catalog(), ("01-20", WIDER), ("01-10", catalog()))

    found = between(terms, again, paid(), renewal(paid="02-01T01:05"))

    assert changes(found) == ["closed acme/reports 02-01T01:05..03-01 in_2"]


def test_what_follows_on_is_one_change() -> None:
    """A cycle, its leeway and the next cycle close together, whatever the reasons were; the reasons are told."""
    leeway = catalog({"enterprise": plan(renewal_leeway="2h")})

    found = applied(leeway, NAMES_NOTHING, paid(), renewal(paid="02-01T01:05"), since="2025-12-01")

    assert changes(found) == [
        "closed acme/invoices 01-01..03-01T02:00 in_1 in_2",
        "closed acme/orders 01-01..03-01T02:00 in_1 in_2",
    ]
    assert how(found.access[0].before) == ["paid enterprise", "renewal_leeway enterprise"]
    assert lines(found.lines) == ["il_1 unmapped: enterprise to None", "il_2 unmapped: enterprise to None"]


def test_what_another_line_opens_too_does_not_close() -> None:
    """R9: the union counts; losing one of two sources is a change only where its quotas or its plan were told."""
    both = catalog({"enterprise": plan(calls=1000), "gold": plan(prices=["price_gold"], calls=500, apis=["orders"])})
    one = catalog({"enterprise": plan(calls=1000), "gold": plan(prices=["price_gone"], calls=500, apis=["orders"])})
    gold = Line(id="il_2", price="price_gold", item="si_2", end="01-21")

    found = applied(both, one, paid(Line(), gold), since="2025-12-01")

    assert changes(found) == ["changed acme/orders 01-01..01-21 in_1"]
    [change] = found.access
    assert (how(change.before), how(change.after)) == (["paid enterprise calls 1500"], ["paid enterprise calls 1000"])


def test_other_terms_change_when_and_why_it_is_open() -> None:
    """A longer leeway opens its end; another plan's name and quota are a change while it stays open."""
    short, long = catalog({"enterprise": plan(calls=10)}), catalog({"business": plan(calls=20, renewal_leeway="3d")})

    found = applied(short, long, paid(), since="2025-12-01")

    assert changes(found) == [
        "changed acme/invoices 01-01..02-01 in_1",
        "opened acme/invoices 02-01..02-04 in_1",
        "changed acme/orders 01-01..02-01 in_1",
        "opened acme/orders 02-01..02-04 in_1",
    ]
    assert (how(found.access[0].before), how(found.access[0].after)) == (
        ["paid enterprise calls 10"],
        ["paid business calls 20"],
    )
    assert lines(found.lines) == ["il_1 moved: enterprise to business"]


def test_what_stays_open_is_one_change_while_it_is_the_same() -> None:
    """Two cycles of one plan with another quota are one change; its leeway, open for another reason, is its own."""
    few, many = (catalog({"enterprise": plan(calls=calls, renewal_leeway="2h")}) for calls in (10, 20))

    found = applied(few, many, paid(), renewal(finalized="02-01", paid="02-01"), since="2025-12-01")

    assert changes(found)[:2] == [
        "changed acme/invoices 01-01..03-01 in_1 in_2",
        "changed acme/invoices 03-01..03-01T02:00 in_2",
    ]


def test_a_change_rests_on_what_covers_it() -> None:
    """What ended at the moment at which something else opens is no reason for that."""
    old, new = (catalog({"enterprise": plan(prices=[price])}) for price in ("price_old", "price_new"))
    first, second = Line(price="price_old"), Line(id="il_2", price="price_new", start="02-01", end="03-01")

    found = applied(old, new, paid(first), renewal(second, finalized="02-01", paid="02-01"), since="2025-12-01")

    assert changes(found)[:2] == ["closed acme/invoices 01-01..02-01 in_1", "opened acme/invoices 02-01..03-01 in_2"]


def test_lines_that_count_once_are_told_once() -> None:
    """Of lines that only their invoice's metadata names, one counts for a period; the others come to nothing."""
    named = Bill(
        lines=(one_off(price=None), one_off(id="il_2", price=None)),
        metadata={"entitlement_plan": "gold"},
        finalized="01-01",
        paid="01-01",
    )

    found = applied(catalog(), GOLD, named)

    assert lines(found.lines) == ["il_1 mapped: None to gold"]


def test_lines_that_no_longer_count_once_add_up_otherwise() -> None:
    """Once the plan lists their price, each line counts: quotas double, though lines, plan and periods are the same."""
    once = catalog({"gold": plan(prices=[], apis=["orders"], calls=1000)})
    each = catalog({"gold": plan(prices=["price_gold"], apis=["orders"], calls=1000)})
    lines = (one_off(price="price_gold"), one_off(id="il_2", price="price_gold"))
    notes = (
        credit_note(at="01-05", amount=2500, lines=crediting("il_1", 2500)),
        credit_note(at="01-10", amount=2500, lines=crediting("il_2", 2500), id="cn_2"),
    )
    told = facts_of(record({}, [*events(paid(*lines, metadata={"entitlement_plan": "gold"})), *notes]))

    found = compared(side(told, revisions(once)), side(told, revisions(once, ("2025-12-01", each))))

    assert changes(found) == ["changed acme/orders 01-01..01-05 in_1"]


def test_marketplaces_are_told_apart() -> None:
    """A plan sold elsewhere closes its APIs for the gateways of the one marketplace and opens them for the other's."""
    elsewhere = catalog({}, elsewhere={"enterprise": plan()})

    found = applied(catalog(), elsewhere, paid(), since="2025-12-01")

    assert changes(found) == [
        "closed acme/invoices 01-01..02-01 in_1",
        "closed acme/orders 01-01..02-01 in_1",
        "opened other/invoices 01-01..02-01 in_1",
        "opened other/orders 01-01..02-01 in_1",
    ]


def test_the_first_catalog_opens_everything() -> None:
    """Before it there is nothing: every line was unmapped, and what is not paid stays closed."""
    found = between(Revisions(), revisions(catalog()), paid(one_off(end="01-15")), renewal())

    assert changes(found) == ["opened acme/invoices 01-01..01-15 in_1", "opened acme/orders 01-01..01-15 in_1"]
    assert lines(found.lines) == ["il_1 mapped: None to enterprise", "il_2 mapped: None to enterprise"]


def test_a_plan_given_by_hand_follows_its_terms() -> None:
    """A manual grant of a plan has the plan's APIs; one that reaches back takes them from it, for ever."""
    found = applied(catalog(), NARROWER, since="2025-12-01", facts=given_by_hand(plan_name="enterprise"))

    assert [(each.change, each.api, each.manual, written(each.period.start)) for each in found.access] == [
        (Change.CLOSED, "invoices", ("grant-1",), "01-01")
    ]


def test_an_api_given_by_hand_stays_open() -> None:
    """What an operator gave without a plan is open in every marketplace, so losing the plan closes nothing of it."""
    found = applied(
        catalog(), NAMES_NOTHING, paid(), since="2025-12-01", facts=given_by_hand(apis=("orders",), end="01-21")
    )

    assert changes(found) == [
        "closed acme/invoices 01-01..02-01 in_1",
        "changed acme/orders 01-01..01-21 in_1",
        "closed acme/orders 01-21..02-01 in_1",
    ]
    assert (how(found.access[1].before), how(found.access[1].after)) == (["paid enterprise"], ["manual None"])


def test_an_api_given_by_hand_is_told_once() -> None:
    """Other facts under the same terms: what an operator gave is open in each marketplace that sells it, or in none."""
    terms = revisions(catalog(elsewhere={"gold": plan(prices=["price_gold"], apis=["orders"])}))
    before, after = CustomerFacts(named=True), given_by_hand(apis=("labs", "orders"), end="01-21")

    found = compared(side(before, terms), side(after, terms))

    assert changes(found) == [
        "opened None/labs 01-01..01-21 grant-1",
        "opened acme/orders 01-01..01-21 grant-1",
        "opened other/orders 01-01..01-21 grant-1",
    ]


def test_a_plan_given_by_hand_opens_its_own_marketplace_alone() -> None:
    """Another marketplace that sells an API of the same name has nothing to do with it."""
    terms = revisions(catalog(elsewhere={"gold": plan(prices=["price_gold"], apis=["orders", "labs"])}))
    nothing = side(CustomerFacts(named=True), terms)

    by_plan = compared(nothing, side(given_by_hand(plan_name="gold", end="01-21"), terms))
    by_api = compared(nothing, side(given_by_hand(apis=("labs",), end="01-21"), terms))

    assert changes(by_plan) == ["opened other/labs 01-01..01-21 grant-1", "opened other/orders 01-01..01-21 grant-1"]
    assert changes(by_api) == ["opened other/labs 01-01..01-21 grant-1"]


def test_whoever_is_blocked_neither_gains_nor_loses() -> None:
    """A block beats everything: during it nothing was open, and nothing opens or closes."""
    facts = blocked(CustomerFacts(named=True), "01-11", "01-21")

    found = applied(catalog(), NAMES_NOTHING, paid(), since="2025-12-01", facts=facts)

    assert changes(found)[:2] == ["closed acme/invoices 01-01..01-11 in_1", "closed acme/invoices 01-21..02-01 in_1"]
    assert [span(period) for period in found.open_before] == ["01-01..01-11", "01-21..02-01"]
