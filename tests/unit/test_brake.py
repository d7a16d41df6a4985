"""
How many may lose access unasked, and who is counted among them: by cases, and by what decisions say.

Long because what is generated for the laws stands beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entitlements.domain.access import Scope, decide, standing
from entitlements.domain.brake import Brake, Closing, closing, is_open, may_be_open_since
from entitlements.domain.catalog import Revisions
from entitlements.domain.difference_ahead import next_terms
from entitlements.domain.facts import CustomerFacts
from entitlements.everyone import LONGEST_CYCLE, CustomerName
from ops.brake import Braked, Weighed, cannot_tell, hold
from ops.rebuild_difference import has_anything
from tests.differing import NARROWER, applied, between, blocked, given_by_hand, known
from tests.pure_core import INTEGRATION, catalog, plan, revisions
from tests.renewals import renewal
from tests.stripe_builders import Bill, Json, Line, on, paid

ONE_PERCENT = Brake(share=Fraction(1, 100))
NOTHING = Closing(now=(), next=())


@pytest.mark.parametrize(
    ("share", "losing", "of", "yes_close", "asks"),
    [
        ("0.01", 0, 0, None, False),
        ("0.01", 1, 1, None, False),  # one alone is what somebody means
        ("0", 1, 1_000, None, False),
        ("0.01", 2, 3, None, True),
        ("0.01", 2, 200, None, False),  # the share itself may be
        ("0.01", 2, 199, None, True),
        ("0", 2, 1_000_000, None, True),
        ("1", 5, 5, None, False),
        ("0.01", 20, 30, 20, False),
        ("0.01", 20, 30, 21, False),
        ("0.01", 21, 30, 20, True),  # the number has grown since
        ("0.01", 2, 3, 0, True),
    ],
)
def test_more_than_one_and_more_than_the_share_is_asked_about(
    share: str, losing: int, of: int, yes_close: int | None, asks: bool
) -> None:
    """The whole rule; what was agreed to must be as many at least."""
    assert Brake(share=Fraction(share)).asks(closing=losing, of=of, yes_close=yes_close) is asks


@given(st.integers(0, 500), st.integers(0, 50_000), st.fractions(0, 1, max_denominator=1_000))
def test_counting_may_end_where_there_are_enough(losing: int, of: int, share: Fraction) -> None:
    """So many with anything open let it pass, and one fewer do not; where none would do, none does."""
    brake = Brake(share=share)
    enough = brake.enough(losing)

    assert brake.asks(closing=losing, of=of, yes_close=None) is (enough is None or of < enough)


def test_the_past_closes_nothing_and_neither_do_fewer_calls() -> None:
    """A cycle that is over, and a quota that is lower, are told by the difference and do not stop anybody."""
    few = catalog({"enterprise": plan(calls=5)})
    over = applied(catalog(), NARROWER, paid(), since="2025-01-01")
    fewer = applied(catalog({"enterprise": plan(calls=10)}), few, paid(), since="2025-01-01")

    assert (len(over.access), closing(over, (), on("02-01"))) == (1, NOTHING)
    assert len(closing(over, (), on("01-31")).now) == 1
    assert ([each.change for each in fewer.access], closing(fewer, (), on("01-15"))) == (
        ["changed", "changed"],
        NOTHING,
    )


def test_what_closed_in_the_past_alone_closes_nothing_for_whom_something_is_open() -> None:
    """In January an API less, from February on all as it was: on the 10th of January it closes, in February not."""
    bills = (paid(), renewal(paid="02-01T01:05"))
    found = between(revisions(catalog()), revisions(NARROWER, ("02-01", catalog())), *bills)

    assert ([len(closing(found, (), on(at)).now) for at in ("01-10", "02-10")], is_open(found, on("02-10"))) == (
        [1, 0],
        True,
    )


def test_who_has_leeway_alone_is_among_those_who_are_read() -> None:
    """An hour after the cycle nothing else is open: whoever was billed for one that ended two hours ago may be."""
    terms = revisions(catalog({"enterprise": plan(renewal_leeway="2h")}))

    assert has_anything(known(paid()), INTEGRATION, terms, on("02-01T01:00"))
    assert may_be_open_since(terms, on("02-01T01:00")) == on("01-31T23:00")


def test_what_opens_less_at_the_next_cycle_closes() -> None:
    """A price that is named no longer closes nothing on the day, and everything a month later."""
    then, now = revisions(catalog()), revisions(catalog(), ("01-10", NARROWER))
    there = standing(known(paid()), Scope(integration=INTEGRATION), then)
    ahead = next_terms(there, INTEGRATION, on("01-15"), then, now)
    found = closing(between(then, now, paid()), ahead, on("01-15"))

    assert (found.now, [each.lost for each in found.next]) == ((), [("invoices",)])


def test_nothing_is_lost_by_whom_nothing_is_open_to() -> None:
    """Of an unpaid invoice's next cycle, and of a blocked customer, nothing closes."""
    then, now = revisions(catalog()), revisions(catalog(), ("01-10", NARROWER))
    unpaid = Bill(finalized="01-01")
    ahead = next_terms(
        standing(known(unpaid), Scope(integration=INTEGRATION), then), INTEGRATION, on("01-15"), then, now
    )
    away = blocked(CustomerFacts(named=True), "01-01", None)
    of_blocked = between(then, revisions(NARROWER), paid(), facts=away)

    assert len(ahead) == 1
    assert closing(between(then, now, unpaid), ahead, on("01-15")) == NOTHING
    assert closing(of_blocked, (), on("01-15")) == NOTHING


CATALOGS = st.builds(
    lambda apis, prices, leeway, unpaid, every: catalog(
        {"enterprise": plan(prices=prices, apis=apis, renewal_leeway=leeway, first_unpaid=unpaid, every=every)}
    ),
    st.sampled_from([["orders"], ["orders", "invoices"], ["reports"]]),
    st.sampled_from([["price_enterprise"], ["price_other"]]),
    st.sampled_from(["0s", "2h", "40d"]),
    st.sampled_from(["0s", "5d"]),
    st.sampled_from(["day", "month", "year"]),
)
LINES = st.builds(
    Line,
    price=st.sampled_from(["price_enterprise", "price_other"]),
    item=st.sampled_from(["si_1", None]),
    subscription=st.sampled_from(["sub_1", None]),
    start=st.sampled_from(["01-01", "01-11"]),
    end=st.sampled_from(["01-11", "01-21", "02-01"]),
)
BILLS = st.builds(
    Bill,
    lines=st.tuples(LINES),
    finalized=st.just("01-01"),
    paid=st.sampled_from([None, "01-03"]),
    voided=st.sampled_from([None, "01-05"]),
)
BY_HAND = st.sampled_from(
    [
        CustomerFacts(named=True),
        given_by_hand(apis=("orders", "labs"), end="01-15"),
        given_by_hand(plan_name="enterprise"),
        blocked(given_by_hand(plan_name="enterprise"), "01-12", "02-03"),
    ]
)
MOMENTS = st.sampled_from(["01-01", "01-10T23:59:59", "01-11", "01-31", "02-01T01:00", "03-01", "12-31", "2027-01-31"])


@given(CATALOGS, CATALOGS, BILLS, BY_HAND, MOMENTS)
@settings(max_examples=150, deadline=None)
def test_who_loses_is_told_otherwise_at_some_moment_from_now_on(
    then: Json, now: Json, bill: Bill, facts: CustomerFacts, at: str
) -> None:
    """Someone loses exactly where a gateway would have let through and denies, now or later; so it is with having."""
    before, after, start = revisions(then), revisions(now), on(at)
    found = between(before, after, bill, facts=facts)
    everything = known(bill, facts=facts)
    was, will_be = (list(_open(everything, terms, start)) for terms in (before, after))

    assert is_open(found, start) is any(was) is has_anything(everything, INTEGRATION, before, start)
    assert bool(closing(found, (), start)) is any(one - other for one, other in zip(was, will_be, strict=True))


@given(CATALOGS, BILLS, BY_HAND, MOMENTS)
@settings(max_examples=150, deadline=None)
def test_who_has_anything_open_is_among_those_who_are_read(
    then: Json, bill: Bill, facts: CustomerFacts, at: str
) -> None:
    """What `customers_behind` looks for in the tables leaves out nobody to whom anything is open, now or later."""
    terms, now = revisions(then), on(at)
    everything = known(bill, facts=facts)
    since = may_be_open_since(terms, now)

    lasts = [
        grant.period_end > since
        or (grant.period_end <= grant.period_start and grant.period_start > since - LONGEST_CYCLE)
        for grant in everything.grants
    ]
    by_hand = [grant.end is None or grant.end > since for grant in everything.manual_grants]

    assert any((*lasts, *by_hand)) or not has_anything(everything, INTEGRATION, terms, now)


def _open(facts: CustomerFacts, terms: Revisions, since: datetime) -> Iterator[frozenset[tuple[str | None, str]]]:
    """What is open to a gateway of any marketplace and of one, at each moment from *since* on that may matter."""
    apis = ("orders", "invoices", "reports", "labs")
    there = [
        (name, standing(facts, Scope(integration=INTEGRATION, marketplace=name), terms)) for name in (None, "acme")
    ]
    for moment in (since, *(each for each in BOUNDARIES if each > since)):
        yield frozenset(
            (name, api)
            for name, customer in there
            for api in apis
            if decide(customer, api, moment, known_apis=apis).allowed
        )


BEGINS_OR_ENDS = """
01-01 01-02 01-03 01-05 01-06 01-11 01-12 01-15 01-16 01-21 02-01 02-03 02-11 2027-01-01 2027-01-11
"""
BOUNDARIES = sorted(
    on(each) + later
    for each in BEGINS_OR_ENDS.split()
    for later in (timedelta(0), timedelta(seconds=-1), timedelta(hours=2, seconds=-1), timedelta(days=40, seconds=-1))
)


def weighed() -> Weighed:
    """Seven of ten lose an API: five of what is open now, two at their next cycle."""
    then, now = revisions(catalog()), revisions(catalog(), ("01-10", NARROWER))
    at, found = on("01-15"), Weighed()
    ahead = next_terms(standing(known(paid()), Scope(integration=INTEGRATION), then), INTEGRATION, at, then, now)
    for number in range(10):
        name = CustomerName(integration=INTEGRATION, customer=f"cus_{number}")
        if number in (0, 3):
            found = found.plus(name, between(then, now, paid()), ahead, at)
        else:
            after = then if number > 6 else revisions(NARROWER)
            found = found.plus(name, between(then, after, paid()), (), at)
    return found


STOPPED = """\
catalog.yaml is not applied: it would close access for 7 of the 10 customers with anything open, which is 70.0%; \
without asking it may be 1%
  5 lose what is open now or later and 2 have a line whose next cycle opens less
  cus_0 (main): invoices from 1 Feb 2026 00:00 on, enterprise, if il_1 of in_1 is renewed as it is
  cus_1 (main): invoices (acme) 1 Jan – 1 Feb 2026, was paid enterprise, because of in_1
  cus_2 (main): invoices (acme) 1 Jan – 1 Feb 2026, was paid enterprise, because of in_1
  cus_3 (main): invoices from 1 Feb 2026 00:00 on, enterprise, if il_1 of in_1 is renewed as it is
  cus_4 (main): invoices (acme) 1 Jan – 1 Feb 2026, was paid enterprise, because of in_1
  and 2 more: entitle catalog diff catalog.yaml
If that is meant: entitle catalog apply catalog.yaml --yes-close 7"""


def test_it_says_how_many_whom_why_and_how_to_go_on() -> None:
    """The whole text."""
    with pytest.raises(Braked) as stopped:
        held(None)

    assert str(stopped.value) == STOPPED


def test_a_number_that_is_too_small_is_named() -> None:
    """Fewer than would be closed: asked again; as many, and more, let it pass."""
    with pytest.raises(Braked) as stopped:
        held(6)
    held(7)
    held(8)

    assert "without asking it may be 1%; --yes-close 6 is fewer\n" in str(stopped.value)


def held(yes_close: int | None) -> None:
    """Ask the brake about `weighed`."""
    command = "entitle catalog apply catalog.yaml"
    hold(
        weighed(),
        ONE_PERCENT,
        yes_close,
        what="catalog.yaml is not applied",
        command=command,
        tells_all=command.replace("apply", "diff"),
    )


def test_where_it_cannot_be_told_another_flag_is_asked_for() -> None:
    """A number can't be agreed to where nobody knows it."""
    said = cannot_tell("the database said: no", what="x is not applied", command="entitle catalog apply x")

    assert str(said) == (
        "x is not applied: whom it would close access for cannot be told, for the database said: no\n"
        "If that is meant all the same: entitle catalog apply x --yes-unseen"
    )
