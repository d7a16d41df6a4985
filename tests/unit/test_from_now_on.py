"""What is remembered of a customer answers as everything known would, for exactly as long as it says."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entitlements.domain.access import Standing, decide
from entitlements.domain.decision import Decision, Reason
from entitlements.domain.from_now_on import boundaries, from_now_on, lasting
from entitlements.domain.period import END_OF_TIME
from tests.acts import block, grant
from tests.explaining import case_of
from tests.pure_core import plan, plans
from tests.stripe_builders import Bill, Line, on, paid, written
from tests.taking_back import charge, refund
from tests.unit.test_why_anything import POOL, TERMS

APIS = ("orders", "reports")
AROUND = tuple(timedelta(seconds=seconds) for seconds in (-10.25, -10, -9.75, -2.5, -2, -1.999999, -1, -0.25, 0, 0.75))
"""What is interesting before and after a boundary: the last seconds, in which a decision may be kept less long."""

YEAR = (on("01-01"), on("03-01"))


def moments(customer: Standing, since: datetime) -> list[datetime]:
    """Every moment from *since* on at which something about a customer may be otherwise than just before."""
    known = {boundary for api in APIS for boundary in boundaries(customer, api)}
    near = [boundary for boundary in {since, *known} if YEAR[0] - timedelta(days=9) < boundary < on("12-01")]
    return sorted(moment for boundary in near for around in AROUND if (moment := boundary + around) >= since)


def within(ordered: list[datetime], since: datetime, until: datetime) -> list[datetime]:
    """Those in `[since, until)`."""
    return ordered[bisect_left(ordered, since) : bisect_left(ordered, until)]


def told(decision: Decision) -> Decision:
    """What a gateway is told: *max_age* in whole seconds."""
    return replace(decision, max_age=timedelta(seconds=decision.max_age // timedelta(seconds=1)))


@settings(max_examples=300, deadline=None)
@given(
    known=st.lists(st.sampled_from(range(len(POOL))), unique=True, min_size=3),
    terms=st.sampled_from(TERMS),
    since=st.datetimes(YEAR[0].replace(tzinfo=None), YEAR[1].replace(tzinfo=None)),
    api=st.sampled_from(APIS),
)
def test_what_is_over_can_be_forgotten(known: list[int], terms: object, since: datetime, api: str) -> None:
    """From a moment on, every decision is what it was with the whole history, and lasts as long as it says."""
    now = since.replace(tzinfo=YEAR[0].tzinfo)
    case = case_of(*(POOL[number] for number in sorted(known)), at="01-01", terms=terms)  # type: ignore[arg-type]
    left = from_now_on(case.standing, now)
    everything = moments(case.standing, now)

    asked = {at: decide(case.standing, api, at, known_apis=case.known_apis) for at in everything}

    for at in everything:
        found = lasting(left, api, at, known_apis=case.known_apis)
        until = asked[at].until

        assert found.decision == asked[at]
        assert found.decision.opens == asked[at].opens
        assert found.since == at
        assert not asked[at].allowed or until is None or found.until <= until
        for later in within(everything, at, found.until):
            assert told(asked[later]) == told(asked[at]), (at, later)
        if at < found.until < on("12-01"):
            last = decide(case.standing, api, found.until - timedelta.resolution, known_apis=case.known_apis)
            assert told(last) == told(asked[at])
        for later in within(everything, at, found.next_boundary):
            assert replace(asked[later], max_age=asked[at].max_age) == asked[at], (at, later)
            assert asked[later].opens == asked[at].opens, (at, later)


@pytest.mark.parametrize(
    ("at", "reason", "until"),
    [
        ("01-15", Reason.PAID, "02-01"),  # the leeway follows, so nothing shrinks yet, but the reason is another
        ("02-01T00:30", Reason.RENEWAL_LEEWAY, "02-01T01:59:50"),
        ("02-01T01:59:56", Reason.RENEWAL_LEEWAY, "02-01T01:59:56"),  # the last seconds: not kept at all
        ("02-01T02:00", Reason.CYCLE_LAPSED, None),
    ],
)
def test_how_long_a_decision_is_kept(at: str, reason: Reason, until: str | None) -> None:
    """To the next boundary, or to when what is told of its age begins to shrink."""
    case = case_of(paid(Line()), at=at, terms=plans(enterprise=plan(renewal_leeway="2h")))
    found = lasting(from_now_on(case.standing, case.at), "orders", case.at, known_apis=case.known_apis)

    assert (found.decision.reason, found.until) == (reason, END_OF_TIME if until is None else on(until))


def test_another_catalog_ends_it() -> None:
    """A moment that is no period's, at which another catalog comes into force, is a boundary too."""
    case = case_of(paid(Line()), at="01-15")
    also = [on("01-10"), on("01-20")]

    assert lasting(case.standing, "orders", case.at, known_apis=(), also=also).until == on("01-20")


def test_a_long_history_weighs_no_more_than_its_end() -> None:
    """Of sixty paid months one is left, and what a denial would name."""
    months = [
        paid(Line(id=f"il_{number}", start="01-01", end=f"01-{number:02}"), id=f"in_{number}", at="01-01")
        for number in range(2, 30)
    ]
    case = case_of(*months, at="02-15")
    left = from_now_on(case.standing, case.at)

    assert len(case.standing.billed.cycles) == 28
    assert [cycle.invoice.id for cycle in left.billed.cycles] == ["in_29"]
    assert (left.billed.spans, dict(left.invoices), left.pay_at) == ((), {}, {})


WITH_LEEWAY = plans(enterprise=plan(renewal_leeway="2h"), gold=plan(prices=["price_gold"], apis=["reports"]))


def weighed(customer: Standing) -> list[int]:
    """How many cycles, spans, closed periods, manual grants and blocks there are, and pages to pay on."""
    billed = customer.billed
    return [*map(len, (billed.cycles, billed.spans, billed.closed, customer.manual, customer.blocked, customer.pay_at))]


def test_what_is_over_weighs_nothing_from_its_very_end() -> None:
    """What ends at the moment is over: spans, what was withheld, grants, blocks. A cycle stays for denials to name."""
    case = case_of(
        paid(Line()),
        charge(at="01-01"),
        refund("succeeded", at="01-20"),
        grant("01-03", "02-01", plan=None, apis=("labs",)),
        block("01-04", "02-01"),
        Bill(id="in_0", finalized="01-01", lines=(Line(id="il_0"),)),
        at="02-01",
    )

    assert weighed(case.standing) == [2, 1, 1, 1, 1, 2]
    assert weighed(from_now_on(case.standing, on("01-19T23:59"))) == [2, 1, 1, 1, 1, 2]
    assert weighed(from_now_on(case.standing, on("01-20"))) == [2, 0, 1, 1, 1, 2]
    assert weighed(from_now_on(case.standing, on("02-01"))) == [1, 0, 0, 0, 0, 0]
    left = from_now_on(case.standing, on("01-20"))
    assert (left.contradictory, left.billed.unmapped, dict(left.invoices)) == ((), (), {})


def test_what_a_denial_may_name_is_kept_for_each_api() -> None:
    """Of each API's lapsed cycles the one that ends last, and one that is paid later yet; no unpaid one."""
    both = plans(enterprise=plan(apis=["orders"]), gold=plan(prices=["price_gold"], apis=["reports"]))
    case = case_of(
        Bill(id="in_0", finalized="01-01", lines=(Line(id="il_0", end="01-20"),)),
        paid(Line(end="01-11"), id="in_1"),
        paid(Line(id="il_2", price="price_gold", end="01-12"), id="in_2"),
        paid(Line(id="il_3", end="01-10"), id="in_3"),
        Bill(id="in_4", finalized="01-01", paid="02-10", lines=(Line(id="il_4", end="01-09"),)),
        paid(Line(id="il_5", price="price_gold", end="01-08"), id="in_5"),
        at="02-01",
        terms=both,
    )
    left = from_now_on(case.standing, case.at)

    assert sorted(cycle.invoice.id for cycle in left.billed.cycles) == ["in_1", "in_2", "in_4"]


@pytest.mark.parametrize(
    ("at", "since_reason", "until", "boundary"),
    [
        ("01-10", Reason.PAID, "02-01", "02-01"),
        ("02-01", Reason.RENEWAL_LEEWAY, "02-01T01:59:50", "02-01T02:00"),  # at a boundary the next one counts
        ("02-01T01:59:52.250", Reason.RENEWAL_LEEWAY, "02-01T01:59:53", "02-01T02:00"),  # told 7 s until 6 are left
        ("02-01T02:00", Reason.CYCLE_LAPSED, "02-08", "02-08"),  # an invoice comes, paid ahead of its cycle
        ("02-08", Reason.CYCLE_LAPSED, "02-09T23:59:58", "02-10"),  # that cycle begins, and may open
        ("02-09T23:59:58.500", Reason.CYCLE_LAPSED, "02-09T23:59:59", "02-10"),
        ("02-10", Reason.PAID, "03-01", "03-01"),
        ("03-01T02:00", Reason.CYCLE_LAPSED, None, None),
    ],
)
def test_a_decision_lasts_to_the_next_boundary_of_its_own_api(
    at: str, since_reason: Reason, until: str | None, boundary: str | None
) -> None:
    """What begins and ends for another API, here at dates between, is no boundary; nor is what is behind."""
    elsewhere = Line(id="il_9", price="price_gold", start="01-12", end="02-05")
    case = case_of(
        paid(Line()),
        paid(Line(id="il_2", start="02-10", end="03-01"), id="in_2", at="02-08"),
        paid(elsewhere, id="in_9"),
        grant("01-13", "02-04", plan=None, apis=("labs",)),
        at=at,
        terms=WITH_LEEWAY,
    )
    found = lasting(from_now_on(case.standing, case.at), "orders", case.at, known_apis=case.known_apis)

    assert (found.since, found.decision.reason) == (case.at, since_reason)
    assert found.until == (END_OF_TIME if until is None else on(until))
    assert found.next_boundary == (END_OF_TIME if boundary is None else on(boundary))


def test_what_withholds_and_what_is_owed_are_boundaries() -> None:
    """Each begins and ends a denial of another reason: a block, a refund, the end of what an invoice is owed for."""
    case = case_of(
        paid(Line()),
        charge(at="01-01"),
        refund("succeeded", at="01-20"),
        block("01-04", "01-06"),
        grant("01-15", "01-25"),
        Bill(id="in_0", finalized="01-02", voided="01-12", lines=(Line(id="il_0", end="01-28"),)),
        at="01-01",
    )

    found = {written(each) for each in boundaries(case.standing, "orders") if on("01-01") <= each < on("12-01")}
    assert found == {"01-01", "01-02", "01-04", "01-06", "01-12", "01-15", "01-20", "01-25", "01-28", "02-01"}
    assert not {"01-15", "01-20"} & {written(each) for each in boundaries(case.standing, "nothing")}
