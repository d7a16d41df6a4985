"""
A consumer group that stands for any: it keeps the names that messages state. Also a program, to be killed.

Its messages are Stripe events of type `toy.named`, whose id is the name; those of other types it ignores.
"""

from __future__ import annotations

import hashlib
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from consumers.log import Source
from consumers.runner import run
from consumers.verdicts import Group
from schemas import codec
from schemas.topics import EVENTS

SCHEMA = "toys"

toys = sa.Table(
    "toys",
    sa.MetaData(),
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.UniqueConstraint("digest"),
)
"""A name that were recorded twice would be refused, so its presence and the count are all there is to look at."""


NOT_UTF8: str = type("Name", (str,), {"encode": lambda *_: b"\xff\xfe"})("not-utf-8")
"""A header's name that kafka-python sends and does not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Toy:
    """The fact that a name was stated."""

    name: str
    integration: str | None = "main"
    customer: str | None = "cus_1"

    @property
    def digest(self) -> bytes:
        """Of the name alone."""
        return hashlib.sha256(self.name.encode()).digest()


def decide(message: codec.Message) -> tuple[Toy, ...]:
    """The name that the message states; `unreadable` is a name that nobody can read, `bug` one that finds a bug."""
    assert isinstance(message, codec.StripeMessage)
    name = message.event["id"]
    if name == "unreadable":
        raise codec.InvalidMessage("nobody can read this name")
    if name == "bug":
        raise KeyError(name)
    return (Toy(name=name),) if message.event["type"] == "toy.named" else ()


def record(connection: sa.Connection, facts: Sequence[Toy]) -> frozenset[bytes]:
    """Insert the names that are not there; says which those were."""
    statement = insert(toys).on_conflict_do_nothing().returning(toys.c.digest)
    rows = {fact.digest: {"digest": fact.digest, "name": fact.name} for fact in facts}
    return frozenset(bytes(found) for found in connection.execute(statement, list(rows.values())).scalars())


def group(
    topic: str,
    *,
    name: str = "toys",
    record: Callable[[sa.Connection, Sequence[Toy]], frozenset[bytes]] = record,
) -> Group[Toy]:
    """The group of *name* on *topic*."""
    return Group(name=name, topics=(topic,), decide=decide, record=record)


def decode(_: str, value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> codec.Message:
    """As on the topic of Stripe's events, whatever a test calls its own."""
    return codec.decode(EVENTS, value, headers)


def message(name: str, *, kind: str = "toy.named") -> tuple[bytes, bytes, codec.Headers]:
    """Key, value and headers of the message that states *name*."""
    event = {"id": name, "type": kind, "created": 1_700_000_000, "data": {"object": {"id": "in_1"}}}
    _, _, headers = codec.encode_stripe(integration="main", event={**event, "id": "evt_1"})
    return name.encode(), msgspec.json.encode(event), headers


def main() -> None:
    """Run one instance until SIGTERM: bootstrap servers, database URL, topic, records a batch."""
    bootstrap, url, topic, max_poll_records = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run(
        [group(topic)],
        Source(bootstrap=bootstrap, max_poll_records=int(max_poll_records)),
        sa.create_engine(url.replace("postgresql://", "postgresql+psycopg2://"), hide_parameters=True),
        SCHEMA,
        stop=stop,
        decode=decode,
    )


if __name__ == "__main__":
    main()
