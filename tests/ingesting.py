"""
The ingest process as tests use it: its server in a thread, with topics of a real Kafka, spoken to over HTTP.

`python -m tests.ingesting` runs it in a process of its own.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer
from kafka.structs import TopicPartition
from prometheus_client import CollectorRegistry

from ingest.app import SHUTDOWN_SECONDS, ingest_app
from ingest.delivery import Integration
from ingest.metrics import Metrics
from ingest.publisher import KafkaPublisher
from ops.http_server import Server
from ops.serving import serve, server
from schemas.topics import MAX_MESSAGE_BYTES
from tests.webhooks import SECRET, signature

MAIN = Integration(name="main", mode="test", signing_secrets=(SECRET,))
PATIENCE_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    status: int
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def place(self) -> tuple[int, int]:
        """Partition and offset of what was published."""
        return self.body["partition"], self.body["offset"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingest:
    """A running ingest."""

    port: int

    def ask(self, method: str, path: str, body: bytes | Iterable[bytes] | None = None, **headers: str) -> Told:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers, encode_chunked=not isinstance(body, bytes | None))
            return told(connection.getresponse())
        finally:
            connection.close()

    def deliver(self, body: bytes, *secrets: str, to: str = "main") -> Told:
        """Deliver *body* as Stripe would, signed with *secrets*."""
        return self.ask("POST", f"/webhooks/stripe/{to}", body, **headers_for(body, *secrets))

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)


def told(response: http.client.HTTPResponse) -> Told:
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Told(status=response.status, headers=headers, body=json.loads(response.read()))


def on_the_wire(headers: Mapping[str, str], *, size: int) -> bytes:
    """The head of a delivery whose body has *size* bytes, for those who send it themselves."""
    lines = [f"{name}: {value}" for name, value in {**headers, "Content-Length": size}.items()]
    return "\r\n".join(["POST /webhooks/stripe/main HTTP/1.1", "Host: x", *lines, "", ""]).encode()


def next_answer(client: socket.socket) -> Told:
    response = http.client.HTTPResponse(client)
    response.begin()
    return told(response)


def headers_for(body: bytes, *secrets: str) -> dict[str, str]:
    return {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": signature(body, *secrets).decode(),
    }


@contextmanager
def ingesting(bootstrap: str, topic: str, *integrations: Integration) -> Iterator[Ingest]:
    """Run ingest while the context lasts, and stop it as SIGTERM would; Kafka need not be there."""
    running = _server(bootstrap, topic, integrations or [MAIN])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            until(lambda: running.started)
            yield Ingest(port=port)
        finally:
            running.should_exit = True
            thread.join()


@contextmanager
def ingesting_apart(bootstrap: str, topic: str) -> Iterator[tuple[subprocess.Popen[bytes], Ingest]]:
    """Run ingest in a process of its own, killed in the end; the socket that it listens on is made here."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port, number = listening.getsockname()[1], listening.fileno()
        command = [sys.executable, "-m", "tests.ingesting", bootstrap, topic, str(number)]
        process = subprocess.Popen(command, pass_fds=[number])
    with process:
        try:
            yield process, Ingest(port=port)
        finally:
            process.kill()


def main() -> None:
    """Run ingest until SIGTERM: bootstrap servers, topic, the number of the listening socket."""
    bootstrap, topic, number = sys.argv[1:]
    serve(_server(bootstrap, topic, [MAIN]), socket.socket(fileno=int(number)))


def _server(bootstrap: str, topic: str, integrations: Sequence[Integration]) -> Server:
    publisher = KafkaPublisher(bootstrap, topic)
    metrics = Metrics(CollectorRegistry())
    app = ingest_app({each.name: each for each in integrations}, publisher, time.monotonic, metrics)
    return server(app, shutdown_seconds=SHUTDOWN_SECONDS)


def until(happened: Callable[[], bool]) -> None:
    """Wait for it, and fail if it does not happen."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def is_listening(ingest: Ingest) -> bool:
    try:
        ingest.connect().close()
    except ConnectionRefusedError:
        return False
    return True


def is_ready(ingest: Ingest) -> bool:
    return ingest.ask("GET", "/readyz").status == 200


def new_topic(bootstrap: str, *, max_bytes: int = MAX_MESSAGE_BYTES) -> str:
    """Create a topic of two partitions that no other test uses; its name."""
    topic = f"events-{uuid.uuid4().hex}"
    config = {"max.message.bytes": str(max_bytes), "message.timestamp.type": "LogAppendTime"}
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        admin.create_topics(
            {topic: {"num_partitions": 2, "replication_factor": 1, "configs": config}}, wait_for_metadata=True
        )
    finally:
        admin.close()
    return topic


def records(bootstrap: str, topic: str) -> list[Any]:
    """All records of *topic*, as kafka-python reads them."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    try:
        partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
        ends = consumer.end_offsets(partitions)
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        found: list[Any] = []
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            found += [record for batch in consumer.poll(timeout_ms=500).values() for record in batch]
        return found
    finally:
        consumer.close()


if __name__ == "__main__":
    main()
