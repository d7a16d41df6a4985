"""R10: whom operators block, from their messages to the decision."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest

from entitlements.domain.access import Scope
from entitlements.domain.period import Period
from tests.acts import EVERYWHERE, Known, ask, block, grant, stand, unblock, until
from tests.pure_core import INTEGRATION, catalog, plan, plans, revisions
from tests.stripe_builders import Bill, on, one_off, paid

JANUARY = paid()
UNPAID_TERMS = plans(enterprise=plan(first_unpaid="10d"))
LEEWAY = plans(enterprise=plan(renewal_leeway="10d"))


def test_a_block_beats_everything() -> None:
    """What is paid, granted by hand, open on unpaid terms or in its leeway is denied with 403, and is back after it."""
    blocked_for_a_week = block("01-10", "01-17")

    for bill, terms in ((JANUARY, None), (Bill(finalized="01-08"), UNPAID_TERMS)):
        given: tuple[Known, ...]
        for given in ((bill,), (bill, grant("01-01"))):
            answer = ask(*given, blocked_for_a_week, at="01-12", terms=terms)
            assert (answer.allowed, answer.reason, answer.reason.status) == (False, "blocked", 403)
            assert (answer.until, answer.quotas, answer.plan, answer.invoice) == (None, (), None, None)
            assert ask(*given, blocked_for_a_week, at="01-17", terms=terms).allowed
    assert ask(JANUARY, block("02-01"), at="02-05", terms=LEEWAY).reason == "blocked"


@pytest.mark.parametrize(
    ("at", "reason"), [("01-09T23:59:59", "paid"), ("01-10", "blocked"), ("01-16T23:59", "blocked"), ("01-17", "paid")]
)
def test_a_block_that_ends_is_half_open(at: str, reason: str) -> None:
    """From its start, and no longer at its end."""
    assert ask(JANUARY, block("01-10", "01-17"), at=at).reason == reason


def test_a_block_comes_before_every_other_denial_but_an_unknown_api() -> None:
    """`unknown_api`, then `blocked`, then what a payment would cure."""
    owed = Bill(finalized="01-01")

    assert ask(block("01-10"), owed, at="01-15").reason == "blocked"
    assert ask(block("01-10"), at="01-15").reason == "blocked"
    assert ask(block("01-10"), owed, at="01-15", api="beta").reason == "unknown_api"


def test_a_block_to_come_cuts_until() -> None:
    """The answer turns to a denial when it begins; an allow is kept no longer than that."""
    answer = ask(JANUARY, block("01-20"), at="01-19T23:59:57")

    assert (answer.reason, until(answer), answer.max_age) == ("paid", "01-20", timedelta(seconds=3))
    assert until(ask(grant("01-01"), block("01-20", "01-25"), at="01-15")) == "01-20"
    assert until(ask(JANUARY, block("01-20"), block("01-17", id="block_2"), at="01-15")) == "01-17"
    assert until(ask(JANUARY, block("03-01"), at="01-15")) == "02-01"
    assert until(ask(JANUARY, block("01-05", "01-10"), at="01-15")) == "02-01"


def test_a_denial_is_kept_no_longer_than_to_the_end_of_a_block() -> None:
    """What is paid is open again when the block is over."""
    assert ask(JANUARY, block("01-10", "01-17"), at="01-16T23:59:59").max_age == timedelta(seconds=1)


def test_an_unblock_lifts_every_block_said_before() -> None:
    """From its own moment on, those that begin later too; in any order of arrival."""
    acts: tuple[Known, ...] = (
        block("01-05", at="01-05"),
        block("01-20", id="block_2", at="01-06"),
        unblock("01-12", at="01-10"),
        JANUARY,
    )

    for order in permutations(acts):
        assert [ask(*order, at=at).reason for at in ("01-05", "01-11T23:59:59", "01-12", "01-25")] == [
            "blocked",
            "blocked",
            "paid",
            "paid",
        ]
        assert stand(*order).blocked == (Period(on("01-05"), on("01-12")),)


def test_a_block_said_after_an_unblock_stands() -> None:
    """An unblock lifts what was said, not what will be; one said at the same moment is lifted."""
    lifted = unblock("01-01", at="01-10")

    assert ask(JANUARY, block("01-05", at="01-11"), lifted, at="01-15").reason == "blocked"
    assert ask(JANUARY, block("01-05", at="01-10"), lifted, at="01-15").reason == "paid"


def test_of_several_unblocks_the_earliest_moment_counts() -> None:
    """One said later for a later moment takes nothing back."""
    acts: tuple[Known, ...] = (
        block("01-05", at="01-05"),
        unblock("01-12", at="01-06"),
        unblock("01-08", id="unblock_2", at="01-07"),
        unblock("01-20", id="unblock_3", at="01-08"),
    )

    for order in permutations(acts):
        assert stand(*order).blocked == (Period(on("01-05"), on("01-08")),)


def test_several_blocks_last_as_long_as_any() -> None:
    """The end of one does not end another."""
    first, second = block("01-05", "01-10"), block("01-08", "01-20", id="block_2")

    assert [ask(JANUARY, first, second, at=at).reason for at in ("01-07", "01-15", "01-20")] == [
        "blocked",
        "blocked",
        "paid",
    ]


def test_an_unblock_does_not_lengthen_a_block() -> None:
    """A block whose end comes first is over then."""
    assert ask(JANUARY, block("01-05", "01-10"), unblock("01-20", at="01-06"), at="01-10").reason == "paid"


def test_a_block_holds_in_every_marketplace() -> None:
    """It is of the customer, who is the integration's."""
    terms = revisions(catalog(elsewhere={"theirs": plan(prices=["price_theirs"])}))
    scopes = (EVERYWHERE, *(Scope(integration=INTEGRATION, marketplace=name) for name in ("acme", "other")))
    sold_there = paid(one_off(id="il_2", price="price_theirs"), id="in_2")
    answers = [
        ask(JANUARY, sold_there, block("01-10"), at="01-15", scope=scope, terms=terms).reason for scope in scopes
    ]

    assert answers == ["blocked"] * 3
