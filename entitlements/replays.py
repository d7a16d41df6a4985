"""
Replays that operators have begun, and how far each is. Edge: Postgres.

In the settings' schema: a replay is an operator's doing, no fact. A step is appended in the transaction that records
its batch, so a replay that was killed goes on exactly where it was, and what it says in the end it has counted once.
Two that go on with one replay would append the same step: the slower one is `Overtaken`. The functions take a
connection that sees both schemas, and never commit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    ForeignKey,
    Identity,
    Integer,
    PrimaryKeyConstraint,
    Row,
    Table,
    Text,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB, insert

from entitlements.orgs import metadata

replays = Table(
    "replays",
    metadata,
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("facts_schema", Text, nullable=False, comment="where it records"),
    Column("asked", Text, nullable=False, comment="what was asked for, in words"),
    Column("groups", JSONB, nullable=False, comment="consumer groups that read again"),
    Column("spans", JSONB, nullable=False, comment="[[topic, partition, first offset, next offset behind], ...]"),
    Column("letters", JSONB, nullable=False, comment="ids of the dead letters that were open there when it began"),
    Column("begun_by", Text, nullable=False),
    Column("begun_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("id"),
    comment="A part of the log that an operator had read again",
)

replay_steps = Table(
    "replay_steps",
    metadata,
    Column("replay", BigInteger, ForeignKey(replays.c.id), nullable=False),
    Column("step", Integer, nullable=False),
    Column("span", Integer, nullable=False, comment="which of the replay's spans comes next, from 0 on"),
    Column("next_offset", BigInteger, nullable=False, comment="where in it"),
    Column("records", Integer, nullable=False),
    Column("outcomes", JSONB, nullable=False, comment="how many records came to what, over all groups"),
    Column("learnt", JSONB, nullable=False, comment="how many facts were new or changed something, by table"),
    Column("done_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("replay", "step"),
    comment="A batch of a replay that is recorded",
)


MOST_LOOKED_AT = 20
"""Replays, from the last one back, among which one that is not at its end is looked for."""


class Overtaken(Exception):
    """Another process goes on with the same replay; it will finish it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Records of a partition that are next to each other: `[start, end)`."""

    topic: str
    partition: int
    start: int
    end: int

    @property
    def count(self) -> int:
        """How many offsets; in a log that nobody compacts, as many records."""
        return self.end - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What is read again, by which groups, for whom; *letters* are the dead letters that were open there before."""

    id: int
    facts_schema: str
    asked: str
    groups: tuple[str, ...]
    spans: tuple[Span, ...]
    letters: frozenset[int]
    by: str
    begun_at: datetime

    @property
    def count(self) -> int:
        """Records in all."""
        return sum(span.count for span in self.spans)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """
    How far a replay is, and what came of it so far: the next step's number, the span and offset that come next, records
    that are done, their outcomes over all groups, facts by table.
    """

    step: int
    span: int
    next_offset: int
    records: int
    outcomes: Mapping[str, int]
    learnt: Mapping[str, int]


def begin(
    connection: Connection,
    *,
    facts_schema: str,
    asked: str,
    groups: Iterable[str],
    spans: Iterable[Span],
    letters: Iterable[int],
    by: str,
) -> Replay:
    """Write down what is going to be read again."""
    values = {
        "facts_schema": facts_schema,
        "asked": asked,
        "groups": sorted(groups),
        "spans": [[span.topic, span.partition, span.start, span.end] for span in spans],
        "letters": sorted(letters),
        "begun_by": by,
    }
    return _replay(connection.execute(insert(replays).values(values).returning(replays)).one())


def find(connection: Connection, replay: int) -> Replay | None:
    """The replay of that number."""
    row = connection.execute(select(replays).where(replays.c.id == replay)).one_or_none()
    return None if row is None else _replay(row)


def latest(connection: Connection) -> Replay | None:
    """The one that was begun last of those that are not at their end, else of all."""
    query = select(replays).order_by(replays.c.id.desc()).limit(MOST_LOOKED_AT)
    found = [_replay(row) for row in connection.execute(query)]
    unfinished = (each for each in found if tally(connection, each).span < len(each.spans))
    return next(unfinished, found[0] if found else None)


def tally(connection: Connection, replay: Replay) -> Tally:
    """How far the replay is, and what came of it so far."""
    query = select(replay_steps).where(replay_steps.c.replay == replay.id).order_by(replay_steps.c.step)
    outcomes, learnt = Counter[str](), Counter[str]()
    step, span, next_offset, records = 0, 0, replay.spans[0].start if replay.spans else 0, 0
    for row in connection.execute(query):
        step, span, next_offset, records = row.step, row.span, row.next_offset, records + row.records
        outcomes += Counter(row.outcomes)
        learnt += Counter(row.learnt)
    return Tally(step=step + 1, span=span, next_offset=next_offset, records=records, outcomes=outcomes, learnt=learnt)


def append(connection: Connection, replay: Replay, done: Tally) -> None:
    """
    A batch is recorded: *done* has its step, what comes next, and what came of it alone.

    Raises `Overtaken` where that step is there already.
    """
    values = {
        "replay": replay.id,
        "step": done.step,
        "span": done.span,
        "next_offset": done.next_offset,
        "records": done.records,
        "outcomes": dict(done.outcomes),
        "learnt": dict(done.learnt),
    }
    written = insert(replay_steps).values(values).on_conflict_do_nothing().returning(replay_steps.c.step)
    if connection.execute(written).one_or_none() is None:
        raise Overtaken(f"another process goes on with replay {replay.id}, and has done step {done.step} already.")


def _replay(row: Row[Any]) -> Replay:
    return Replay(
        id=row.id,
        facts_schema=row.facts_schema,
        asked=row.asked,
        groups=tuple(row.groups),
        spans=tuple(
            Span(topic=topic, partition=partition, start=start, end=end) for topic, partition, start, end in row.spans
        ),
        letters=frozenset(row.letters),
        by=row.begun_by,
        begun_at=row.begun_at,
    )
