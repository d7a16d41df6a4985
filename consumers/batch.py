"""
One batch: decode, decide, and one transaction for all that came of it. Edge: Postgres, in the caller's transactions.

Knows no Kafka. Every record ends, in every group that reads it, in one of four outcomes: recorded, duplicate, ignored,
dead letter. Long because what a batch is made of and what becomes of it are read together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection

from consumers import provenance
from consumers.failures import Failure, TooManyDeadLetters, classify, reason
from consumers.record import Partition, Record
from entitlements import ledger
from entitlements.ledger import Outcome, Position
from schemas.codec import InvalidMessage, Message


class Fact(Protocol):
    """What a group states: opaque here but for its identity and whom it concerns."""

    @property
    def digest(self) -> bytes:
        """SHA-256 of its content; facts of one digest are one fact."""

    @property
    def integration(self) -> str | None:
        """Whose it is; None where it concerns every integration."""

    @property
    def customer(self) -> str | None:
        """Whom it concerns; None where that is not known or it concerns everyone."""


F = TypeVar("F", bound=Fact)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group(Generic[F]):
    """
    A consumer group: what it reads, how it decides, how its facts are written.

    *decide* is pure; no facts means that the message is ignored, `InvalidMessage` that it is a dead letter. *record*
    writes all facts of a batch, in which a digest may occur twice, never commits, and returns the digests of those
    that were new or changed something.
    """

    name: str
    topics: tuple[str, ...]
    decide: Callable[[Message], Sequence[F]]
    record: Callable[[Connection, Sequence[F]], Collection[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a record came to in a group; *shown* is what `shown_by` finds in it, *error* why it was set aside."""

    record: Record
    shown: Mapping[str, Any]
    facts: Sequence[Fact]
    outcome: Outcome
    error: Exception | None = None


Positions = Mapping[tuple[str, Partition], Position]
"""Where each group goes on in each partition, by the group's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """
    A batch that is committed: where each group goes on, what became of the records, in their order, and which facts
    were new or changed something.
    """

    positions: Positions
    verdicts: Mapping[str, Sequence[Verdict]]
    learnt: Mapping[str, Sequence[Fact]]


Transaction = Callable[[], AbstractContextManager[Connection]]
Keep = Callable[[Connection, Positions, Taken], None]
"""Notes in the batch's transaction what it came to, given the positions before it. Raises where it must not count."""


def advance(connection: Connection, before: Positions, taken: Taken) -> None:
    """What a consumer keeps: where its groups go on. Raises `Fenced` where another instance was faster."""
    moved = ((before[key], now) for key, now in taken.positions.items() if now != before[key])
    ledger.advance(connection, moved)


Decode = Callable[[str, bytes | None, Iterable[tuple[str, bytes]]], Message]


def take(
    transaction: Transaction,
    decode: Decode,
    groups: Sequence[Group[Any]],
    records: Sequence[Record],
    positions: Positions,
    limit: int,
    keep: Keep = advance,
) -> Taken:
    """
    Record *records* in every group that has not done so yet, and move the groups' positions, all or nothing.

    Where the database refuses something that may be one record's fault, the batch is done again record by record, and
    the guilty ones alone are set aside. Raises `Fenced` where another instance was faster, `TooManyDeadLetters` where
    more than *limit* in a row of one partition would be set aside, once those up to the limit are, so that they can be
    looked at; and what is transient or a bug as it comes.

    A replay and a redrive *keep* something else than the groups' positions.
    """
    try:
        return _taken(transaction, decode, groups, records, positions, limit, keep)
    except TooManyDeadLetters as stop:
        if before := [record for record in records if record.source != stop.source or record.offset < stop.offset]:
            take(transaction, decode, groups, before, positions, limit, keep)
        raise


def _taken(
    transaction: Transaction,
    decode: Decode,
    groups: Sequence[Group[Any]],
    records: Sequence[Record],
    positions: Positions,
    limit: int,
    keep: Keep,
) -> Taken:
    decided: dict[str, list[Verdict]] = {group.name: [] for group in groups}
    for record in records:
        message = _read(decode, record)  # not kept: let go one by one, they stay within the processor's caches
        shown = provenance.shown_by(None if isinstance(message, InvalidMessage) else message)
        for group in groups:
            position = positions.get((group.name, record.source))
            if position is not None and record.offset >= position.next_offset:
                decided[group.name].append(_verdict(group, record, message, shown))
    try:
        with transaction() as connection:
            return _write(connection, groups, decided, positions, limit, keep, _record_together)
    except Exception as error:
        if classify(error) is not Failure.POISON:
            raise
    with transaction() as connection:
        return _write(connection, groups, decided, positions, limit, keep, _record_one_by_one)


def _read(decode: Decode, record: Record) -> Message | InvalidMessage:
    try:
        if record.unreadable is not None:
            raise InvalidMessage(record.unreadable)
        return decode(record.topic, record.value, record.headers)
    except InvalidMessage as error:
        return error


def _verdict(group: Group[Any], record: Record, message: Message | InvalidMessage, shown: Mapping[str, Any]) -> Verdict:
    if isinstance(message, InvalidMessage):
        return Verdict(record=record, shown=shown, facts=(), outcome=Outcome.DEAD_LETTER, error=message)
    try:
        facts = tuple(group.decide(message))
    except InvalidMessage as error:
        return Verdict(record=record, shown=shown, facts=(), outcome=Outcome.DEAD_LETTER, error=error)
    return Verdict(record=record, shown=shown, facts=facts, outcome=Outcome.DUPLICATE if facts else Outcome.IGNORED)


Recording = Callable[[Connection, Group[Any], Sequence[Verdict]], tuple[list[Verdict], set[bytes]]]


def _write(
    connection: Connection,
    groups: Sequence[Group[Any]],
    decided: Mapping[str, Sequence[Verdict]],
    positions: Positions,
    limit: int,
    keep: Keep,
    recording: Recording,
) -> Taken:
    verdicts: dict[str, Sequence[Verdict]] = {}
    learnt: dict[str, Sequence[Fact]] = {}
    moves: dict[tuple[str, Partition], Position] = {}
    for group in groups:
        verdicts[group.name], new = recording(connection, group, decided[group.name])
        moves |= _moves(group.name, verdicts[group.name], positions, limit)
        letters = [
            provenance.dead_letter(positions[group.name, verdict.record.source], verdict.record, verdict.error)
            for verdict in verdicts[group.name]
            if verdict.error is not None
        ]
        ledger.write_dead_letters(connection, letters)
        ledger.write_provenance(
            connection,
            [
                provenance.row(group.name, of.record, of.shown, of.outcome, (fact.digest for fact in of.facts))
                for of in verdicts[group.name]
            ],
        )
        facts = (fact for verdict in verdicts[group.name] for fact in verdict.facts)
        learnt[group.name] = [*{digest: fact for fact in facts if (digest := fact.digest) in new}.values()]
        ledger.write_changes(connection, group.name, {_concerned(fact) for fact in learnt[group.name]})
    taken = Taken(positions={**positions, **moves}, verdicts=verdicts, learnt=learnt)
    keep(connection, positions, taken)
    return taken


def _concerned(fact: Fact) -> tuple[str | None, str | None, str | None]:
    """Whose integration, which customer or, where a fact names none, by which payment it can be found."""
    return fact.integration, fact.customer, None if fact.customer else getattr(fact, "payment", None)


def _record_together(
    connection: Connection, group: Group[Any], verdicts: Sequence[Verdict]
) -> tuple[list[Verdict], set[bytes]]:
    facts = [fact for verdict in verdicts for fact in verdict.facts]
    new = set(group.record(connection, facts)) if facts else set()
    unclaimed = set(new)
    final = []
    for verdict in verdicts:
        # The first record of a batch that states a new fact has recorded it: as if records came one at a time.
        claimed = unclaimed.intersection(fact.digest for fact in verdict.facts)
        unclaimed -= claimed
        final.append(replace(verdict, outcome=Outcome.RECORDED) if claimed else verdict)
    return final, new


def _record_one_by_one(
    connection: Connection, group: Group[Any], verdicts: Sequence[Verdict]
) -> tuple[list[Verdict], set[bytes]]:
    final: list[Verdict] = []
    new: set[bytes] = set()
    for verdict in verdicts:
        if not verdict.facts:
            final.append(verdict)
            continue
        try:
            with connection.begin_nested():
                [recorded], its_new = _record_together(connection, group, [verdict])
        except Exception as error:
            if classify(error) is not Failure.POISON:
                raise
            final.append(replace(verdict, facts=(), outcome=Outcome.DEAD_LETTER, error=error))
        else:
            final.append(recorded)
            new |= its_new
    return final, new


def _moves(
    group: str, verdicts: Sequence[Verdict], positions: Positions, limit: int
) -> dict[tuple[str, Partition], Position]:
    moves: dict[tuple[str, Partition], Position] = {}
    for verdict in verdicts:
        record, key = verdict.record, (group, verdict.record.source)
        position = moves.get(key, positions[key])
        in_a_row = position.dead_letters_in_a_row
        if verdict.error is not None:
            in_a_row += 1
        elif verdict.facts:  # an ignored message proves nothing: most types are, whatever state the reading is in
            in_a_row = 0
        if in_a_row > limit and verdict.error is not None:
            raise TooManyDeadLetters(
                f"{group} has set aside {in_a_row - 1} records in a row of {record.topic}-{record.partition}, and the "
                f"next one can't be read either (offset {record.offset}: {reason(verdict.error)}). Rather the program "
                f"is wrong than all of them. See `entitle dead-letters list --group {group}`. If the program is wrong, "
                f"start a version that can read them, then `entitle dead-letters redrive --group {group}`. If they are "
                f"really bad, `entitle dead-letters discard --group {group} --reason …` lets it go on.",
                source=record.source,
                offset=record.offset,
            )
        moves[key] = replace(position, next_offset=record.next_offset, dead_letters_in_a_row=in_a_row)
    return moves
