"""R10: what operators grant by hand, from their messages to the decision."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest

from entitlements.domain.catalog import Revisions
from entitlements.domain.decision import Decision
from tests.acts import Known, ask, grant, revocation, stand, until
from tests.pure_core import plan, plans
from tests.stripe_builders import Bill, Line, paid

JANUARY = paid()


# Granted


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        ("01-09T23:59:59", "not_entitled"),
        ("01-10", "manual"),
        ("01-19T23:59:59", "manual"),
        ("01-20", "not_entitled"),
    ],
)
def test_a_manual_grant_opens_from_its_start_to_its_end(at: str, reason: str) -> None:
    """Half-open, whatever is paid; nothing lapses behind it."""
    assert ask(grant("01-10", "01-20"), at=at).reason == reason


def test_a_grant_of_a_plan_opens_its_apis() -> None:
    """All that the plan opens, and nothing else; the answer names the plan, and no invoice or cycle."""
    terms = plans(enterprise=plan(), other=plan(prices=["price_other"], apis=["reports"]))
    answer = ask(grant("01-10", "01-20"), at="01-15", terms=terms)

    assert (answer.allowed, answer.reason, answer.reason.status, answer.plan) == (True, "manual", 200, "enterprise")
    assert (answer.invoice, answer.cycle, answer.catalog_revision) == (None, None, 1)
    assert ask(grant("01-10", "01-20"), at="01-15", api="invoices", terms=terms).reason == "manual"
    assert ask(grant("01-10", "01-20"), at="01-15", api="reports", terms=terms).reason == "not_entitled"


def test_a_grant_of_apis_opens_those_alone() -> None:
    """It is of no plan, and has no quotas."""
    given = grant("01-10", plan=None, apis=("orders",))
    terms = plans(enterprise=plan(calls=1000))
    answer = ask(given, at="01-15", terms=terms)

    assert (answer.reason, answer.plan, answer.catalog_revision, answer.quotas) == ("manual", None, None, ())
    assert ask(given, at="01-15", api="invoices", terms=terms).reason == "not_entitled"


def test_an_api_that_only_a_manual_grant_names_is_known() -> None:
    """To this customer, as long as the facts say so; to nobody else."""
    given = grant("01-10", "01-20", plan=None, apis=("beta",))

    assert ask(given, at="01-15", api="beta").reason == "manual"
    assert ask(given, at="01-25", api="beta").reason == "not_entitled"
    assert ask(given, at="01-15", api="beta", customer="cus_2").reason == "unknown_api"


def test_a_free_plan_is_given_by_a_manual_grant() -> None:
    """A plan that costs nothing needs no invoice."""
    terms = plans(free=plan(prices=[], calls=10) | {"cost": "free"})
    answer = ask(grant("01-10", plan="free"), at="01-15", terms=terms)

    assert (answer.reason, answer.plan, [quota.limit for quota in answer.quotas]) == ("manual", "free", [10])


UNPAID_TERMS = plans(enterprise=plan(first_unpaid="10d"))
LEEWAY = plans(enterprise=plan(renewal_leeway="10d"))


@pytest.mark.parametrize(
    ("bill", "at", "terms", "without", "beside"),
    [
        (JANUARY, "01-15", plans(enterprise=plan()), "paid", "paid"),
        (Bill(finalized="01-01"), "01-05", UNPAID_TERMS, "unpaid_terms", "manual"),
        (JANUARY, "02-05", LEEWAY, "renewal_leeway", "manual"),
        (JANUARY, "02-05", plans(enterprise=plan()), "cycle_lapsed", "manual"),
        (Bill(finalized="01-01"), "01-15", plans(enterprise=plan()), "payment_required", "manual"),
    ],
)
def test_manual_stands_behind_paid_and_before_the_rest(
    bill: Bill, at: str, terms: Revisions, without: str, beside: str
) -> None:
    """Where several reasons cover the moment, `manual` is second; it opens what only a payment would."""
    assert ask(bill, at=at, terms=terms).reason == without
    assert ask(bill, grant("01-01"), at=at, terms=terms).reason == beside


def test_until_runs_on_from_what_is_paid_into_what_is_granted() -> None:
    """It is the first moment that nothing covers; None where a grant has no end."""
    following = grant("02-01", "02-10")

    assert until(ask(JANUARY, following, at="01-15")) == "02-10"
    assert until(ask(JANUARY, grant("02-02", "02-10"), at="01-15")) == "02-01"
    assert until(ask(grant("01-01", "01-16"), JANUARY, at="01-15")) == "02-01"
    assert until(ask(JANUARY, grant("02-01"), at="01-15")) is None
    assert ask(grant("01-01"), at="01-15").max_age == timedelta(seconds=10)


def test_a_denial_is_kept_no_longer_than_to_the_start_of_a_grant() -> None:
    """What is to open in a second is not denied for two."""
    assert ask(grant("01-10"), at="01-09T23:59:59").max_age == timedelta(seconds=1)


def test_of_several_manual_grants_the_one_that_ends_last_is_shown() -> None:
    """Then that of the smallest id, whatever the order in which they were said."""
    terms = plans(**{name: plan(prices=[f"price_{name}"]) for name in ("short", "long", "as_long")})
    given = (
        grant(end="01-20", id="grant_1", plan="short"),
        grant(end="02-20", id="grant_3", plan="long"),
        grant(end="02-20", id="grant_2", plan="as_long"),
    )

    for order in permutations(given):
        assert ask(*order, at="01-15", terms=terms).plan == "as_long"


def test_a_manual_grant_is_no_reason_to_call_an_unpaid_cycle_lapsed() -> None:
    """`cycle_lapsed` is of what was paid; what was given by hand ends without a bill."""
    assert ask(grant(end="01-10"), Bill(lines=(Line(start="02-01", end="03-01"),)), at="01-15").reason == "not_entitled"


# Quotas


QUOTAS = plans(enterprise=plan(calls=1000), more=plan(prices=["price_more"], calls=50))


def limits(answer: Decision) -> list[int]:
    return [quota.limit for quota in answer.quotas]


def test_without_a_paid_grant_the_quotas_are_those_of_the_manual_ones() -> None:
    """They add up like paid ones; unpaid terms beside them add nothing."""
    terms = plans(enterprise=plan(calls=1000, first_unpaid="10d"), more=plan(prices=["price_more"], calls=50))
    one, other = grant(id="grant_1"), grant(id="grant_2", plan="more")

    assert limits(ask(one, other, at="01-05", terms=terms)) == [1050]
    assert limits(ask(other, Bill(finalized="01-01"), at="01-05", terms=terms)) == [50]


def test_beside_a_paid_grant_the_quotas_are_those_of_what_is_paid() -> None:
    """A manual grant then neither adds to them nor lifts them."""
    more = grant(plan="more")
    unlimited = grant(id="grant_2", plan=None, apis=("orders",))

    assert limits(ask(JANUARY, more, unlimited, at="01-15", terms=QUOTAS)) == [1000]
    assert limits(ask(JANUARY, more, at="02-15", terms=QUOTAS)) == [50]


def test_a_grant_of_apis_lifts_the_quotas_of_other_manual_ones() -> None:
    """It has none, as a plan without that quota."""
    assert limits(ask(grant(), grant(id="grant_2", plan=None, apis=("orders",)), at="01-15", terms=QUOTAS)) == []


# Revoked


@pytest.mark.parametrize(("at", "reason"), [("01-14T23:59:59", "manual"), ("01-15", "not_entitled")])
def test_a_revocation_ends_a_grant_from_then_on(at: str, reason: str) -> None:
    """The smallest moment of several counts, in any order; until shows it."""
    acts: tuple[Known, ...] = (grant("01-10", "01-20"), revocation("01-15"), revocation("01-17", id="revocation_2"))

    for order in permutations(acts):
        answer = ask(*order, at=at)
        assert (answer.reason, until(answer)) == (reason, "01-15" if answer.allowed else None)


def test_a_revocation_ends_no_other_grant() -> None:
    """Nor does it touch what is paid."""
    one, other = grant("01-10", "01-20"), grant("01-10", "01-20", id="grant_2")

    assert ask(one, other, revocation("01-12"), at="01-15").reason == "manual"
    assert ask(one, JANUARY, revocation("01-12"), at="01-15").reason == "paid"


@pytest.mark.parametrize(("since", "expected"), [("01-20", "01-20"), ("02-01", "01-20"), ("01-05", None)])
def test_a_revocation_never_lengthens_a_grant(since: str, expected: str | None) -> None:
    """One behind the grant's end changes nothing; one before its start leaves nothing."""
    assert until(ask(grant("01-10", "01-20"), revocation(since), at="01-15")) == expected


def test_a_standing_says_what_ended_a_grant_early() -> None:
    """The first of its revocations, and none where it ran to its end."""
    early, late = revocation("01-15", id="revocation_b"), revocation("01-20", id="revocation_a")

    assert [each.ended_by for each in stand(grant(end="01-20"), early, late).manual] == ["revocation_b"]
    assert [each.ended_by for each in stand(grant(end="01-20"), late).manual] == [None]
    assert [each.ended_by for each in stand(grant(), late).manual] == ["revocation_a"]
