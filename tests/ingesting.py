"""The ingest process as tests use it: its server in a thread, with topics of a real Kafka, spoken to over HTTP."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from kafka import KafkaAdminClient, KafkaConsumer
from kafka.structs import TopicPartition

from ingest.app import ingest_app, server
from ingest.delivery import Integration
from ingest.publisher import KafkaPublisher
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

    server: uvicorn.Server
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


def headers_for(body: bytes, *secrets: str) -> dict[str, str]:
    return {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": signature(body, *secrets).decode(),
    }


@contextmanager
def ingesting(bootstrap: str, topic: str, *integrations: Integration) -> Iterator[Ingest]:
    """Run ingest while the context lasts, and stop it as SIGTERM would; Kafka need not be there."""
    publisher = KafkaPublisher(bootstrap, topic)
    app = ingest_app({each.name: each for each in integrations or [MAIN]}, publisher, time.monotonic)
    running = server(app, host="127.0.0.1", port=0)
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        until(lambda: running.started)
        yield Ingest(server=running, port=running.servers[0].sockets[0].getsockname()[1])
    finally:
        running.should_exit = True
        thread.join()


def until(happened: Callable[[], bool]) -> None:
    """Wait for it, and fail if it does not happen."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


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
