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
from tests.explaining import case_of
from tests.pure_core import plan, plans
from tests.stripe_builders import Line, on, paid
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
