"""A difference is what the decisions before and after say at every moment: generated bills, catalogs and acts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from entitlements.domain.access import Scope, decide, standing
from entitlements.domain.decision import Decision
from entitlements.domain.difference import AccessChange, Opening
from entitlements.domain.facts import CustomerFacts
from entitlements.domain.period import END_OF_TIME
from tests.differing import between, blocked, given_by_hand, known
from tests.pure_core import INTEGRATION, catalog, plan, revisions
from tests.stripe_builders import Bill, Json, Line

CATALOGS = st.builds(
    lambda apis, prices, leeway, unpaid, calls, sold: catalog(
        {} if sold else {"enterprise": plan(prices=prices, apis=apis, calls=calls, renewal_leeway=leeway)},
        elsewhere={
            **({"enterprise": plan(prices=prices, apis=apis, first_unpaid=unpaid)} if sold else {}),
            "gold": plan(prices=["price_gold"], apis=["orders", "reports"], first_unpaid=unpaid, calls=5),
        },
    ),
    st.sampled_from([["orders"], ["orders", "invoices"], ["reports"]]),
    st.sampled_from([["price_enterprise"], ["price_other"]]),
    st.sampled_from(["0s", "2h", "3d"]),
    st.sampled_from(["0s", "5d"]),
    st.sampled_from([None, 10]),
    st.booleans(),
)
SINCE = st.sampled_from(["2025-12-01", "01-02", "02-01T01:00", "06-01"])
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
    ),
)
BY_HAND = st.sampled_from(
    [
        CustomerFacts(named=True),
        given_by_hand(plan_name="gold", end="01-15"),
        given_by_hand(apis=("orders", "labs"), end="01-15"),
        blocked(given_by_hand(plan_name="enterprise"), "01-12", "02-03"),
    ]
)


@given(CATALOGS, CATALOGS, SINCE, BILLS, BY_HAND)
@settings(max_examples=150, deadline=None)
def test_the_difference_is_that_of_the_decisions(
    then: Json, now: Json, since: str, bills: tuple[Bill, ...], facts: CustomerFacts
) -> None:
    """At each boundary, and a second to either side, a gateway is told otherwise exactly where it says so."""
    before, after = revisions(then), revisions(then, (since, now))
    found = between(before, after, *bills, facts=facts)
    everything = known(*bills, facts=facts)

    for marketplace, api in product(("acme", "other"), ("orders", "invoices", "reports")):
        scope = Scope(integration=INTEGRATION, marketplace=marketplace)
        one, other = (standing(everything, scope, terms) for terms in (before, after))
        told = [each for each in found.access if (each.marketplace, each.api) == (marketplace, api)]
        periods = [span.period for side in (one, other) for span in side.billed.spans]
        edges = {edge for each in (*periods, *(each.period for each in told)) for edge in (each.start, each.end)} - {
            END_OF_TIME
        }
        for at in sorted(edge + timedelta(seconds=seconds) for edge in edges for seconds in (-1, 0, 1)):
            was, will_be = (decide(side, api, at, known_apis=(api,)) for side in (one, other))
            covering = [each for each in told if each.period.covers(at)]
            assert len(covering) == (as_opening(was) != as_opening(will_be)), (marketplace, api, at)
            for change in covering:
                check_told(change, was, will_be)


def as_opening(decision: Decision) -> Opening | None:
    """What of a decision is compared."""
    if not decision.allowed:
        return None
    return Opening(reason=decision.reason, plan=decision.plan, quotas=decision.quotas)


def check_told(change: AccessChange, was: Decision, will_be: Decision) -> None:
    """Both answers are among those that the change tells, or it is closed there."""
    for openings, decision in ((change.before, was), (change.after, will_be)):
        opening = as_opening(decision)
        assert opening in openings if openings else opening is None
