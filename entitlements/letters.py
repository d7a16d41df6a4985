"""
Dead letters as operators see them: which are open, what they hold, what was done about them. Edge: Postgres.

A letter is never taken away, and whether it is open is derived: it is while the latest reading of its record in its
group came to a dead letter, and nobody has discarded it. So a redrive, a replay or a version that reads the record
closes it, and one that can't opens it again. What operators did is appended to `letter_acts`, in the settings' schema,
by the record's address: no message of the log (R10 names those that are), and a rebuild, which sets the same records
aside anew, leaves it alone.

The functions take a connection that sees both schemas, and never commit. Long because what is open follows from both
tables.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    FromClause,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Row,
    Select,
    Table,
    Text,
    and_,
    case,
    func,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from entitlements.ledger import Outcome, Position, consumer_offsets, count_anew, dead_letters, positions, provenance
from entitlements.orgs import metadata

letter_acts = Table(
    "letter_acts",
    metadata,
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("consumer_group", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("cluster_id", Text, nullable=False),
    Column("topic_id", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("came_to", Text, comment="of a redrive: the record's outcome"),
    Column("reason", Text, comment="why it was discarded, or failed again"),
    Column("done_by", Text, nullable=False),
    Column("done_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("id"),
    CheckConstraint("act in ('redriven', 'discarded')", name="act_is_known"),
    CheckConstraint("(act = 'redriven') = (came_to is not null)", name="a_redrive_comes_to_something"),
    CheckConstraint("act = 'redriven' or reason <> ''", name="nothing_is_discarded_without_a_reason"),
    Index(None, "consumer_group", "topic", "partition", "offset", "id"),
    comment="What operators did about dead letters; the letters themselves lie beside the facts",
)

ADDRESS = ("consumer_group", "topic", "partition", "offset")
RECORD = (*ADDRESS, "cluster_id", "topic_id")
"""What names a letter's record in any log."""


class State(StrEnum):
    """Whether somebody has still to see to a letter."""

    OPEN = "open"
    READ = "read"  # its record was read since
    DISCARDED = "discarded"
    OTHER_LOG = "of another log"  # the group reads another cluster, or another topic of that name


class Act(StrEnum):
    """What an operator did about a letter."""

    REDRIVEN = "redriven"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A record that a group set aside; *event* and what follows is what is known of the event in it."""

    id: int
    group: str
    topic: str
    partition: int
    offset: int
    cluster_id: str
    topic_id: str
    state: State
    reason: str
    appended_at: datetime | None
    set_aside_at: datetime
    event: str | None
    event_type: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a letter holds: the record as it was, and all that is known of why it could not be read."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was done about a letter, by whom and when; *came_to* is a redrive's outcome."""

    act: Act
    came_to: Outcome | None
    reason: str | None
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The letters of one group and reason."""

    group: str
    reason: str
    state: State
    count: int
    first_id: int
    last_id: int
    oldest: datetime | None
    newest: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which letters are meant: of *ids* or all, of a group, whose reason has this text in it, in these states."""

    ids: tuple[int, ...] = ()
    group: str | None = None
    because: str | None = None
    states: frozenset[State] = frozenset({State.OPEN})


def _at_the_same(one: FromClause, other: FromClause, names: Iterable[str]) -> ColumnElement[bool]:
    return and_(*(one.c[name] == other.c[name] for name in names))


_IS_DISCARDED = (
    select(letter_acts.c.id)
    .where(_at_the_same(letter_acts, dead_letters, RECORD), letter_acts.c.act == Act.DISCARDED.value)
    .exists()
)
_STATE = case(
    (
        or_(
            consumer_offsets.c.cluster_id != dead_letters.c.cluster_id,
            consumer_offsets.c.topic_id != dead_letters.c.topic_id,
        ),
        State.OTHER_LOG.value,
    ),
    (provenance.c.outcome != Outcome.DEAD_LETTER.value, State.READ.value),
    (_IS_DISCARDED, State.DISCARDED.value),
    else_=State.OPEN.value,
)
_WITH_ITS_READING = dead_letters.outerjoin(provenance, _at_the_same(dead_letters, provenance, ADDRESS)).outerjoin(
    consumer_offsets, _at_the_same(dead_letters, consumer_offsets, ("consumer_group", "topic", "partition"))
)
_LETTER = (
    dead_letters.c.id,
    *(dead_letters.c[name] for name in RECORD),
    _STATE.label("state"),
    dead_letters.c.reason,
    dead_letters.c.headers,
    dead_letters.c.appended_at,
    dead_letters.c.recorded_at.label("set_aside_at"),
    provenance.c.event_id,
    provenance.c.event_type,
)


def letters(connection: Connection, which: Which, *, most: int | None = None) -> tuple[Letter, ...]:
    """The letters that are meant, by id; at most so many."""
    query = _chosen(select(*_LETTER), which).order_by(dead_letters.c.id).limit(most)
    return tuple(_letter(row) for row in connection.execute(query))


def summaries(connection: Connection, which: Which) -> tuple[Summary, ...]:
    """The letters that are meant, counted by group and reason; the most first."""
    state = _STATE.label("state")
    query = _chosen(
        select(
            dead_letters.c.consumer_group.label("group"),
            dead_letters.c.reason,
            state,
            func.count().label("count"),
            func.min(dead_letters.c.id).label("first_id"),
            func.max(dead_letters.c.id).label("last_id"),
            func.min(dead_letters.c.appended_at).label("oldest"),
            func.max(dead_letters.c.appended_at).label("newest"),
        ),
        which,
    ).group_by(dead_letters.c.consumer_group, dead_letters.c.reason, state)
    found = [Summary(**{**row, "state": State(row["state"])}) for row in connection.execute(query).mappings()]
    return tuple(sorted(found, key=lambda each: (-each.count, each.group, each.reason, each.state)))


def open_by_group(connection: Connection) -> Mapping[str, int]:
    """How many letters of each group nobody has seen to yet; groups without any are not there."""
    counted = func.count()
    query = _chosen(select(dead_letters.c.consumer_group, counted), Which()).group_by(dead_letters.c.consumer_group)
    return {row[0]: row[1] for row in connection.execute(query)}


def content(connection: Connection, letter: Letter) -> Content | None:
    """What the letter holds; None where it is there no longer, as a swap may have it."""
    columns = (dead_letters.c.key, dead_letters.c.value, dead_letters.c.headers, dead_letters.c.detail)
    row = connection.execute(select(*columns).where(*_is(dead_letters, letter))).one_or_none()
    if row is None:
        return None
    return Content(
        key=None if row.key is None else bytes(row.key),
        value=None if row.value is None else bytes(row.value),
        headers=tuple((name, base64.b64decode(value or "")) for name, value in row.headers),
        detail=row.detail,
    )


def done_about(connection: Connection, letter: Letter) -> tuple[Done, ...]:
    """What operators did about it, in order."""
    query = select(letter_acts).where(*_is(letter_acts, letter)).order_by(letter_acts.c.id)
    return tuple(
        Done(
            act=Act(row.act),
            came_to=None if row.came_to is None else Outcome(row.came_to),
            reason=row.reason,
            by=row.done_by,
            at=row.done_at,
        )
        for row in connection.execute(query)
    )


def locked(connection: Connection, some: Collection[Letter], states: Collection[State]) -> tuple[Letter, ...]:
    """Those that are still in one of *states*, by id; until the transaction ends nobody else can act on any of them."""
    ids = sorted(letter.id for letter in some)
    mine = select(dead_letters.c.id).where(dead_letters.c.id.in_(ids)).order_by(dead_letters.c.id).with_for_update()
    connection.execute(mine).all()
    chosen = {_record(letter) for letter in some}
    left = letters(connection, Which(ids=tuple(ids), states=frozenset(states)))
    return tuple(letter for letter in left if _record(letter) in chosen)  # a swap numbers them otherwise


def _record(letter: Letter) -> tuple[Any, ...]:
    return (letter.group, *(getattr(letter, name) for name in RECORD[1:]))


def _is(table: Table, letter: Letter) -> list[ColumnElement[bool]]:
    return [table.c[name] == of for name, of in zip(RECORD, _record(letter), strict=True)]


def note(
    connection: Connection, act: Act, some: Iterable[tuple[Letter, Outcome | None, str | None]], *, by: str
) -> None:
    """*by* did this about these letters: for each what its record came to, and the reason."""
    rows = [
        {
            "consumer_group": letter.group,
            **{name: getattr(letter, name) for name in RECORD[1:]},
            "act": act.value,
            "came_to": None if came_to is None else came_to.value,
            "reason": reason,
            "done_by": by,
        }
        for letter, came_to, reason in some
    ]
    if rows:
        connection.execute(insert(letter_acts), rows)


def count_in_a_row(connection: Connection, some: Iterable[Letter]) -> None:
    """
    Count anew how many records in a row are set aside where these letters lie: those that are open, behind the last
    record that stated a fact. So a consumer that they had stopped goes on.
    """
    places = {(letter.group, letter.topic, letter.partition) for letter in some}
    for position in positions(connection, {group for group, _, _ in places}):
        if (position.group, position.topic, position.partition) in places:
            count_anew(connection, position, connection.execute(_in_a_row(position)).scalar_one())


def _in_a_row(position: Position) -> Select[Any]:
    here = (
        provenance.c.consumer_group == position.group,
        provenance.c.topic == position.topic,
        provenance.c.partition == position.partition,
        provenance.c.offset < position.next_offset,
    )
    stated = provenance.c.outcome.in_([Outcome.RECORDED.value, Outcome.DUPLICATE.value])
    last_good = select(func.coalesce(func.max(provenance.c.offset), -1)).where(*here, stated).scalar_subquery()
    counted = select(func.count()).select_from(_WITH_ITS_READING)
    return counted.where(*here, provenance.c.offset > last_good, _STATE.in_([State.OPEN.value]))


def _chosen(query: Select[Any], which: Which) -> Select[Any]:
    query = query.select_from(_WITH_ITS_READING).where(_STATE.in_([state.value for state in which.states]))
    if which.ids:
        query = query.where(dead_letters.c.id.in_(which.ids))
    if which.group is not None:
        query = query.where(dead_letters.c.consumer_group == which.group)
    if which.because is not None:
        query = query.where(dead_letters.c.reason.contains(which.because, autoescape=True))
    return query


def _letter(row: Row[Any]) -> Letter:
    named = {name: base64.b64decode(value or "") for name, value in row.headers}
    return Letter(
        id=row.id,
        group=row.consumer_group,
        **{name: row._mapping[name] for name in RECORD[1:]},
        state=State(row.state),
        reason=row.reason,
        appended_at=row.appended_at,
        set_aside_at=row.set_aside_at,
        event=row.event_id or named.get("ce_id", b"").decode(errors="replace") or None,
        event_type=row.event_type or named.get("ce_type", b"").decode(errors="replace") or None,
    )
