"""The runner on a real Kafka and a real PostgreSQL, with toy groups: exactly once, whatever happens to it."""

from __future__ import annotations

import contextlib
import logging
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from kafka import KafkaAdminClient, KafkaProducer
from kafka.structs import TopicPartition
from sqlalchemy.schema import CreateSchema

from consumers.extent import ends_of
from consumers.failures import AnotherLog, OffsetOutOfRange, TooManyDeadLetters
from consumers.log import METADATA_AGE_MS, Source
from consumers.runner import Health, run
from entitlements import ledger
from entitlements.tables import metadata
from tests.integration import toys
from tests.integration.toys import SCHEMA, Toy, message

PATIENCE_S = 30.0

Message = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]


@dataclass(kw_only=True)
class Yard:
    """A topic and a schema of one test's own, and ways to fill the one and look at the other."""

    kafka: str
    url: str
    topic: str
    engine: sa.Engine
    admin: Any
    producer: Any

    def source(self, **settings: Any) -> Source:
        return Source(bootstrap=self.kafka, **settings)

    def make_topic(self, partitions: int = 1) -> None:
        self.admin.create_topics({self.topic: {"num_partitions": partitions, "replication_factor": 1}})
        self.admin.wait_for_topics([self.topic])

    def put(self, messages: Iterable[Message], *, partition: int | None = None) -> None:
        for key, value, headers in messages:
            self.producer.send(self.topic, key=key, value=value, headers=headers, partition=partition)
        self.producer.flush(timeout=PATIENCE_S)

    def names(self) -> Counter[str]:
        return Counter(self.column(sa.select(toys.toys.c.name)))

    def outcomes(self) -> Counter[str]:
        return Counter(self.column(sa.select(ledger.provenance.c.outcome)))

    def next_offsets(self) -> list[int]:
        with self.engine.connect() as connection:
            return [position.next_offset for position in ledger.positions(connection)]

    def column(self, query: sa.Select[Any]) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def execute(self, statement: sa.Executable) -> None:
        with self.engine.begin() as connection:
            connection.execute(statement)

    def run(self, *groups: Any, **settings: Any) -> None:
        """The runner, here and now; ends only by itself."""
        source = settings.pop("source", self.source())
        run(groups or [toys.group(self.topic)], source, self.engine, SCHEMA, decode=toys.decode, **settings)

    def run_to_the_end(self, *groups: Any, **settings: Any) -> None:
        """A replay of what there is now."""
        self.run(*groups, until=ends_of(self.source(), [self.topic]), **settings)

    @contextlib.contextmanager
    def running(self, *groups: Any, **settings: Any) -> Iterator[threading.Event]:
        """The runner beside the test, until the block ends or sets the event; what it raises, the block raises."""
        stop = threading.Event()
        raised: list[BaseException] = []

        def work() -> None:
            try:
                self.run(*groups, stop=stop, **settings)
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield stop
        finally:
            stop.set()
            thread.join(timeout=PATIENCE_S)
            if raised:
                raise raised[0]

    @contextlib.contextmanager
    def program(
        self, *, max_poll_records: int, kafka: str | None = None, listen: bool = False
    ) -> Iterator[subprocess.Popen[bytes]]:
        """One instance in a process of its own, killed in the end; with *listen* its stderr is to be read."""
        arguments = [kafka or self.kafka, self.url, self.topic, str(max_poll_records)]
        command = [sys.executable, "-m", "tests.integration.toys", *arguments]
        with subprocess.Popen(command, stderr=subprocess.PIPE if listen else None) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture
def yard(kafka: str, fresh_database: str) -> Iterator[Yard]:
    url = sa.make_url(fresh_database).set(drivername="postgresql+psycopg2")
    engine = sa.create_engine(url, connect_args={"options": f"-csearch_path={SCHEMA}"}, hide_parameters=True)
    with engine.begin() as connection:
        connection.execute(CreateSchema(SCHEMA))
        metadata.create_all(connection)
        toys.toys.metadata.create_all(connection)
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    producer = KafkaProducer(bootstrap_servers=kafka)
    topic = f"toys-{uuid.uuid4().hex}"
    yield Yard(kafka=kafka, url=fresh_database, topic=topic, engine=engine, admin=admin, producer=producer)
    with contextlib.suppress(Exception):
        admin.delete_topics([topic])
    producer.close()
    admin.close()
    engine.dispose()


def wait_until(true: Callable[[], bool], what: str, patience: float = PATIENCE_S) -> None:
    """Look again and again until it is so; a failure after *patience* seconds."""
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline, f"not within {patience:.0f} s: {what}"
        time.sleep(0.02)


def numbered(count: int, prefix: str = "toy") -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


def test_each_record_is_recorded_once_and_the_rows_say_where_to_go_on(yard: Yard) -> None:
    """What is on the topic is in the table once; outcomes, changes and next offsets are those of the records."""
    yard.make_topic()
    yard.put([message("a"), message("b"), message("a"), message("c", kind="toy.ignored")])

    yard.run_to_the_end()

    assert yard.names() == Counter("ab")
    assert yard.outcomes() == Counter(recorded=2, duplicate=1, ignored=1)
    assert yard.next_offsets() == [4]
    assert yard.column(sa.select(ledger.changes.c.customer)) == ["cus_1"]
    with yard.engine.connect() as connection:
        first = connection.execute(sa.select(ledger.provenance).order_by("offset")).mappings().first()
    assert first is not None
    assert tuple(first[name] for name in ("integration", "event_id", "event_type", "object_id")) == (
        "main",
        "a",
        "toy.named",
        "in_1",
    )
    assert [Toy(name="a").digest] == [bytes(digest) for digest in first["facts"]]


def test_batching_leaves_the_same_rows(yard: Yard) -> None:
    """One record a batch and all in one batch come to the same facts and outcomes."""
    yard.make_topic()
    yard.put([message(name) for name in "abacbd"] + [(None, b"{", [])])
    yard.run_to_the_end(source=yard.source(max_poll_records=1))
    one_by_one = yard.outcomes(), yard.names()
    for table in (toys.toys, ledger.provenance, ledger.dead_letters, ledger.consumer_offsets):
        yard.execute(sa.delete(table))

    yard.run_to_the_end()

    assert one_by_one == (yard.outcomes(), yard.names())


def test_kill_9_of_one_of_two_instances_loses_and_doubles_nothing(yard: Yard) -> None:
    """An instance killed in mid-run leaves no trace: every name once, every record one outcome, the end reached."""
    yard.make_topic(partitions=4)
    count = 4000
    yard.put([message(name) for name in numbered(count)])

    with yard.program(max_poll_records=20) as first, yard.program(max_poll_records=20) as second:
        wait_until(lambda: sum(yard.next_offsets()) > count // 8, "an eighth is read")
        first.send_signal(signal.SIGKILL)
        yard.put([message(name) for name in numbered(count, "later")])
        wait_until(lambda: sum(yard.next_offsets()) == 2 * count, "all is read")
        second.send_signal(signal.SIGTERM)
        assert second.wait(PATIENCE_S) == 0

    assert yard.names() == Counter(numbered(count) + numbered(count, "later"))
    assert yard.outcomes() == Counter(recorded=2 * count)


def test_poison_is_set_aside_and_its_neighbours_are_recorded(yard: Yard) -> None:
    """Unreadable bytes, an unreadable message, a value the database refuses: dead letters with reason and address."""
    yard.make_topic()
    unreadable: Message = (b"key", b"{\x00", [("h\x00", b"\xff")])
    yard.put([message("a"), unreadable, message("unreadable"), message("b\x00"), (b"key", None, []), message("c")])

    yard.run_to_the_end()

    assert yard.names() == Counter("ac")
    assert yard.next_offsets() == [6]
    with yard.engine.connect() as connection:
        letters = connection.execute(sa.select(ledger.dead_letters).order_by("offset")).mappings().all()
    assert [letter["offset"] for letter in letters] == [1, 2, 3, 4]
    assert {yard.topic} == {letter["topic"] for letter in letters}
    assert "the value is not JSON" in letters[0]["reason"]
    assert letters[1]["reason"] == "nobody can read this name"
    assert "NUL" in letters[2]["reason"]
    assert letters[3]["reason"] == "the record has no value"
    assert (bytes(letters[0]["key"]), bytes(letters[0]["value"])) == (b"key", b"{\x00")
    assert letters[0]["headers"] == [["h\\x00", "/w=="]]
    assert all("Traceback" in letter["detail"] for letter in letters)


def test_a_replay_in_place_doubles_no_dead_letter(yard: Yard) -> None:
    """Reading a partition again from its beginning leaves one dead letter and one outcome of each record."""
    yard.make_topic()
    yard.put([message("a"), message("unreadable")])
    yard.run_to_the_end()
    yard.execute(sa.update(ledger.consumer_offsets).values(next_offset=0))

    yard.run_to_the_end()

    assert yard.column(sa.select(ledger.dead_letters.c.offset)) == [1]
    assert yard.outcomes() == Counter(duplicate=1, dead_letter=1)


def test_an_instance_whose_row_was_moved_rolls_back_and_goes_on_from_the_row(
    yard: Yard, caplog: pytest.LogCaptureFixture
) -> None:
    """Fencing: nothing of the stale batch stays, and what comes after the row's offset is recorded."""
    yard.make_topic()
    yard.put([message("stale-1"), message("stale-2")])
    moved: list[bool] = []

    def record_while_another_is_faster(connection: sa.Connection, facts: Sequence[Toy]) -> frozenset[bytes]:
        if not moved:
            moved.append(True)
            yard.execute(sa.update(ledger.consumer_offsets).values(next_offset=2))
        return toys.record(connection, facts)

    with caplog.at_level(logging.WARNING), yard.running(toys.group(yard.topic, record=record_while_another_is_faster)):
        wait_until(lambda: "another instance has recorded" in caplog.text, "fenced")
        yard.put([message("fresh")])
        wait_until(lambda: yard.next_offsets() == [3], "the fresh one is read")

    assert yard.names() == Counter(["fresh"])
    assert yard.outcomes() == Counter(recorded=1)


def test_another_topic_of_the_same_name_is_refused(yard: Yard) -> None:
    """A topic made anew is another log: the consumer stops, says both ids, and records nothing."""
    yard.make_topic()
    yard.put([message("a")])
    yard.run_to_the_end()
    yard.admin.delete_topics([yard.topic])
    wait_until(lambda: yard.topic not in yard.admin.list_topics(), "deleted")
    yard.make_topic()
    yard.put([message("b"), message("c")])

    with pytest.raises(AnotherLog, match=r"topic id .* rebuild"):
        yard.run()

    assert yard.names() == Counter("a")


def test_a_topic_made_anew_while_the_consumer_was_not_looking_stops_it(yard: Yard) -> None:
    """
    kafka-python goes on by name, at an offset that means something else; the runner sees the other id and stops.

    At once where a fetch was under way, else when the metadata are next refreshed.
    """
    yard.make_topic()
    yard.put([message("a")])

    def is_over() -> bool:
        yard.put([message("b")])
        time.sleep(0.5)
        return process.poll() is not None

    with yard.program(max_poll_records=20, listen=True) as process:
        wait_until(lambda: yard.next_offsets() == [1], "the old one is read")
        time.sleep(0.7)
        process.send_signal(signal.SIGSTOP)
        yard.admin.delete_topics([yard.topic])
        wait_until(lambda: yard.topic not in yard.admin.list_topics(), "deleted")
        yard.make_topic()
        yard.put([message("b"), message("b")])
        process.send_signal(signal.SIGCONT)
        wait_until(is_over, "it stops", patience=METADATA_AGE_MS / 1000 + PATIENCE_S)
        assert process.stderr is not None
        said = process.stderr.read()

    assert process.returncode == 1
    assert b"AnotherLog: toys has recorded" in said


def test_another_cluster_is_refused(yard: Yard) -> None:
    """Offsets recorded from another Kafka mean nothing here: the consumer stops and says both ids."""
    yard.make_topic()
    yard.put([message("a")])
    yard.run_to_the_end()
    yard.execute(sa.update(ledger.consumer_offsets).values(cluster_id="of-old"))

    with pytest.raises(AnotherLog, match="cluster of-old"):
        yard.run()


def test_an_offset_beyond_the_end_is_refused(yard: Yard) -> None:
    """A log that is shorter than what was recorded of it has lost records: the consumer stops and says so."""
    yard.make_topic()
    yard.put([message("a")])
    yard.run_to_the_end()
    yard.execute(sa.update(ledger.consumer_offsets).values(next_offset=7))

    with pytest.raises(OffsetOutOfRange, match=r"offset 7 .* \[0, 1\)"):
        yard.run()


def test_an_offset_that_retention_has_taken_is_refused(yard: Yard) -> None:
    """Records that were deleted before they were recorded stop the consumer; it does not skip them."""
    yard.make_topic()
    yard.put([message("a"), message("b"), message("c")])
    yard.run_to_the_end()
    yard.execute(sa.update(ledger.consumer_offsets).values(next_offset=1))
    yard.admin.delete_records({TopicPartition(yard.topic, 0): 2})

    with pytest.raises(OffsetOutOfRange, match=r"offset 1 .* \[2, 3\)"):
        yard.run()


def test_a_group_without_a_row_starts_where_the_log_starts(yard: Yard) -> None:
    """A new group begins with the oldest record there is, even if that is not offset 0."""
    yard.make_topic()
    yard.put([message("a"), message("b"), message("c")])
    yard.admin.delete_records({TopicPartition(yard.topic, 0): 2})

    yard.run_to_the_end()

    assert yard.names() == Counter("c")


def test_who_stops_leaves_the_group_at_once(yard: Yard) -> None:
    """The other instance has all partitions long before the session of the one that left would have timed out."""
    yard.make_topic(partitions=2)
    slow_to_notice = yard.source(session_timeout_ms=45_000)

    with yard.running(source=slow_to_notice) as first, yard.running(source=slow_to_notice):
        wait_until(lambda: _members(yard) == 2, "two members")
        yard.put([message("a")], partition=0)
        yard.put([message("b")], partition=1)
        wait_until(lambda: sum(yard.next_offsets()) == 2, "both read")
        first.set()
        wait_until(lambda: _members(yard) == 1, "one member", patience=15)
        yard.put([message("c")], partition=0)
        yard.put([message("d")], partition=1)
        wait_until(lambda: sum(yard.next_offsets()) == 4, "all read by the other", patience=15)

    assert yard.names() == Counter("abcd")


def _members(yard: Yard) -> int:
    described = yard.admin.describe_groups(["toys"])["toys"]
    mine = [member for member in described["members"] if yard.topic in str(member["member_assignment"])]
    return len(mine)


def test_too_many_dead_letters_in_a_row_stop_the_consumer_and_keep_it_stopped(yard: Yard) -> None:
    """The batch that passes the limit is not committed, and starting again changes nothing."""
    yard.make_topic()
    yard.put([message("a"), *[message("unreadable")] * 9])
    two_a_batch = yard.source(max_poll_records=2)

    with pytest.raises(TooManyDeadLetters, match=r"more than 4 records in a row .* nobody can read this name"):
        yard.run_to_the_end(source=two_a_batch, dead_letters_in_a_row=4)
    at_first = yard.next_offsets(), yard.outcomes()
    with pytest.raises(TooManyDeadLetters):
        yard.run_to_the_end(source=two_a_batch, dead_letters_in_a_row=4)

    assert ([4], Counter(recorded=1, dead_letter=3)) == at_first
    assert at_first == (yard.next_offsets(), yard.outcomes())


def test_dead_letters_that_are_not_in_a_row_do_not_add_up(yard: Yard) -> None:
    """A fact between them starts the count anew; an ignored message does not."""
    yard.make_topic()
    bad = message("unreadable")
    yard.put([bad, bad, message("a"), bad, message("a"), bad, message("b", kind="toy.ignored"), bad])

    yard.run_to_the_end(dead_letters_in_a_row=2)

    assert yard.outcomes() == Counter(dead_letter=5, recorded=1, duplicate=1, ignored=1)
    assert yard.column(sa.select(ledger.consumer_offsets.c.dead_letters_in_a_row)) == [2]


def test_a_bug_ends_the_process_and_commits_nothing_of_its_batch(yard: Yard) -> None:
    """An exception that nobody foresaw is raised; the records before it in its batch are not recorded either."""
    yard.make_topic()
    yard.put([message("a"), message("bug")])

    with pytest.raises(KeyError, match="bug"):
        yard.run()

    assert yard.names() == Counter()
    assert yard.next_offsets() == [0]


def test_a_database_that_is_away_is_waited_for(yard: Yard) -> None:
    """Nothing is lost while Postgres refuses connections; health says so, and work resumes by itself."""
    yard.make_topic()
    states: list[Health] = []
    name = yard.engine.url.database
    server = sa.create_engine(yard.engine.url.set(database="postgres"), isolation_level="AUTOCOMMIT")

    with yard.running(on_health=states.append):
        yard.put([message("a")])
        wait_until(lambda: yard.names() == Counter("a"), "the first is read")
        with server.connect() as connection:
            connection.execute(sa.text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'))
            connection.execute(
                sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"), {"name": name}
            )
            yard.put([message("b")])
            wait_until(lambda: not states[-1].ready, "health says that it waits")
            connection.execute(sa.text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'))
        yard.engine.dispose()
        wait_until(lambda: yard.names() == Counter("ab"), "the second is read")
        wait_until(lambda: states[-1].ready, "health says that it works")
    server.dispose()

    assert yard.outcomes() == Counter(recorded=2)


def test_a_replay_feeds_several_groups_in_one_pass_and_ends_by_itself(yard: Yard) -> None:
    """Each group has its own rows, takes only what it has not recorded yet, and stops at the end as it was."""
    yard.make_topic(partitions=2)
    yard.put([message(name) for name in numbered(50)])
    until = ends_of(yard.source(), [yard.topic])
    first, second = toys.group(yard.topic, name="first"), toys.group(yard.topic, name="second")
    yard.run(first, until=until)
    yard.put([message(name) for name in numbered(10, "too-late")])

    yard.run(first, second, until=until)

    assert yard.names() == Counter(numbered(50))
    assert sorted(2 * list(until.values())) == sorted(yard.next_offsets())
    assert yard.outcomes() == Counter(recorded=50, duplicate=50)


def test_a_topic_that_is_not_there_is_waited_for(yard: Yard) -> None:
    """A consumer that starts before its topic exists says so, and reads it once it does."""
    states: list[Health] = []

    with yard.running(on_health=states.append):
        wait_until(lambda: any(yard.topic in state.detail for state in states), "it says which topic")
        yard.make_topic()
        yard.put([message("a")])
        wait_until(lambda: yard.names() == Counter("a"), "it is read")


def test_a_kafka_that_is_away_is_waited_for_until_told_to_stop(yard: Yard) -> None:
    """One log line says so, however often it is tried; and SIGTERM needs no Kafka to end it in good order."""
    with yard.program(max_poll_records=20, kafka="127.0.0.1:1", listen=True) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        time.sleep(3)
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait(PATIENCE_S) == 0

    assert b"toys is waiting: KafkaTimeoutError" in said
    assert rest == b""
