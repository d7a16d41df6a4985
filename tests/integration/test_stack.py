"""
The embedded stack for real: PostgreSQL and Kafka started, asked, killed and started again on the same data.

Long because each way of dying is a test of its own.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.structs import TopicPartition

from ops.stack import Server, ServerFailed, StackBusy, running
from schemas.topics import MAX_MESSAGE_BYTES

TOPIC = "kept"

PARENT = """
import sys, time
from pathlib import Path
from ops.stack import running
with running(Path(sys.argv[1]), say=lambda line: None) as stack:
    print(stack.database.pid, stack.database.address, stack.kafka.pid, stack.kafka.address, flush=True)
    time.sleep(600)
"""


def test_data_survives_a_restart(stack_folder: Path) -> None:
    """A row and a record written before an orderly stop are there after the next start, at the same addresses."""
    with both(stack_folder) as (database, kafka):
        before = (database.address, kafka.address)
        write_row(database.address)
        write_record(kafka.address, b"kept")

    with both(stack_folder) as (database, kafka):
        assert before == (database.address, kafka.address)
        assert rows(database.address) == ["kept"]
        assert records(kafka.address) == [b"kept"]


def test_what_postgres_refuses_is_not_in_its_log(stack_folder: Path) -> None:
    """A row that breaks a constraint is an error for its writer; its values are not written into the server's log."""
    with running(stack_folder, kafka=False, say=lambda _: None) as stack:
        assert stack.database is not None
        url = sa.make_url(stack.database.address).set(drivername="postgresql+psycopg2")
        with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
            connection.execute(sa.text("CREATE TABLE kept (page text UNIQUE CHECK (page <> 'x'))"))
            connection.execute(sa.text("INSERT INTO kept VALUES ('https://secret.example/page')"))
            with pytest.raises(sa.exc.IntegrityError):
                connection.execute(sa.text("INSERT INTO kept VALUES ('https://secret.example/page')"))
        log = stack.database.log

    assert "duplicate key" in log.read_text()
    assert "secret.example" not in log.read_text()


def test_no_server_outlives_its_parent(stack_folder: Path) -> None:
    """When the process that started them is killed, both servers end."""
    with parent(stack_folder) as started:
        os.kill(started.pid, signal.SIGKILL)

        assert gone(started.postgres_pid)
        assert gone(started.kafka_pid)


def test_a_start_after_everything_was_killed(stack_folder: Path) -> None:
    """What was committed or acknowledged is there after kill -9 of both servers and of their parent."""
    with parent(stack_folder) as started:
        write_row(started.database_url)
        write_record(started.bootstrap, b"kept")
        for pid in (started.postgres_pid, started.kafka_pid, started.pid):
            os.kill(pid, signal.SIGKILL)

    assert (stack_folder / "postgres" / "postmaster.pid").exists()
    with both(stack_folder) as (database, kafka):
        assert rows(database.address) == ["kept"]
        assert records(kafka.address) == [b"kept"]


def test_a_dead_servers_pid_may_belong_to_somebody_else(stack_folder: Path) -> None:
    """A stale postmaster.pid does not keep PostgreSQL from starting, even when a process of that id lives."""
    with only_database(stack_folder) as database:
        database.kill()
        stale = stack_folder / "postgres" / "postmaster.pid"
        stale.write_text(stale.read_text().replace(stale.read_text().split()[0], str(os.getpid()), 1))

        database.start()

        assert database.pid != os.getpid()


def test_a_second_stack_is_refused(stack_folder: Path) -> None:
    """One error, at once, that names the process that has the folder; the first stack goes on."""
    with only_database(stack_folder) as database:
        with pytest.raises(StackBusy, match=rf"process {os.getpid()}:"), only_database(stack_folder):
            pass

        write_row(database.address)


def test_a_killed_server_comes_back(stack_folder: Path) -> None:
    """After kill -9, `start` brings each server back at its address with what it had acknowledged."""
    with both(stack_folder) as (database, kafka):
        write_row(database.address)
        write_record(kafka.address, b"kept")
        first = (database.pid, kafka.pid)
        for server in (database, kafka):
            server.kill()
            assert server.pid is None
            server.start()

        assert not set(first) & {database.pid, kafka.pid}
        assert rows(database.address) == ["kept"]
        assert records(kafka.address) == [b"kept"]


def test_a_suspended_server_is_stopped(stack_folder: Path) -> None:
    """A server under SIGSTOP is woken so that it can end in order: the next start needs no recovery."""
    with only_database(stack_folder) as database:
        os.kill(database.pid or 0, signal.SIGSTOP)

    assert "database system is shut down" in database.log.read_text()


def test_a_port_that_was_taken_is_left(stack_folder: Path) -> None:
    """When somebody else listens on the kept ports, both servers move, and keep their data."""
    with both(stack_folder) as (database, kafka):
        taken = [port(database.address), port(kafka.address)]
        write_row(database.address)
        write_record(kafka.address, b"kept")

    with listening(*taken), both(stack_folder) as (database, kafka):
        assert not set(taken) & {port(database.address), port(kafka.address)}
        assert rows(database.address) == ["kept"]
        assert records(kafka.address) == [b"kept"]


def test_servers_listen_on_127_0_0_1_alone(stack_folder: Path) -> None:
    """Another address of this very machine is refused."""
    with both(stack_folder) as (database, kafka):
        for number in (port(database.address), port(kafka.address)):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.2", number), timeout=5)


def test_a_record_may_have_sixteen_mebibytes(stack_folder: Path) -> None:
    """The largest record that a topic of ours takes goes in and comes out."""
    value = os.urandom(MAX_MESSAGE_BYTES - 1024)
    with running(stack_folder, database=False, say=silently) as stack:
        assert stack.kafka is not None
        write_record(stack.kafka.address, value)

        assert [value] == records(stack.kafka.address)


def test_an_interrupted_first_start_is_begun_again(stack_folder: Path) -> None:
    """Half a data folder, as a kill during initdb or format leaves it, is thrown away."""
    for name in ("postgres.new", "kafka.new"):
        (stack_folder / name).mkdir()
        (stack_folder / name / "half").write_text("")

    with both(stack_folder) as (database, kafka):
        write_row(database.address)
        write_record(kafka.address, b"kept")

    assert not list(stack_folder.glob("*/half"))


def test_a_server_that_does_not_start_says_why(stack_folder: Path) -> None:
    """The error ends with the server's own words, names its log, and no server is left."""
    with only_database(stack_folder):
        pass
    (stack_folder / "postgres" / "PG_VERSION").write_text("17\n")

    words = r"(?s)PostgreSQL did not start: .*postgres\.log.*incompatible with server"
    with pytest.raises(ServerFailed, match=words), only_database(stack_folder):
        pass


@contextmanager
def both(folder: Path) -> Iterator[tuple[Server, Server]]:
    with running(folder, say=silently) as stack:
        assert stack.database is not None
        assert stack.kafka is not None
        yield stack.database, stack.kafka


@contextmanager
def only_database(folder: Path) -> Iterator[Server]:
    with running(folder, kafka=False, say=silently) as stack:
        assert stack.database is not None
        yield stack.database


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """Another process that runs a stack."""

    pid: int
    postgres_pid: int
    database_url: str
    kafka_pid: int
    bootstrap: str


@contextmanager
def parent(folder: Path) -> Iterator[Parent]:
    with subprocess.Popen([sys.executable, "-c", PARENT, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            postgres_pid, database_url, kafka_pid, bootstrap = process.stdout.readline().split()
            yield Parent(
                pid=process.pid,
                postgres_pid=int(postgres_pid),
                database_url=database_url,
                kafka_pid=int(kafka_pid),
                bootstrap=bootstrap,
            )
        finally:
            process.kill()


def gone(pid: int) -> bool:
    """Whether the process ends within ten seconds; one that nobody has waited for yet (a zombie) has ended."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
        if not state.stdout.strip() or state.stdout.startswith("Z"):
            return True
        time.sleep(0.05)
    return False


def write_row(url: str) -> None:
    with connection(url) as connected:
        connected.execute(sa.text("CREATE TABLE kept (what text)"))
        connected.execute(sa.text("INSERT INTO kept VALUES ('kept')"))


def rows(url: str) -> list[str]:
    with connection(url) as connected:
        return list(connected.scalars(sa.text("SELECT what FROM kept")))


@contextmanager
def connection(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg2"), poolclass=sa.NullPool)
    with engine.begin() as connected:
        yield connected


def write_record(bootstrap: str, value: bytes) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics({TOPIC: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
    admin.close()
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", max_request_size=MAX_MESSAGE_BYTES)
    producer.send(TOPIC, value).get(timeout=10)
    producer.close()


def records(bootstrap: str) -> list[bytes]:
    """All records of the topic."""
    partition = TopicPartition(TOPIC, 0)
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, max_partition_fetch_bytes=2 * MAX_MESSAGE_BYTES
    )
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    end = consumer.end_offsets([partition])[partition]
    found: list[bytes] = []
    while consumer.position(partition) < end:
        for batch in consumer.poll(timeout_ms=1000).values():
            found.extend(record.value for record in batch)
    consumer.close()
    return found


@contextmanager
def listening(*ports: int) -> Iterator[None]:
    """Somebody else's servers on *ports*."""
    sockets = [socket.create_server(("127.0.0.1", number)) for number in ports]
    try:
        yield
    finally:
        for each in sockets:
            each.close()


def port(address: str) -> int:
    return int(address.removesuffix("/entitle").rsplit(":", 1)[1])


def silently(line: str) -> None:
    """Nobody listens."""
