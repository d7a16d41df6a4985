"""`entitle acts`: which of what operators did is in force, from when to when, whatever took it back."""

from __future__ import annotations

import json

import pytest

from entitlements.domain.facts import CatalogRevision, Fact
from ops.acts_listing import standing_acts
from tests.acts import block, grant, revocation, unblock
from tests.explaining import messages
from tests.pure_core import DECIDERS, catalog
from tests.stripe_builders import on

CATALOG = CatalogRevision(number=1, in_force_from=None, applied_by="ann", document=json.dumps(catalog()))
BY = "by ann: a reason"
BLOCKED = f"block_1: cus_1 (main) is blocked from 2026-01-10T00:00:00Z until 2026-01-20T00:00:00Z; {BY}"


def told(*acts: object, now: str | None) -> list[str]:
    """The lines that are shown of these acts."""
    facts: list[Fact] = [CATALOG]
    for message in messages(acts):  # type: ignore[arg-type]
        facts += [fact for decide in DECIDERS for fact in decide(message)]
    return [each.line for each in standing_acts(facts, None if now is None else on(now))]


@pytest.mark.parametrize(
    ("acts", "now", "expected"),
    [
        ((grant(),), "01-15", f"grant_1: cus_1 (main) may call plan enterprise from 2026-01-01T00:00:00Z; {BY}"),
        (
            (grant("01-20", plan=None, apis=("orders", "status")),),
            "01-15",
            f"grant_1: cus_1 (main) may call orders and status from 2026-01-20T00:00:00Z; {BY}",
        ),
        (
            (grant("01-01", "01-25"), revocation("01-20")),
            "01-15",
            "grant_1: cus_1 (main) may call plan enterprise from 2026-01-01T00:00:00Z until 2026-01-20T00:00:00Z; "
            + BY,
        ),
        ((block("01-10"), unblock("01-20", at="01-12")), "01-19T23:59:59", BLOCKED),
    ],
    ids=["for ever", "yet to begin", "revoked later", "unblocked later"],
)
def test_what_is_not_over_is_listed(acts: tuple[object, ...], now: str, expected: str) -> None:
    """With whom it is about, what it is, from when to when, by whom and why."""
    assert told(*acts, now=now) == [expected]


@pytest.mark.parametrize(
    "acts",
    [
        (grant("01-01", "01-15"),),
        (grant(), revocation("01-15")),
        (grant(plan="gold"),),
        (block("01-01", "01-15"),),
        (block("01-01"), unblock("01-15", at="01-15")),
    ],
    ids=["over", "revoked", "of no plan", "a block that is over", "unblocked"],
)
def test_what_is_over_or_opens_nothing_is_listed_only_if_asked_for(acts: tuple[object, ...]) -> None:
    """At its end it has no say any more."""
    assert told(*acts, now="01-15") == []
    assert len(told(*acts, now=None)) == 1


def test_a_grant_that_opens_nothing_says_so() -> None:
    """Revoked before it began, or of a plan that no catalog has."""
    assert told(grant("01-10"), revocation("01-05"), now=None) == [
        f"grant_1: cus_1 (main) may call plan enterprise at no time; {BY}"
    ]


def test_what_one_customer_s_act_takes_back_is_its_own() -> None:
    """The oldest act first; an unblock of one customer lifts no other's block."""
    other = block("01-10", id="block_2", customer="cus_2", at="01-02")

    assert [each.split()[0:2] for each in told(other, block("01-10"), unblock("01-12", at="01-11"), now="01-15")] == [
        ["block_2:", "cus_2"]
    ]
    assert [each.split()[1] for each in told(other, block("01-10"), now="01-15")] == ["cus_1", "cus_2"]
