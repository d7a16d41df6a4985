"""A topic and a schema of one test's own, and the runner between them with a toy group. Edge: Kafka and Postgres."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from kafka import KafkaProducer

from consumers.extent import ends_of
from consumers.log import Source
from consumers.runner import run
from entitlements import ledger
from tests import toys
from tests.toys import SCHEMA

PATIENCE_S = 30.0

Message = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]


@dataclass(frozen=True, slots=True, kw_only=True)
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

    def put_in_one_batch(self, messages: Iterable[Message], **settings: Any) -> None:
        """To partition 0, by a producer of its own with *settings*."""
        producer = KafkaProducer(bootstrap_servers=self.kafka, linger_ms=60_000, batch_size=1 << 20, **settings)
        for key, value, headers in messages:
            producer.send(self.topic, key=key, value=value, headers=headers, partition=0)
        producer.flush(timeout=PATIENCE_S)
        producer.close()

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
    def without_database(self) -> Iterator[None]:
        """While the block lasts PostgreSQL refuses to connect anybody to this database."""
        name = self.engine.url.database
        server = sa.create_engine(self.engine.url.set(database="postgres"), isolation_level="AUTOCOMMIT")
        with server.connect() as connection:
            connection.execute(sa.text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'))
            connection.execute(
                sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"), {"name": name}
            )
            yield
            connection.execute(sa.text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'))
        server.dispose()
        self.engine.dispose()

    @contextlib.contextmanager
    def program(
        self, *, max_poll_records: int, kafka: str | None = None, listen: bool = False
    ) -> Iterator[subprocess.Popen[bytes]]:
        """One instance in a process of its own, killed in the end; with *listen* its stderr is to be read."""
        arguments = [kafka or self.kafka, self.url, self.topic, str(max_poll_records)]
        command = [sys.executable, "-m", "tests.toys", *arguments]
        with subprocess.Popen(command, stderr=subprocess.PIPE if listen else None) as process:
            try:
                yield process
            finally:
                process.kill()


def wait_until(true: Callable[[], bool], what: str, patience: float = PATIENCE_S) -> None:
    """Look again and again until it is so; a failure after *patience* seconds."""
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline, f"not within {patience:.0f} s: {what}"
        time.sleep(0.02)


def numbered(count: int, prefix: str = "toy") -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]
