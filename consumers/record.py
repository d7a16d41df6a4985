"""A record of the log and where it stands, free of any Kafka client. Pure."""

from __future__ import annotations

from dataclasses import dataclass

Partition = tuple[str, int]
"""Topic and number; equal to kafka-python's TopicPartition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """
    A record of the log; *timestamp* in milliseconds since 1970, the broker's (LogAppendTime), or -1.

    Where *unreadable* says why the client could not unpack it, there is neither key nor value nor header.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    unreadable: str | None = None

    @property
    def next_offset(self) -> int:
        """What is committed once this record is done with."""
        return self.offset + 1

    @property
    def source(self) -> Partition:
        """The partition it came from."""
        return self.topic, self.partition
