"""
The log as the runner sees it: a Kafka consumer whose partitions stand still until they are settled. Edge: Kafka.

kafka-python calls the listener on its I/O thread, the one that sends heartbeats, always while `poll` is waiting for it.
So the listener pauses and remembers, and nothing else; reading Postgres, seeking and resuming are the runner's.
Long because all that kafka-python's consumer has to be told and guarded against stands in it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from kafka import KafkaConsumer
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.errors import (
    CorruptRecordError,
    InconsistentTopicIdError,
    KafkaError,
    LogTruncationError,
    NoOffsetForPartitionError,
    OffsetNotAvailableError,
    OffsetOutOfRangeError,
)
from kafka.net.compat import KafkaNetClient
from kafka.structs import OffsetAndMetadata, TopicPartition

from consumers.failures import AnotherLog, OffsetOutOfRange
from consumers.record import Partition, Record
from consumers.unpacking import record_of, unpacked
from schemas.topics import MAX_MESSAGE_BYTES

CONNECT_MS = 2_000
ANSWER_MS = 5_000
METADATA_AGE_MS = 30_000
"""How long a topic made anew under the same name may go unnoticed, where no fetch fails for it."""

LONGEST_BATCH_MS = 60_000
POLL_SLICE_MS = 100
REST_A_RECORD_S = 0.000_05
"""
How long records may gather after a batch, for each that it had: a third of what one takes that is paid with, most of
what one takes that says nothing.
"""

COMMIT_EVERY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """
    Where the log is, and how it is read.

    *bootstrap* is a comma-separated list of host:port; *security* holds kafka-python's own `security_protocol`,
    `sasl_…` and `ssl_…`. After a kill -9 the partitions lie idle for *session_timeout_ms*. About *fetch_bytes* are had
    from Kafka at once, more only where a single batch is larger.
    """

    bootstrap: str
    security: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    max_poll_records: int = 500
    fetch_bytes: int = 4 * MAX_MESSAGE_BYTES
    session_timeout_ms: int = 6_000
    heartbeat_interval_ms: int = 2_000


class Log:
    """
    One consumer: a member of the group *group_id* for *topics*, or, without a group, the reader of just *partitions*.

    Raises a retriable KafkaError while no broker answers.
    """

    def __init__(
        self,
        source: Source,
        *,
        group_id: str | None = None,
        topics: Collection[str] = (),
        partitions: Collection[Partition] = (),
    ) -> None:
        self._is_alone = group_id is None
        self._settled: set[Partition] = set()
        self._committed_at = 0.0
        self._topic_ids: dict[str, str] = {}
        self._consumer = connected(
            KafkaConsumer,
            source,
            group_id=group_id,
            enable_auto_commit=False,  # Postgres holds the offsets; Kafka's are for lag tools
            auto_offset_reset="none",  # never start over by itself
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            max_poll_records=source.max_poll_records,
            session_timeout_ms=source.session_timeout_ms,
            heartbeat_interval_ms=source.heartbeat_interval_ms,
            max_poll_interval_ms=LONGEST_BATCH_MS,
            max_partition_fetch_bytes=source.fetch_bytes // 2,
            fetch_max_bytes=source.fetch_bytes,
            metadata_max_age_ms=METADATA_AGE_MS,
            reconnect_backoff_max_ms=1_000,
            metrics_enabled=False,
        )
        self._consumer._fetcher.PartitionRecords = unpacked
        if group_id is not None:
            self._consumer.subscribe(sorted(topics), listener=_Listener(self._consumer, self._settled))
        else:
            self._consumer.assign([TopicPartition(*partition) for partition in partitions])
            self.unsettle()

    def poll(self, seconds: float) -> list[Record]:
        """
        The next records of settled partitions, at most `max_poll_records`, waiting for the first of them.

        Returns early, with none, when a partition waits to be settled. Raises `AnotherLog` where Kafka lost records,
        `OffsetOutOfRange` where its copy is damaged, a retriable KafkaError where settling again says what is wrong.
        """
        until = time.monotonic() + seconds
        while True:
            left_ms = int(1000 * (until - time.monotonic()))
            found = self._poll_once(max(0, min(POLL_SLICE_MS, left_ms)))
            if found or self.unsettled() or time.monotonic() >= until:
                return found

    def _poll_once(self, timeout_ms: int) -> list[Record]:
        self._keep_joining()
        try:
            found = self._consumer.poll(timeout_ms=timeout_ms)
        except NoOffsetForPartitionError:  # kafka-python looks for a place to start before anyone can seek
            self.unsettle()  # all are, as a rule; one that it has forgotten would stand still unnoticed
            return []
        except OffsetOutOfRangeError as error:
            self.unsettle()
            raise OffsetNotAvailableError(f"Kafka does not have the record that comes next: {error}") from error
        except LogTruncationError as error:
            where = " ".join(sorted(f"{place.topic}-{place.partition}" for place in error.divergent_offsets))
            raise AnotherLog(
                f"Kafka has lost records of {where}: what was recorded is gone from it: go back to the Kafka that has "
                "it, or rebuild from what there is."
            ) from error
        except CorruptRecordError as error:
            places = sorted((*place, self.position(place)) for place in self.assigned() - self.unsettled())
            where = " ".join(f"{topic}-{partition}:{offset}" for topic, partition, offset in places)
            raise OffsetOutOfRange(
                f"Kafka's copy of a record is damaged: {error}; what comes next is {where}. Start again; if it stays "
                "so, restore the log of that partition on its broker, or rebuild from what there is."
            ) from error
        for topic, _ in found:
            if self._was_made_anew(topic):
                self.unsettle()
                self._consumer._cluster.request_update()
                raise InconsistentTopicIdError(f"what is called {topic} now is another topic than was settled")
        return [record_of(record) for records in found.values() for record in records]

    def assigned(self) -> frozenset[Partition]:
        """The partitions that are this reader's at the moment."""
        return frozenset((partition.topic, partition.partition) for partition in self._consumer.assignment())

    def unsettled(self) -> frozenset[Partition]:
        """The partitions that are assigned and stand still because nobody has said where to go on."""
        return self.assigned() - self._settled

    def unsettle(self) -> None:
        """Stop reading everywhere, until each partition is settled again."""
        self._consumer.pause(*self._consumer.assignment())
        self._settled.clear()

    def settle(self, partition: Partition, next_offset: int, topic_id: str) -> None:
        """Go on reading *partition* of the topic of that id from *next_offset*."""
        self._topic_ids[partition[0]] = topic_id
        self._settled.add(partition)
        self._consumer.seek(TopicPartition(*partition), next_offset)
        self._consumer.resume(TopicPartition(*partition))

    def position(self, partition: Partition) -> int:
        """The offset that would be read next, past what holds no records (a transaction's marker)."""
        return int(self._consumer.position(TopicPartition(*partition), timeout_ms=ANSWER_MS) or 0)

    def ends(self) -> dict[Partition, int]:
        """Behind the last record of each of its partitions, as Kafka has it now."""
        found = self._consumer.end_offsets(self._consumer.assignment(), timeout_ms=ANSWER_MS)
        return {(partition.topic, partition.partition): int(end) for partition, end in found.items()}

    def report(self, next_offsets: Mapping[Partition, int], *, now: bool = False) -> bool:
        """
        Tell Kafka how far Postgres is, for tools that show lag; at most once a second, and nobody fails for it.

        With *now* (before leaving) it waits for at most a second. Says whether it was sent.
        """
        if not now and time.monotonic() - self._committed_at < COMMIT_EVERY_S:
            return False
        mine = self.assigned()
        offsets = {
            TopicPartition(*partition): OffsetAndMetadata(offset, "", -1)
            for partition, offset in next_offsets.items()
            if partition in mine
        }
        with contextlib.suppress(KafkaError):
            if now:
                self._consumer.commit(offsets, timeout_ms=1_000)
            else:
                self._consumer.commit_async(offsets)
        self._committed_at = time.monotonic()
        return True

    def answers(self) -> bool:
        """Whether the group's coordinator has answered a heartbeat within the session's timeout."""
        return self._is_alone or not self._consumer._coordinator.heartbeat.session_timeout_expired()

    def close(self) -> None:
        """Leave the group, so that another instance has the partitions at once, and disconnect."""
        self._consumer.close(timeout_ms=ANSWER_MS)

    def _keep_joining(self) -> None:
        # kafka-python 3.0.12 forgets a join that outlasts the poll it began in, if changed metadata were the cause
        # (as Java's did until KAFKA-9815): no heartbeat is sent any more, and the member waits for ever, dropped.
        if self._consumer._coordinator.rejoining:
            self._consumer._coordinator.request_rejoin()

    def _was_made_anew(self, topic: str) -> bool:
        # kafka-python fetches by name, so a topic deleted and made again goes on being read, at an offset that means
        # something else; its metadata have the new id, and are refreshed on every error and every METADATA_AGE_MS.
        found = self._consumer._cluster.topic_id(topic)
        return found is not None and str(found) != self._topic_ids.get(topic)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python, which has no types, asks for it
    def __init__(self, consumer: Any, settled: set[Partition]) -> None:
        self._consumer = consumer
        self._settled = settled

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._consumer.pause(*assigned)
        self._settled.clear()

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self._settled.difference_update((partition.topic, partition.partition) for partition in revoked)


def rest_after(records: int, most: int) -> float:
    """
    How long a consumer rests after so many *records*, in seconds, so that others gather: a batch costs as much as many.
    Where there were as *most* as are read at once, others are there already.
    """
    return REST_A_RECORD_S * records if records < most else 0.0


def connected(make: Callable[..., Any], source: Source, **settings: Any) -> Any:
    """
    A client of kafka-python, connected. Raises a retriable KafkaError while no broker answers.

    Its constructors start a thread before they connect, and leave it running when that fails; this one does not.
    """
    clients: list[Any] = []

    def client(**configuration: Any) -> Any:
        clients.append(KafkaNetClient(**configuration))
        return clients[-1]

    try:
        return make(
            bootstrap_servers=source.bootstrap.split(","),
            bootstrap_timeout_ms=CONNECT_MS,
            kafka_client=client,
            **source.security,
            **settings,
        )
    except BaseException:
        for opened in clients:
            opened.close()
        raise
