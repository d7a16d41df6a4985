"""Where a rebuild is done: the log, the database, the schemas, how far each is. An edge: Kafka, Postgres, settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine

from consumers.extent import Extent, ends_of, extents
from consumers.failures import AnotherLog, OffsetOutOfRange, TooManyDeadLetters
from consumers.log import Source
from consumers.record import Partition
from consumers.verdicts import Group
from entitlements import beside
from entitlements.beside import Names, Note, Schema
from entitlements.domain.facts import Fact
from entitlements.ledger import Position
from ops import settings
from ops.catalog_commands import who
from ops.database import engine, newest_step
from ops.processes import group
from ops.rebuild_version import deciding_version
from ops.settings import BadSetting, Environment
from schemas.topics import CONSUMER_GROUPS

LONGEST_NAME = 63
"""Characters of a name in PostgreSQL."""

BEGIN_ANEW = "drop it with `entitle rebuild --discard`, then begin anew"


class CannotRebuild(Exception):
    """It can't be done, and nothing was changed; the text says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """*url* is the database's, *names* those of its schemas, *groups* all that read the log."""

    source: Source
    url: str
    names: Names
    settings_schema: str
    groups: tuple[Group[Fact], ...]
    limit: int

    def database(self, schema: str, *, connections: int = 2, commits_later: bool = False) -> Engine:
        """An engine that sees *schema* and the settings."""
        return engine(
            self.url,
            schema,
            settings_schema=self.settings_schema,
            connections=connections,
            ask_first=False,
            application="entitle rebuild",
            commits_later=commits_later,
        )

    def topics(self) -> frozenset[str]:
        """What the groups read."""
        return frozenset(topic for each in self.groups for topic in each.topics)

    def extents(self) -> dict[Partition, Extent]:
        """Every partition that the groups read, as Kafka has it now."""
        return extents(self.source, ends_of(self.source, self.topics()).keys())

    def positions(self, connection: Connection, schema: str) -> tuple[Position, ...]:
        """Where the groups go on in *schema*, in what they read."""
        topics = {each.name: each.topics for each in self.groups}
        rows = beside.positions(connection, schema, sorted(topics))
        return tuple(row for row in rows if row.topic in topics[row.group])


def place(environment: Environment) -> Place:
    """As the settings say."""
    live = settings.schema(environment)
    longest = LONGEST_NAME - len("_rebuild")
    if len(live) > longest:
        raise BadSetting(f"ENTITLE_SCHEMA is {live!r}: a rebuild needs a name of at most {longest} characters")
    return Place(
        source=settings.kafka(environment),
        url=settings.database_url(environment),
        names=Names(live=live),
        settings_schema=settings.settings_schema(environment),
        groups=tuple(group(name) for name in sorted(CONSUMER_GROUPS)),
        limit=settings.dead_letters_in_a_row(environment),
    )


def lags(place: Place, rows: Iterable[Position], found: Mapping[Partition, Extent]) -> dict[Partition, int]:
    """Records of each partition that some group has still to read; all, where it has not begun."""
    next_of = {(row.group, (row.topic, row.partition)): row.next_offset for row in rows}
    return {
        partition: max(
            extent.end - min(next_of.get((each.name, partition), extent.beginning), extent.end)
            for each in place.groups
            if partition[0] in each.topics
        )
        for partition, extent in found.items()
    }


def checked(schema: Schema | None, what: str, *, cure: str) -> Schema:
    """That *schema* is there, with the tables of this version, else *cure* helps. Raises `CannotRebuild`."""
    if schema is None:
        raise CannotRebuild(f"there is no {what}")
    newest = newest_step()
    if schema.step != newest:
        raise CannotRebuild(
            f"the tables of {schema.name} are those of another version (migration {schema.step or 'none'}, this "
            f"version's is {newest}): {cure}"
        )
    return schema


def begun_by_this_version(schema: Schema) -> None:
    """That what was built in *schema* is the work of this version alone. Raises `CannotRebuild`."""
    if schema.note is None:
        raise CannotRebuild(
            f"there is a schema {schema.name} that no `entitle rebuild` has noted: have a look at it, and drop it by "
            "hand or with `entitle rebuild --discard`"
        )
    if schema.note.version != deciding_version():
        raise CannotRebuild(
            f"the rebuild in {schema.name} was begun by another version of this program ({schema.note.version}, this "
            f"one is {deciding_version()}), and it must not hold the work of two: {BEGIN_ANEW}"
        )


@contextmanager
def reading_into(schema: str, live: str, *, cure: str) -> Iterator[None]:
    """
    What a consumer would say of itself, said of what reads the log into *schema*; as `CannotRebuild`. *cure* is what to
    do where this version is wrong.
    """
    try:
        yield
    except TooManyDeadLetters as stop:
        raise CannotRebuild(
            f"the log is read no further into {schema}, {live} serves on: {stop.what} See `ENTITLE_SCHEMA={schema} "
            f"entitle dead-letters list`. If this version is wrong, and not all of them, {cure}. If they are really "
            "bad, a higher ENTITLE_DEAD_LETTERS_IN_A_ROW lets it go on."
        ) from stop
    except (AnotherLog, OffsetOutOfRange) as stop:
        raise CannotRebuild(f"the log is read no further into {schema}, {live} serves on: {stop}") from stop


def first_note() -> Note:
    """Of a rebuild that begins now."""
    return Note(by=who(), begun_at=datetime.now(UTC), version=deciding_version())
