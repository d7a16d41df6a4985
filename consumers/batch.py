"""
One batch: decode, decide, and one transaction for all that came of it. Knows no Kafka; the caller opens transactions.

Every record ends, in every group that reads it, in one of four outcomes: recorded, duplicate, ignored, dead letter.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from sqlalchemy import Connection

from consumers.failures import Failure, TooManyDeadLetters, classify, detail, reason
from consumers.log import Partition, Record
from entitlements import ledger
from entitlements.ledger import Outcome, Position
from schemas.codec import CATALOG_APPLIED, CatalogApplied, InvalidMessage, Message, StripeMessage, decode

LONGEST_ID = 500
"""Characters of an id that provenance keeps; Stripe's end at 255, and an index takes no more than 2,700 bytes."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """
    A consumer group: what it reads, how it decides, how its facts are written.

    *decide* is pure; no facts means that the message is ignored, `InvalidMessage` that it is a dead letter. *record*
    writes all facts of a batch, in which a digest may occur twice, never commits, and returns the digests of those
    that were new or changed something.
    """

    name: str
    topics: tuple[str, ...]
    decide: Callable[[Message], Sequence[Any]]
    record: Callable[[Connection, Sequence[Any]], Collection[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a record came to in a group; *error* is why it was set aside."""

    record: Record
    message: Message | None
    facts: Sequence[Fact]
    outcome: Outcome
    error: Exception | None = None


Positions = Mapping[tuple[str, Partition], Position]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A batch that is committed: where each group goes on, and what the records came to."""

    positions: Positions
    verdicts: Mapping[str, Sequence[Verdict]]

    def outcomes(self, group: str) -> Counter[Outcome]:
        """How many of the group's records ended in which outcome."""
        return Counter(verdict.outcome for verdict in self.verdicts[group])


Transaction = Callable[[], AbstractContextManager[Connection]]


def take(
    transaction: Transaction, groups: Sequence[Group], records: Sequence[Record], positions: Positions, limit: int
) -> Taken:
    """
    Record *records* in every group that has not recorded them yet, and move the groups' positions, all or nothing.

    Where the database refuses something that may be one record's fault, the batch is done again record by record, and
    the guilty ones alone are set aside. Raises `Fenced` where another instance was faster, `TooManyDeadLetters` where
    more than *limit* in a row of one partition would be, and whatever is transient or a bug as it comes.
    """
    verdicts = {group.name: _decide(group, records, positions) for group in groups}
    try:
        with transaction() as connection:
            return _write(connection, groups, verdicts, positions, limit, _record_together)
    except Exception as error:
        if classify(error) is not Failure.POISON:
            raise
    with transaction() as connection:
        return _write(connection, groups, verdicts, positions, limit, _record_one_by_one)


def _decide(group: Group, records: Sequence[Record], positions: Positions) -> list[Verdict]:
    return [
        _verdict(group, record)
        for record in records
        if (position := positions.get((group.name, record.source))) and record.offset >= position.next_offset
    ]


def _verdict(group: Group, record: Record) -> Verdict:
    message = None
    try:
        message = decode(record.topic, record.value, record.headers)
        facts = tuple(group.decide(message))
    except InvalidMessage as error:
        return Verdict(record=record, message=message, facts=(), outcome=Outcome.DEAD_LETTER, error=error)
    return Verdict(record=record, message=message, facts=facts, outcome=Outcome.DUPLICATE if facts else Outcome.IGNORED)


Recording = Callable[[Connection, Group, Sequence[Verdict]], tuple[list[Verdict], set[bytes]]]


def _write(
    connection: Connection,
    groups: Sequence[Group],
    decided: Mapping[str, Sequence[Verdict]],
    positions: Positions,
    limit: int,
    recording: Recording,
) -> Taken:
    final: dict[str, Sequence[Verdict]] = {}
    moved: dict[tuple[str, Partition], Position] = {}
    for group in groups:
        verdicts, new = recording(connection, group, decided[group.name])
        moves = _moves(group, verdicts, positions, limit)
        ledger.write_dead_letters(connection, [_dead_letter(row, moves) for row in _dead(group, verdicts)])
        ledger.write_provenance(connection, [_provenance(group, verdict) for verdict in verdicts])
        concerned = {(fact.integration, fact.customer) for verdict in verdicts for fact in verdict.facts if fact.digest in new}
        ledger.write_changes(connection, group.name, concerned)
        final[group.name] = verdicts
        moved |= moves
    ledger.advance(connection, [(positions[key], new_position) for key, new_position in moved.items()])
    return Taken(positions={**positions, **moved}, verdicts=final)
