"""The relay and the boundaries at work, on a real PostgreSQL and a real Kafka: one at a time, and nothing is lost."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import sqlalchemy as sa
from kafka import KafkaAdminClient, KafkaConsumer
from kafka.errors import KafkaError, NodeNotReadyError
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
from tests.feeding import SCHEMA, SETTINGS_SCHEMA, behind, disagreements, fed, learnt
from tests.stated import catalog, line, unpaid

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
    def relaying(self, *, open_topic: Callable[[str], FeedTopic] | None = None) -> Iterator[list[Health]]:
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
        consumer = KafkaConsumer(
            bootstrap_servers=self.source.bootstrap, isolation_level="read_committed", enable_auto_commit=False
        )
        places = [TopicPartition(self.topic, number) for number in range(PARTITIONS)]
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

    def all_is_published(self) -> bool:
        """Whether nothing waits, and all that has a number is on the topic."""
        with self.engine.begin() as connection:
            position = feed.position(connection)
            return not feed.waiting(connection, most=1) and position.published == position.head > 0


@pytest.fixture
def ground(kafka: str, fresh_database: str) -> Iterator[Ground]:
    topic = f"changes-{uuid.uuid4().hex}"
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.create_topics(
        {topic: {"num_partitions": PARTITIONS, "replication_factor": 1, "configs": {"cleanup.policy": "compact"}}},
        wait_for_metadata=True,
    )
    with fed(fresh_database) as on:
        learnt(on, catalog())
        yield Ground(url=fresh_database, engine=on, source=Source(bootstrap=kafka), topic=topic)
    with suppress(KafkaError):
        admin.delete_topics([topic])
    admin.close()


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:.0f} s: {what}"
        time.sleep(0.02)


def latest(states: list[AccessChange]) -> dict[str, AccessChange]:
    """The last value of each key, as compaction leaves it."""
    return {each.customer: each for each in states}


def test_the_topic_ends_as_the_table_stands(ground: Ground) -> None:
    """The last value of each key is the customer's row, in order of the numbers; and both say what would be decided."""
    with ground.relaying() as said:
        for number in range(30):
            learnt(
                ground.engine, line(f"cus_{number % 7}", invoice=f"in_{number}", line=f"il_{number}", quantity=number)
            )
        learnt(ground.engine, *unpaid("cus_owing"))
        wait_until(ground.all_is_published, "all is published")
    published = ground.published()

    assert latest(published) == {each.customer: each for each in behind(ground.engine)}
    assert len(latest(published)) == 8
    for customer in latest(published):
        numbers = [each.seq for each in published if each.customer == customer]
        assert numbers == sorted({*numbers})
    assert disagreements(ground.engine, latest(published).values(), datetime.now(UTC)) == []
    assert said[-1] == Health(ready=True, detail="at work")


def test_a_second_relay_stands_by_until_the_first_is_gone(ground: Ground) -> None:
    """One is at work; ended, its lock is free at once, and the other goes on where it was."""
    with ground.relaying() as first:
        wait_until(lambda: bool(first), "the first is at work")
        with ground.relaying() as second:
            wait_until(lambda: bool(second), "the second stands by")
            assert (first[-1].detail, second[-1].detail[:9]) == ("at work", "stands by")
            assert second[-1].ready
            learnt(ground.engine, line("cus_1"))
            wait_until(ground.all_is_published, "the first tells")
            assert len(second) == 1
            end_sessions(ground)
            wait_until(lambda: len(second) > 1 or len(first) > 2, "one of them goes on")
            learnt(ground.engine, line("cus_2"))
            wait_until(lambda: len(behind(ground.engine)) == 2, "cus_2 is told")
            wait_until(ground.all_is_published, "and published")

    assert [each.seq for each in sorted(ground.published(), key=lambda each: each.seq)] == [1, 2]


def test_a_relay_that_was_overtaken_can_publish_no_more(ground: Ground) -> None:
    """It wakes after another has begun to write, and Kafka refuses it: no older state comes behind a newer one."""
    with ground.relaying():
        learnt(ground.engine, line("cus_1"))
        wait_until(ground.all_is_published, "published")
    with ground.engine.begin() as connection:
        identity = feed.identity(connection)
    stale = FeedTopic(ground.source, identity, topic=ground.topic)
    [state] = behind(ground.engine)
    with ground.relaying():
        learnt(ground.engine, line("cus_2"))
        wait_until(ground.all_is_published, "published by its successor")
        with pytest.raises(KafkaError):
            stale.publish([state])
    stale.close()

    assert [each.customer for each in sorted(ground.published(), key=lambda each: each.seq)] == ["cus_1", "cus_2"]


def test_killed_between_kafka_and_the_table_it_publishes_again(ground: Ground) -> None:
    """The same states under the same numbers: whoever reads by key is none the wiser."""
    with ground.relaying():
        learnt(ground.engine, line("cus_1"), line("cus_2"))
        wait_until(ground.all_is_published, "published")
    with ground.engine.begin() as connection:
        feed.published(connection, 1)
    with ground.relaying():
        learnt(ground.engine, line("cus_3"))
        wait_until(ground.all_is_published, "published again")

    assert sorted((each.customer, each.seq) for each in ground.published()) == [
        ("cus_1", 1),
        ("cus_2", 2),
        ("cus_2", 2),
        ("cus_3", 3),
    ]


def test_kafka_away_holds_up_nobody_who_asks(ground: Ground) -> None:
    """The table goes on while nothing can be published; it is all published once Kafka is back."""
    away = threading.Event()
    away.set()

    def open_topic(identity: str) -> FeedTopic:
        if away.is_set():
            raise NodeNotReadyError("no broker answers")
        return FeedTopic(ground.source, identity, topic=ground.topic)

    with ground.relaying(open_topic=open_topic) as said:
        learnt(ground.engine, line("cus_1"))
        wait_until(lambda: len(behind(ground.engine)) == 1, "told")
        wait_until(lambda: bool(said) and not said[-1].ready, "not ready")
        learnt(ground.engine, line("cus_2"))
        wait_until(lambda: len(behind(ground.engine)) == 2, "told")
        assert not ground.all_is_published()
        away.clear()
        wait_until(ground.all_is_published, "published")
        wait_until(lambda: said[-1].ready, "ready again")

    assert len(ground.published()) == 2


def test_postgres_back_again_it_goes_on(ground: Ground) -> None:
    """Its session ended by somebody, a relay takes its lock anew, and tells what became due meanwhile."""
    with ground.relaying(), ground.announcing():
        learnt(ground.engine, line("cus_1"))
        wait_until(ground.all_is_published, "published")
        end_sessions(ground)
        soon = datetime.now(UTC) + timedelta(seconds=2)
        learnt(ground.engine, line("cus_2", subscription_item=None, subscription=None, period_end=soon))
        wait_until(lambda: any(each.boundaries for each in behind(ground.engine)), "its cycle's end is announced")


def test_a_boundary_is_announced_within_a_second_of_its_moment(ground: Ground) -> None:
    """A cycle ends without traffic: the feed says so, soon after, with the moment; and only once."""
    soon = datetime.now(UTC) + timedelta(seconds=2)
    with ground.relaying(), ground.announcing(), ground.announcing():
        learnt(ground.engine, line("cus_1", subscription_item=None, subscription=None, period_end=soon))
        wait_until(lambda: any(each.boundaries for each in behind(ground.engine)), "it is announced")
        late = datetime.now(UTC) - soon
        time.sleep(0.5)
        wait_until(ground.all_is_published, "published")

    told = [(each.at, each.change, each.after) for state in ground.published() for each in state.boundaries]
    assert told == [(soon, "closed", "cycle_lapsed")]
    assert late < timedelta(seconds=1.5)


def end_sessions(ground: Ground) -> None:
    """Postgres ends the session of the relay at work, as when it is restarted."""
    with ground.engine.begin() as connection:
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')"
            )
        )
