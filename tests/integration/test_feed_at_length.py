"""A relay with much to do, on a real PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from consumers.told import CHANGES_AT_ONCE, READ_AT_ONCE, WALKED_AT_ONCE, Catalogs, Step, take_step
from entitlements import feed, ledger, store
from entitlements.domain.reversals import PaymentLink
from entitlements.domain.stretches import access_from
from entitlements.everyone import CustomerName
from schemas.access_change import AccessChange
from tests.feeding import NOON, behind, fed, learnt, settled
from tests.stated import JUNE, catalog, line


def test_a_step_that_takes_long_is_no_idle_session(fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL is asked again and again in it: else it ends a relay whose customers have many years of invoices."""

    def slowly(*of: Any) -> Any:
        time.sleep(0.02)
        return access_from(*of)

    monkeypatch.setattr("consumers.told.access_from", slowly)
    with fed(fresh_database) as on:
        learnt(on, catalog(), *(line(f"cus_{number:02}") for number in range(40)))
        with on.begin() as connection:
            connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = '400ms'"))
            assert take_step(connection, Catalogs(), NOON).told == 40


def test_a_walk_that_ends_with_a_whole_page_is_over(fresh_database: str) -> None:
    """Behind the last customer there is nobody, and that is written down: else it would walk until something comes."""
    with fed(fresh_database) as on:
        learnt(on, catalog(), *(line(f"cus_{number:02}") for number in range(WALKED_AT_ONCE)))
        settled(on)
        learnt(on, catalog(number=2, in_force_from=JUNE, more_apis=("reports",)))
        assert settled(on).position.head == 2 * WALKED_AT_ONCE
        with on.connect() as connection:
            assert not feed.position(connection).is_walking


class Time:
    """As many customers more as are *left*."""

    def __init__(self, left: int) -> None:
        self.left = left

    def begin(self) -> Callable[[], bool]:
        return self.may_go_on

    def may_go_on(self) -> bool:
        self.left -= 1
        return self.left >= 0


@pytest.mark.parametrize("more", [0, 1, 12])
def test_a_step_ends_with_its_time_and_the_next_goes_on(fresh_database: str, more: int) -> None:
    """Each commits what it has; changes, the walk and orgs come to the same as in one step, and nobody twice."""
    moved = {f"org_{number}": f"cus_{number:02}" for number in range(20)}
    late = NOON + timedelta(hours=1)
    with fed(fresh_database) as on:
        learnt(on, catalog(), *(line(f"cus_{number:02}") for number in range(20)))
        changes = short_steps(on, NOON, Catalogs(), more)
        learnt(on, catalog(number=2, in_force_from=JUNE, more_apis=("reports",)))
        catalogs = Catalogs()
        walk = short_steps(on, NOON, catalogs, more)
        walked = {each.customer: api_names(each) for each in behind(on, 20)}
        learnt(on, catalog(number=3, in_force_from=late, more_apis=("reports",), orgs=moved))
        same = short_steps(on, NOON, catalogs, more)
        renaming = short_steps(on, late, catalogs, more)
        renamed = {each.customer: each.orgs for each in behind(on, 40)}

    for steps, told in ((changes, 20), (walk, 20), (same, 0), (renaming, 20)):
        assert {each.told + each.same for each in steps} <= set(range(more + 2))
        assert sum(each.told for each in steps) == told
        assert len(steps) >= 20 // (more + 1)
    assert walked == {customer: {"orders", "invoices", "reports"} for customer in moved.values()}
    assert renamed == {customer: (org,) for org, customer in moved.items()}


def test_a_change_of_two_customers_is_told_with_both_whatever_the_time(fresh_database: str) -> None:
    """Whoever takes long, who belongs to the same change and all behind them get their turn in the next steps."""
    with fed(fresh_database) as on:
        learnt(on, catalog(), line("cus_0"), line("cus_1"), line("cus_2"))
        settled(on)
        with on.begin() as connection:
            store.record(connection, [paid_by("cus_0", "ch_0"), paid_by("cus_1", "ch_1")])
            ledger.write_changes(connection, {("revocations", "main", None, "pi_1")})
        learnt(on, line("cus_2", invoice="in_2", line="il_2", quantity=2))
        first, second = (short_step(on, NOON, Catalogs(), 0) for _ in range(2))

    assert (first.told + first.same, first.more) == (2, True)
    assert (second.told, second.more) == (1, False)


def paid_by(customer: str, charge: str) -> PaymentLink:
    """One of several charges of a payment intent, which names its customer."""
    return PaymentLink(integration="main", payment_intent="pi_1", charge=charge, customer=customer, invoice=None)


def test_a_steps_time_begins_with_its_first_customer(fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom it is to look at, it asks of any number of changes at once, and reads what was told of a few at a time."""
    asked, at_once, begun = list[str](), list[int](), list[int]()

    def begin() -> Callable[[], bool]:
        begun.append(len(asked))
        return lambda: True

    def told(connection: sa.Connection, whom: Collection[CustomerName]) -> dict[CustomerName, AccessChange]:
        at_once.append(len(whom))
        return feed_told(connection, whom)

    feed_told = feed.told
    with fed(fresh_database) as on:
        learnt(on, catalog(), *(line(f"cus_{number}") for number in range(12)))
        settled(on)
        monkeypatch.setattr(feed, "told", told)
        sa.event.listen(on, "before_cursor_execute", lambda *of: asked.append(of[2]))
        for payments in (1, 40):
            with on.begin() as connection:
                store.record(connection, [paid_by(f"cus_{number}", f"ch_{number}") for number in range(12)])
                whom = {("revocations", "main", None, f"ch_{number}") for number in range(payments)}
                ledger.write_changes(connection, whom)
            asked.clear()
            with on.begin() as connection:
                assert take_step(connection, Catalogs(), NOON, begin=begin).same == 12

    assert begun[0] == begun[1] > 0
    assert max(at_once) <= READ_AT_ONCE


def api_names(state: AccessChange) -> set[str]:
    return {api for each in state.access for api in each.apis}


def short_steps(on: sa.Engine, now: datetime, catalogs: Catalogs, more: int) -> list[Step]:
    """Short ones until nothing more waits."""
    done = [short_step(on, now, catalogs, more)]
    while done[-1].more:
        done.append(short_step(on, now, catalogs, more))
    return done


def short_step(on: sa.Engine, now: datetime, catalogs: Catalogs, more: int) -> Step:
    """One that has time for one customer and so many more."""
    with on.begin() as connection:
        return take_step(connection, catalogs, now, begin=Time(more).begin)


def test_all_that_waits_and_concerns_the_same_is_told_at_once(fresh_database: str) -> None:
    """Behind by hundreds of changes of one customer, who is told once, a relay comes to the next in the same step."""
    with fed(fresh_database) as on:
        learnt(on, catalog())
        for number in range(CHANGES_AT_ONCE + 50):
            learnt(on, line("cus_1", line=f"il_{number}"))
        learnt(on, line("cus_2"))
        with on.begin() as connection:
            told = take_step(connection, Catalogs(), NOON)
            left = feed.waiting(connection, most=1)

    assert (told.told, left) == (2, ())
