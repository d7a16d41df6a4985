"""
What each record comes to in each group that reads it, decided and not yet recorded. Pure.

A record is decoded once, whatever the number of groups.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection

from consumers import provenance
from consumers.record import Partition, Record
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


def kafka_group(groups: Iterable[str]) -> str:
    """
    The group of Kafka's that a process for *groups* is a member of: of one its own name, of several all their names.

    The same in whichever order they are given, so that all processes of one command share the partitions.
    """
    return "+".join(sorted(groups))


Positions = Mapping[tuple[str, Partition], Position]
"""Where each group goes on in each partition, by the group's name."""


def furthest_behind(positions: Positions) -> dict[Partition, int]:
    """The next offset that some group has still to see, of each partition: who is further passes over what it has."""
    found: dict[Partition, int] = {}
    for (_, partition), row in positions.items():
        found[partition] = min(row.next_offset, found.get(partition, row.next_offset))
    return found


Decode = Callable[[str, bytes | None, Iterable[tuple[str, bytes]]], Message]


def decided(
    decode: Decode, groups: Sequence[Group[Any]], records: Sequence[Record], positions: Positions
) -> Mapping[str, Sequence[Verdict]]:
    """By group, what *records* come to in those that have not recorded them yet; a bug is raised as it comes."""
    found: dict[str, list[Verdict]] = {group.name: [] for group in groups}
    for record in records:
        message = _read(decode, record)  # not kept: let go one by one, they stay within the processor's caches
        shown = provenance.shown_by(None if isinstance(message, InvalidMessage) else message)
        for group in groups:
            position = positions.get((group.name, record.source))
            if position is not None and record.offset >= position.next_offset:
                found[group.name].append(_verdict(group, record, message, shown))
    return found


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
