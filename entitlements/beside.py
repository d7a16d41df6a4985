"""
Schemas of facts beside the one that serves: a rebuild, and what was swapped out. Edge: Postgres.

What is known of one is its comment, which moves with it when it is renamed; how far it is, its own `consumer_offsets`
say. The functions take a connection and never commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import Connection, Index, text

from entitlements import feed, ledger, store
from entitlements.ledger import Position
from entitlements.rows import quoted

TABLES = tuple(
    dict.fromkeys(
        (
            feed.feed_position,  # in the order in which their writers take them: who holds the first gets the rest
            feed.feed,
            *store.TABLE_OF.values(),
            ledger.dead_letters,
            ledger.provenance,
            ledger.changes,
            ledger.consumer_offsets,
        )
    )
)
"""Every table of a schema of facts but for the migrations'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What the schemas are called, by the name of the one that serves."""

    live: str

    @property
    def rebuild(self) -> str:
        """What is being built."""
        return f"{self.live}_rebuild"

    @property
    def before(self) -> str:
        """What was swapped out last."""
        return f"{self.live}_before"

    @property
    def older(self) -> str:
        """What was kept before that, until it is dropped."""
        return f"{self.live}_older"

    @property
    def passing(self) -> str:
        """What a schema is called while the name it gets is still another's; nobody sees it."""
        return f"{self.live}_passing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What is known of a schema: who began it and when, by which *version*; when it was swapped in or out last."""

    by: str
    begun_at: datetime
    version: str
    swapped_in_at: datetime | None = None
    swapped_out_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """A schema that is there. *step* is the last migration that it has had, None where it never had one."""

    name: str
    note: Note | None
    step: str | None


def find(connection: Connection, name: str) -> Schema | None:
    """The schema of that name, if there is one."""
    oid = connection.execute(_OID, {"name": name}).scalar()
    if oid is None:
        return None
    comment = connection.execute(text("SELECT obj_description(:oid, 'pg_namespace')"), {"oid": oid}).scalar()
    is_migrated = connection.execute(
        text("SELECT to_regclass(:table) IS NOT NULL"), {"table": f"{quoted(name)}.migrations"}
    )
    step = None
    if is_migrated.scalar_one():
        step = connection.exec_driver_sql(f"SELECT version_num FROM {quoted(name)}.migrations").scalar()  # noqa: S608
    return Schema(name=name, note=_read(comment), step=step)


_OID = text("SELECT oid FROM pg_namespace WHERE nspname = :name")


def make(connection: Connection, name: str, note_of_it: Note) -> None:
    """An empty schema, noted."""
    connection.exec_driver_sql(f"CREATE SCHEMA {quoted(name)}")
    note(connection, name, note_of_it)


def note(connection: Connection, name: str, note_of_it: Note) -> None:
    """What is known of the schema, from now on."""
    comment = msgspec.json.encode(note_of_it).decode()
    connection.exec_driver_sql(f"COMMENT ON SCHEMA {quoted(name)} IS %(comment)s", {"comment": comment})


def drop(connection: Connection, name: str) -> None:
    """The schema and all in it is gone, if it was there."""
    connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {quoted(name)} CASCADE")


def positions(connection: Connection, name: str, groups: Sequence[str]) -> tuple[Position, ...]:
    """Where *groups* go on in the schema of that name, whatever the search_path is."""
    return ledger.positions(connection, groups, schema=name)


def without_lookups(connection: Connection, name: str) -> None:
    """Drop the indexes that only questions need: they are dearer to keep up than to make once all is there."""
    for index in _lookups():
        connection.exec_driver_sql(f"DROP INDEX IF EXISTS {quoted(name)}.{quoted(str(index.name))}")


def lookups_missing(connection: Connection, name: str) -> tuple[Index, ...]:
    """The indexes that a schema lacks, whoever was killed when."""
    there = set(
        connection.execute(text("SELECT indexname FROM pg_indexes WHERE schemaname = :name"), {"name": name}).scalars()
    )
    return tuple(index for index in _lookups() if index.name not in there)


def _lookups() -> list[Index]:
    """All that enforce nothing, in a steady order."""
    found = [index for table in TABLES for index in table.indexes if not index.unique and table not in _FEED]
    return sorted(found, key=lambda index: str(index.name))


_FEED = (feed.feed, feed.feed_position)


_NOTE = msgspec.json.Decoder(Note)


def _read(comment: str | None) -> Note | None:
    if comment is None:
        return None
    try:
        return _NOTE.decode(comment)
    except msgspec.DecodeError:
        return None
