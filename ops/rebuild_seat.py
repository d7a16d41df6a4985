"""
Only one at a time works on the schemas beside a live one: builds, follows, swaps or drops. An edge: Postgres.

The seat is a lock of a session, so it is free as soon as who had it is dead. Whoever builds or follows leaves it to one
that waits for it: so a swap or a discard never meets somebody at work.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from entitlements.exchange import is_busy
from ops.rebuild_place import CannotRebuild, Place

PATIENCE_S = 60
"""How long one that follows may take to leave: a batch, or an index that is being made."""

_KEY = "hashtext('entitle rebuild'), hashtext(:live)"
_TRY = text(f"SELECT pg_try_advisory_lock({_KEY})")
_WAIT = text(f"SELECT pg_advisory_lock({_KEY})")
_THERE = """
FROM pg_locks AS held WHERE held.locktype = 'advisory'
    AND held.classid = hashtext('entitle rebuild')::oid AND held.objid = hashtext(:live)::oid
    AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_WANTED = text(
    f"SELECT EXISTS (SELECT {_THERE} AND NOT held.granted), EXISTS (SELECT {_THERE} AND held.granted "
    "AND held.pid = pg_backend_pid())"
)
_HOLDER = text(f"SELECT held.pid {_THERE} AND held.granted")


class Seat:
    """Of who works on the rebuild of the schema *live*, on a session that does nothing else."""

    __slots__ = ("_connection", "_live")

    def __init__(self, connection: Connection, live: str) -> None:
        self._connection = connection
        self._live = live

    def is_wanted(self) -> bool:
        """Whether somebody waits for it, or it is no longer ours. Raises SQLAlchemy's errors where Postgres is away."""
        wanted, ours = self._connection.execute(_WANTED, {"live": self._live}).one()
        return bool(wanted or not ours)


@contextmanager
def seated(place: Place, *, wait: bool) -> Iterator[Seat]:
    """
    Have the seat, at once or, with *wait*, as soon as who follows has left it. Raises `CannotRebuild` where another
    stays at work.
    """
    database = place.database(place.names.live, connections=1)
    live = {"live": place.names.live}
    try:
        with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"SET statement_timeout = '{PATIENCE_S}s'")
            try:
                if not connection.execute(_TRY, live).scalar_one():
                    if not wait:
                        raise CannotRebuild(_occupied(connection, live["live"]))
                    connection.execute(_WAIT, live)
            except DBAPIError as error:
                if not is_busy(error):
                    raise
                raise CannotRebuild(_occupied(connection, live["live"])) from error
            try:
                yield Seat(connection, place.names.live)
            finally:
                connection.invalidate()  # the session ends, and the lock with it
    finally:
        database.dispose()


def _occupied(connection: Connection, live: str) -> str:
    holder = connection.execute(_HOLDER, {"live": live}).scalar()
    return (
        f"another `entitle rebuild` of {live} is at work already (PostgreSQL's process {holder}); `entitle rebuild "
        "--status` says how far it is"
    )
