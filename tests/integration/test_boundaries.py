"""Boundaries on a real PostgreSQL: each is announced once, by its own moment, however late and by however many."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from consumers import boundaries
from entitlements import ledger
from tests.feeding import behind, fed, learnt, settled
from tests.stated import JULY, catalog, line

LEEWAY = timedelta(hours=2)


@pytest.fixture
def database(fresh_database: str) -> Iterator[sa.Engine]:
    """An engine on a migrated database of the test's own, on which a catalog was applied."""
    with fed(fresh_database) as on:
        learnt(on, catalog())
        yield on


def test_boundaries_are_announced_once_each_with_their_own_moments(database: sa.Engine) -> None:
    """After a week without anybody at work, a cycle's end and its leeway's are told in one state, by their moments."""
    learnt(database, line("cus_paid"), line("cus_later", period_end=JULY + timedelta(days=60)))
    settled(database)
    late = JULY + timedelta(days=7)

    assert announced(database, JULY - timedelta(seconds=1)) == 0
    assert announced(database, late) == 1
    assert announced(database, late) == 0
    settled(database, late)
    [state] = behind(database, 2)
    told = [(each.at, each.change, each.before, each.after) for each in state.boundaries]

    assert told == [
        (JULY, "changed", "paid", "renewal_leeway"),
        (JULY + LEEWAY, "closed", "renewal_leeway", "cycle_lapsed"),
    ]
    assert state.as_of == late
    assert announced(database, late) == 0
    assert settled(database, late + timedelta(days=1)).position.head == 3


def test_a_boundary_that_news_overtake_is_told_with_them(database: sa.Engine) -> None:
    """Something became known after a cycle ended and before that was announced: it is told once, with what is new."""
    learnt(database, line("cus_paid"))
    settled(database)
    now = JULY + timedelta(minutes=30)
    learnt(
        database, line("cus_paid", invoice="in_2", line="il_2", period_start=JULY, period_end=JULY + timedelta(days=31))
    )
    settled(database, now)

    [state] = behind(database, 1)
    assert [(each.at, each.after) for each in state.boundaries] == [(JULY, "renewal_leeway")]
    assert state.stretch_at("orders", now).reason == "paid"  # type: ignore[union-attr]
    assert announced(database, now) == 0


def test_two_at_once_announce_a_boundary_once(database: sa.Engine) -> None:
    """What one of them holds, the other leaves to it; what one was killed over, the other announces."""
    learnt(database, *(line(f"cus_{number}") for number in range(10)))
    settled(database)
    with database.connect() as one, database.connect() as other:
        killed = one.begin()
        assert boundaries.announce(one, JULY) == 10
        with other.begin():
            assert boundaries.announce(other, JULY) == 0
        killed.rollback()
        with other.begin():
            assert boundaries.announce(other, JULY) == 10
    settled(database, JULY)

    assert [len(each.boundaries) for each in behind(database, 10)] == [1] * 10
    with database.begin() as connection:
        said = sa.select(sa.func.count()).where(ledger.changes.c.consumer_group == boundaries.GROUP)
        assert connection.execute(said).scalar_one() == 10


def test_a_relay_whose_clock_is_behind_takes_no_boundary_back(database: sa.Engine) -> None:
    """Its states are as of the later moment that was told, and a boundary that it has not reached stays due."""
    learnt(database, line("cus_paid"))
    settled(database, JULY - timedelta(seconds=5))
    assert announced(database, JULY) == 1
    assert settled(database, JULY - timedelta(seconds=2)).position.head == 1
    assert announced(database, JULY) == 1
    settled(database, JULY)
    assert [each.at for state in behind(database, 1) for each in state.boundaries] == [JULY]

    learnt(database, line("cus_paid", invoice="in_2", line="il_2", period_start=JULY, period_end=JULY + LEEWAY))
    settled(database, JULY - timedelta(seconds=1))
    assert [(each.as_of, each.boundaries) for each in behind(database, 2)] == [(JULY, ())]


def announced(database: sa.Engine, now: datetime) -> int:
    """For how many customers boundaries were announced that are due at *now*."""
    with database.begin() as connection:
        return boundaries.announce(connection, now)
