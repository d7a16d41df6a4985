"""The runner while nothing comes: a Postgres that is away, or has gone back, is noticed all the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from consumers.log import Log
from consumers.telling import Health
from entitlements import ledger
from tests import toys
from tests.toys import message
from tests.yard import Yard, wait_until


def test_rows_that_went_back_are_read_again_though_nothing_comes(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a restoration: what the rows no longer know is recorded again, with no new record to say so."""
    monkeypatch.setattr("consumers.runner.LOOK_EVERY_S", 0.1)
    yard.make_topic()
    yard.put([message("a"), message("b")])

    with yard.running():
        wait_until(lambda: yard.next_offsets() == [2], "both are read")
        with yard.engine.begin() as connection:
            connection.execute(sa.delete(toys.toys).where(toys.toys.c.name == "b"))
            connection.execute(sa.update(ledger.consumer_offsets).values(next_offset=1))
        wait_until(lambda: yard.next_offsets() == [2], "it is read again")

    assert yard.names() == Counter("ab")


def test_a_database_that_goes_away_is_noticed_though_nothing_comes(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Health says no within seconds, and yes when it is back."""
    monkeypatch.setattr("consumers.runner.LOOK_EVERY_S", 0.1)
    yard.make_topic()
    states: list[Health] = []

    with yard.running(on_health=states.append):
        wait_until(lambda: bool(states) and states[-1].ready, "at work")
        with refusing_connections(yard):
            wait_until(lambda: not states[-1].ready, "health says that it waits")
        yard.engine.dispose()
        wait_until(lambda: states[-1].ready, "health says that it works")

    assert {state.away for state in states if not state.ready} == {"database"}


def test_a_place_that_kafka_python_forgets_is_sought_anew(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition that it takes for one without a place to start from is settled again, and read on."""
    opened: list[Log] = []

    def noted(*of: Any, **how: Any) -> Log:
        opened.append(Log(*of, **how))
        return opened[-1]

    monkeypatch.setattr("consumers.runner.Log", noted)
    monkeypatch.setattr(Log, "report", lambda *_, **__: True)  # nor has Kafka a place to suggest
    yard.make_topic()
    yard.put([message("a")])

    with yard.running():
        wait_until(lambda: yard.next_offsets() == [1], "it is read")
        for place in opened[-1]._consumer._subscription.assignment.values():
            place._position = None
        yard.put([message("b")])
        wait_until(lambda: yard.next_offsets() == [2], "the next is read")

    assert yard.names() == Counter("ab")


@contextmanager
def refusing_connections(yard: Yard) -> Iterator[None]:
    """The database takes no connections, and has ended those that there were, while the context lasts."""
    name = yard.engine.url.database
    server = sa.create_engine(yard.engine.url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(sa.text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'))
        ended = sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
        connection.execute(ended, {"name": name})
        yield
        connection.execute(sa.text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'))
    server.dispose()


def test_a_consumer_rests_after_a_batch_and_a_replay_does_not(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """By how many records its batch had; what only reads again what there is goes on at once."""
    rests: list[int] = []

    def noted(records: int, _most: int) -> float:
        rests.append(records)
        return 0.0

    monkeypatch.setattr("consumers.runner.rest_after", noted)
    yard.make_topic()
    yard.put([message("a"), message("b")])

    yard.run_to_the_end()
    after_the_replay = [*rests]
    yard.put([message("c")])
    with yard.running():
        wait_until(lambda: 1 in rests, "it has rested")

    assert after_the_replay == []
    assert yard.names() == Counter("abc")
