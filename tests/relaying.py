"""Relays and boundaries at work as processes run them, on real servers, and what they put on the topic. Edge."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import sqlalchemy as sa
from kafka import KafkaAdminClient, KafkaConsumer
from kafka.errors import KafkaError
from kafka.structs import TopicPartition
from prometheus_client import CollectorRegistry, generate_latest

from consumers import boundaries, relay
from consumers.feed_metrics import BoundaryMetrics, RelayMetrics
from consumers.feed_topic import FeedTopic
from consumers.log import Source
from consumers.telling import Health
from entitlements import feed
from ops.database import engine
from schemas.access_change import AccessChange
from schemas.codec import decode_change
from tests.feeding import SCHEMA, SETTINGS_SCHEMA, fed, learnt
from tests.stated import catalog

PATIENCE_S = 30.0
PARTITIONS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A database with a catalog, and a compacted topic of the test's own."""

    url: str
    engine: sa.Engine
    source: Source
    topic: str

    @contextmanager
    def relaying(
        self,
        *,
        open_topic: Callable[[str], FeedTopic] | None = None,
        on_round: Callable[[], object] = lambda: None,
    ) -> Iterator[list[Health]]:
        """A relay at work, as a process runs it; what it said of its health."""
        said: list[Health] = []
        registry = CollectorRegistry()
        with self._running(
            lambda database, stop: relay.run(
                database,
                open_topic or partial(FeedTopic, self.source, topic=self.topic),
                clock=lambda: datetime.now(UTC),
                retention=timedelta(days=7),
                stop=stop,
                counting=RelayMetrics(registry),
                on_health=said.append,
                on_round=on_round,
            )
        ):
            yield said
        assert b"entitle_feed_head" in generate_latest(registry)

    @contextmanager
    def announcing(self) -> Iterator[None]:
        """A process of boundaries at work."""
        with self._running(
            lambda database, stop: boundaries.run(
                database,
                clock=lambda: datetime.now(UTC),
                stop=stop,
                counting=BoundaryMetrics(CollectorRegistry(), lambda: datetime.now(UTC)),
            )
        ):
            yield

    @contextmanager
    def _running(self, work: Callable[[sa.Engine, threading.Event], None]) -> Iterator[None]:
        stop = threading.Event()
        made = sa.make_url(self.url).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
        own = engine(made, SCHEMA, settings_schema=SETTINGS_SCHEMA, connections=1)
        thread = threading.Thread(target=work, args=(own, stop))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(PATIENCE_S)
            own.dispose()
            assert not thread.is_alive()

    def published(self) -> list[AccessChange]:
        """All on the topic, as a reader of what is committed sees it, by partition."""
        return published(self.source, self.topic)

    def all_is_published(self) -> bool:
        """Whether nothing waits, and all that has a number is on the topic."""
        with self.engine.begin() as connection:
            waits = bool(feed.waiting(connection, most=1))  # first: what is numbered in between is in the position then
            position = feed.position(connection)
            return not waits and position.published == position.head > 0


def published(source: Source, topic: str) -> list[AccessChange]:
    """All on *topic*, as a reader of what is committed sees it, by partition."""
    consumer = KafkaConsumer(
        bootstrap_servers=source.bootstrap, isolation_level="read_committed", enable_auto_commit=False
    )
    places = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    ends, found = consumer.end_offsets(places), []
    while any(consumer.position(place) < ends[place] for place in places):
        for records in consumer.poll(timeout_ms=200).values():
            for record in records:
                state = decode_change(record.value, record.headers)
                assert record.key.decode() == f"{state.integration}|{state.customer}"
                found.append(state)
    consumer.close()
    return found


@contextmanager
def grounded(kafka: str, database: str) -> Iterator[Ground]:
    """Such a ground on these servers; its topic is deleted in the end."""
    topic = f"changes-{uuid.uuid4().hex}"
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.create_topics(
        {topic: {"num_partitions": PARTITIONS, "replication_factor": 1, "configs": {"cleanup.policy": "compact"}}},
        wait_for_metadata=True,
    )
    try:
        with fed(database) as on:
            learnt(on, catalog())
            yield Ground(url=database, engine=on, source=Source(bootstrap=kafka), topic=topic)
        with suppress(KafkaError):
            admin.delete_topics([topic])
    finally:
        admin.close()


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:.0f} s: {what}"
        time.sleep(0.02)


def end_sessions(ground: Ground) -> None:
    """Postgres ends the session of the relay at work, as when it is restarted."""
    with ground.engine.begin() as connection:
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')"
            )
        )
