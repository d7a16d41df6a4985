"""
Which records a replay reads: from what an operator asks for to spans of the log. Pure.

A replay reads what its groups have read before; what they have not, they will read themselves.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from consumers.record import Partition
from entitlements.ledger import Position
from entitlements.replays import Span

END = 1 << 62
"""Behind every offset: a span that is asked for without an end."""

_OFFSETS = re.compile(r"(?P<topic>[A-Za-z0-9._-]+)-(?P<partition>\d{1,6}):(?P<start>\d{0,18})-(?P<end>\d{0,18})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """What can be read again of a partition: Kafka has it from *beginning* on, the groups have read it up to *read*."""

    beginning: int
    read: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """*spans* in order; of what was asked for, *gone* records are not in Kafka, *unread* no group has read yet."""

    spans: tuple[Span, ...]
    gone: int
    unread: int

    @property
    def count(self) -> int:
        """Records that are going to be read."""
        return sum(span.count for span in self.spans)


def offsets_asked(text: str) -> Span:
    """
    `billing.events.v1-3:100-200`: the records of partition 3 from 100 on, up to and without 200; both may be left out.

    Raises `ValueError`, whose text says what is wrong.
    """
    found = _OFFSETS.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not TOPIC-PARTITION:FROM-TO, such as billing.events.v1-3:100-200")
    start, end = int(found["start"] or 0), int(found["end"]) if found["end"] else END
    if start >= end:
        raise ValueError(f"{text!r} has no record: it ends where it begins, or before")
    return Span(topic=found["topic"], partition=int(found["partition"]), start=start, end=end)


def spans_of(addresses: Iterable[tuple[str, int, int]]) -> tuple[Span, ...]:
    """Records by their addresses, those next to each other as one span."""
    spans: list[Span] = []
    for topic, partition, offset in sorted(set(addresses)):
        last = spans[-1] if spans else None
        if last is not None and (last.topic, last.partition, last.end) == (topic, partition, offset):
            spans[-1] = Span(topic=topic, partition=partition, start=last.start, end=offset + 1)
        else:
            spans.append(Span(topic=topic, partition=partition, start=offset, end=offset + 1))
    return tuple(spans)


def between(
    since: Mapping[Partition, int | None] | None,
    until: Mapping[Partition, int | None] | None,
    partitions: Collection[Partition],
) -> tuple[Span, ...]:
    """
    What Kafka had from one moment on up to another, by the first offset of each partition at those moments.

    None in place of an offset: that moment is behind the partition's last record; in place of both: no bound.
    """
    spans = []
    for partition in sorted(partitions):
        start = 0 if since is None else since[partition]
        end = None if until is None else until[partition]
        if start is not None and start < (END if end is None else end):
            spans.append(Span(topic=partition[0], partition=partition[1], start=start, end=END if end is None else end))
    return tuple(spans)


def plan(asked: Iterable[Span], known: Mapping[Partition, Extent], ends: Mapping[Partition, int]) -> Plan:
    """
    The part of *asked* that can be read again, overlaps once. *ends* are the log's, *known* what can be read of the
    partitions that the groups read. Raises `ValueError` for a partition that is none of these.
    """
    found: list[Span] = []
    gone = unread = 0
    for span in _joined(asked):
        partition = (span.topic, span.partition)
        if partition not in known:
            names = ", ".join(f"{topic}-{number}" for topic, number in sorted(known)) or "none"
            raise ValueError(
                f"{span.topic}-{span.partition} is not read by these groups; what they have read is {names}"
            )
        extent, end = known[partition], min(span.end, ends[partition])
        start = max(span.start, extent.beginning)
        gone += max(0, min(end, extent.beginning) - span.start) if span.start else 0
        unread += max(0, end - max(start, extent.read))
        if start < min(end, extent.read):
            found.append(Span(topic=span.topic, partition=span.partition, start=start, end=min(end, extent.read)))
    return Plan(spans=tuple(found), gone=gone, unread=unread)


def extents_read(positions: Iterable[Position], beginnings: Mapping[Partition, int]) -> dict[Partition, Extent]:
    """What can be read again: of each partition as far as every group that reads it has come."""
    read: dict[Partition, int] = {}
    for position in positions:
        partition = (position.topic, position.partition)
        read[partition] = min(position.next_offset, read.get(partition, position.next_offset))
    return {each: Extent(beginning=beginnings[each], read=next_offset) for each, next_offset in read.items()}


def _joined(asked: Iterable[Span]) -> list[Span]:
    joined: list[Span] = []
    for span in sorted(asked, key=lambda each: (each.topic, each.partition, each.start)):
        last = joined[-1] if joined else None
        if last is not None and (last.topic, last.partition) == (span.topic, span.partition) and span.start <= last.end:
            joined[-1] = Span(topic=span.topic, partition=span.partition, start=last.start, end=max(last.end, span.end))
        else:
            joined.append(span)
    return joined
