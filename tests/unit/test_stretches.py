"""What gateways are told is what they would be answered: stretches, and what is told anew. Generated bills and acts."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from entitlements.api.answers import context
from entitlements.domain.access import Scope, apis_of, decide, standing
from entitlements.domain.boundaries import next_boundary, passed
from entitlements.domain.catalog import Revisions
from entitlements.domain.facts import CustomerFacts
from entitlements.domain.stretches import access_from, is_told_already
from schemas.access_change import AccessChange
from tests.differing import blocked, given_by_hand, known
from tests.pure_core import INTEGRATION, catalog, facts_of, plan, record, revisions
from tests.stripe_builders import Bill, Json, Line, events, on
from tests.taking_back import charge, dispute, refund

CATALOGS = st.builds(
    lambda apis, leeway, unpaid, calls: catalog(
        {"enterprise": plan(apis=apis, calls=calls, renewal_leeway=leeway, first_unpaid=unpaid, renewal_unpaid=unpaid)},
        elsewhere={"gold": plan(prices=["price_gold"], apis=["orders", "reports"], first_unpaid=unpaid, calls=5)},
    ),
    st.sampled_from([["orders"], ["orders", "invoices"], ["reports"]]),
    st.sampled_from(["0s", "2h", "3d"]),
    st.sampled_from(["0s", "5d"]),
    st.sampled_from([None, 10]),
)
LINES = st.builds(
    Line,
    id=st.sampled_from(["il_1", "il_2"]),
    price=st.sampled_from(["price_enterprise", "price_gold", "price_of_nothing"]),
    item=st.sampled_from(["si_1", "si_2"]),
    start=st.sampled_from(["01-01", "01-11"]),
    end=st.sampled_from(["01-21", "02-01"]),
)
BILLS = st.tuples(
    st.builds(
        Bill,
        lines=st.tuples(LINES),
        finalized=st.just("01-01"),
        paid=st.sampled_from([None, "01-01", "01-03"]),
        voided=st.sampled_from([None, "01-05"]),
    ),
    st.builds(
        Bill,
        id=st.just("in_2"),
        lines=st.tuples(st.builds(replace, LINES, start=st.just("02-01"), end=st.just("03-01"))),
        reason=st.just("subscription_cycle"),
        finalized=st.just("02-01T01:00"),
        paid=st.sampled_from([None, "02-01T01:05"]),
        uncollectible=st.sampled_from([None, "02-09"]),
    ),
)
TAKEN_BACK: st.SearchStrategy[tuple[Json, ...]] = st.sampled_from(
    [
        (),
        (charge(at="01-01"), dispute("needs_response", at="01-06")),
        (charge(at="01-01"), dispute("needs_response", at="01-06"), dispute("won", at="01-14")),
        (charge(at="01-01"), refund("succeeded", at="01-08", amount=2500)),
    ]
)
BY_HAND = st.sampled_from(
    [
        CustomerFacts(named=True),
        given_by_hand(plan_name="gold", end="01-15"),
        given_by_hand(apis=("orders", "labs"), end="01-15"),
        blocked(given_by_hand(plan_name="enterprise"), "01-12", "02-03"),
    ]
)
TERMS = st.builds(
    lambda then, now, since: revisions(then, (since, now)),
    CATALOGS,
    CATALOGS,
    st.sampled_from(["2025-12-01", "01-02", "02-01T01:00", "06-01"]),
)
MOMENTS = st.sampled_from(
    ["2025-12-30", "01-01", "01-03T12:00", "01-12", "01-31T23:59", "02-01T01:30", "02-20", "07-01"]
)
APIS = ("orders", "invoices", "reports", "labs", "nothing")


def facts(bills: tuple[Bill, ...], taken_back: tuple[Json, ...], by_hand: CustomerFacts) -> CustomerFacts:
    """All that is known of the customer."""
    billed = facts_of(record({}, [*events(*bills), *taken_back]))
    return replace(billed, manual_grants=by_hand.manual_grants, blocks=by_hand.blocks)


def state(told: CustomerFacts, terms: Revisions, since: datetime) -> AccessChange:
    """What is told of the customer as of *since*, as it comes off the wire."""
    access = access_from(since, told, INTEGRATION, terms)
    change = AccessChange(
        seq=1, integration=INTEGRATION, customer="cus_1", as_of=since, blocked=access.blocked, access=access.apis
    )
    return msgspec.json.decode(msgspec.json.encode(change), type=AccessChange)


@given(TERMS, BILLS, TAKEN_BACK, BY_HAND, MOMENTS)
@settings(max_examples=50, deadline=None)
def test_stretches_say_what_would_be_decided(
    terms: Revisions, bills: tuple[Bill, ...], taken_back: tuple[Json, ...], by_hand: CustomerFacts, since: str
) -> None:
    """At each boundary and a second to either side, in each marketplace, the state says what the query would answer."""
    everything, moment = facts(bills, taken_back, by_hand), on(since)
    told = state(everything, terms, moment)
    edges = {moment, moment + timedelta(days=400)}
    edges |= {each.start for group in told.access for each in group.stretches}
    days = [moment + timedelta(days=day, hours=1) for day in range(0, 70, 7)]

    for marketplace in (None, "acme", "other"):
        scope = Scope(integration=INTEGRATION, marketplace=marketplace)
        there = standing(everything, scope, terms)
        for at in sorted({edge + timedelta(seconds=each) for edge in edges for each in (-1, 0, 1)} | {*days}):
            if at < moment:
                continue
            exist = apis_of(there, scope, terms, at)
            for api in APIS:
                wanted = context(decide(there, api, at, known_apis=exist))
                assert answer(told, api, at, marketplace) == {
                    name: value for name, value in wanted.items() if name not in ("max_age", "pay_at")
                }, (marketplace, api, at)


def answer(told: AccessChange, api: str, at: datetime, marketplace: str | None) -> dict[str, object]:
    """The context of an answer, by the state alone."""
    stretch = told.stretch_at(api, at, marketplace=marketplace)
    if stretch is None:
        return {"reason": "unknown_api", "status": 403}
    said = msgspec.json.decode(msgspec.json.encode(stretch))
    return {name: value for name, value in said.items() if name not in ("start", "end", "decision")}


@given(TERMS, BILLS, TAKEN_BACK, BY_HAND, MOMENTS, MOMENTS)
@settings(max_examples=50, deadline=None)
def test_time_alone_changes_no_state_but_at_its_boundaries(
    terms: Revisions,
    bills: tuple[Bill, ...],
    taken_back: tuple[Json, ...],
    by_hand: CustomerFacts,
    one: str,
    other: str,
) -> None:
    """A later state without news is told already; what was passed between the two is what differs at their moments."""
    everything = facts(bills, taken_back, by_hand)
    since, now = sorted((on(one), on(other)))
    before, after = state(everything, terms, since), state(everything, terms, now)

    assert is_told_already(before, after)
    moments = [each.at for each in passed(before, now)]
    assert all(since < at <= now for at in moments)
    assert next_boundary(before, now) == next_boundary(after, now)
    steps, at = [], next_boundary(before, since)
    while at is not None and at <= now:
        steps.append(at)
        at = next_boundary(before, at)
    assert steps == sorted({*moments})


def test_news_are_told() -> None:
    """Of an invoice that is paid, the state says another thing, though only of the future."""
    terms, since = revisions(catalog()), on("01-02")
    unpaid, paid = (known(Bill(finalized="01-01", paid=when)) for when in (None, "01-02"))

    assert not is_told_already(state(unpaid, terms, since), state(paid, terms, since))


def test_a_boundary_says_what_it_changes() -> None:
    """A cycle that ends closes its APIs, with a leeway between; a block's end opens what it closed."""
    terms = revisions(catalog({"enterprise": plan(apis=["orders"], renewal_leeway="2h")}))
    told = state(known(Bill(finalized="01-01", paid="01-01")), terms, on("01-10"))

    assert [(each.at, each.change, each.before, each.after) for each in passed(told, on("06-01"))] == [
        (on("02-01"), "changed", "paid", "renewal_leeway"),
        (on("02-01T02:00"), "closed", "renewal_leeway", "cycle_lapsed"),
    ]
    assert [len(passed(told, on(moment))) for moment in ("01-31T23:59:59", "02-01", "02-01T01:59:59")] == [0, 1, 1]
    shut = state(blocked(known(Bill(finalized="01-01", paid="01-01")), "01-05", "01-20"), terms, on("01-10"))
    assert [(each.at, each.change) for each in passed(shut, on("01-31"))] == [(on("01-20"), "opened")]


def test_one_marketplace_sees_nothing_of_another() -> None:
    """What is told to a token of one marketplace holds its APIs and its boundaries alone, and names no other."""
    terms = revisions(catalog(elsewhere={"gold": plan(prices=["price_gold"], apis=["reports"])}))
    lines = (Line(), Line(id="il_2", price="price_gold", item="si_2"))
    told = state(known(Bill(lines=lines, finalized="01-01", paid="01-01")), terms, on("01-10"))
    told = msgspec.structs.replace(told, boundaries=passed(told, on("03-01")))

    seen = told.seen_by("other")

    assert {api for each in seen.access for api in each.apis} == {"reports"}
    assert {api for each in seen.boundaries for api in each.apis} == {"reports"}
    assert b"acme" not in msgspec.json.encode(seen)
    assert told.stretch_at("reports", on("01-10")) == seen.stretch_at("reports", on("01-10"), marketplace="other")
