"""A relay whose connection to PostgreSQL breaks without a word, on a real PostgreSQL and a real Kafka."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from psycopg2.extensions import connection as Driver  # noqa: N812 (a class, by the library's name for it)

from tests.feeding import learnt
from tests.relaying import Ground, grounded, wait_until
from tests.stated import line


def test_a_relay_whose_server_is_killed_while_it_waits_goes_on(kafka: str, fresh_database: str) -> None:
    """A killed server says no last word: the driver finds the connection closed, and the relay takes its lock anew."""
    with grounded(kafka, fresh_database) as ground, connections() as opened, ground.relaying() as said:
        for number in range(1, 4):
            learnt(ground.engine, line(f"cus_{number}"))
            wait_until(ground.all_is_published, "published")
            wait_until(lambda: bool(said) and said[-1].ready, "at work")
            with socket.socket(fileno=os.dup(relays_own(opened, ground).fileno())) as wire:
                wire.shutdown(socket.SHUT_RDWR)
            wait_until(lambda: not said[-1].ready, "it says so")
        wait_until(lambda: said[-1].ready, "at work again")


def relays_own(opened: list[Driver], ground: Ground) -> Driver:
    """The one of them that holds the relay's lock."""
    with ground.engine.begin() as connection:
        of_this_database = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        holder = connection.execute(
            sa.text(f"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND {of_this_database}")  # noqa: S608
        ).scalar_one()
    [own] = [each for each in opened if not each.closed and each.info.backend_pid == holder]
    return own


@contextmanager
def connections() -> Iterator[list[Driver]]:
    """All that any pool opens meanwhile."""
    opened: list[Driver] = []

    def note(driver: Driver, _: object) -> None:
        opened.append(driver)

    sa.event.listen(sa.pool.Pool, "connect", note)
    try:
        yield opened
    finally:
        sa.event.remove(sa.pool.Pool, "connect", note)
