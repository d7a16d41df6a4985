"""
Kafka as operators use it: topics made, what operators said read and published. An edge: Kafka.

What operators do is in the log, like what Stripe says: it counts once the consumers have read it there.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import ConfigResource
from kafka.errors import KafkaError, TopicAlreadyExistsError
from kafka.structs import TopicPartition

from consumers import grants, revocations
from consumers.log import Source, connected
from consumers.unpacking import unpacked
from entitlements.domain.facts import CatalogRevision, Fact
from entitlements.domain.identity import canonical_json
from entitlements.store import one_of_each_number
from schemas.codec import CatalogApplied, InvalidMessage, decode, encode_catalog
from schemas.operator_acts import Encoded
from schemas.topics import MAX_MESSAGE_BYTES, OPERATOR_COMMANDS, Topic

ANSWER_SECONDS = 10
READ_SECONDS = 30


class LogUnavailable(Exception):
    """Kafka did not do what was asked: the text says what, and what Kafka said."""


def make_topics(source: Source, topics: tuple[Topic, ...], say: Callable[[str], None]) -> None:
    """
    Make the topics that are not there. Those that are stay as they are; *say* is told where they differ from what the
    settings ask for, since more partitions move keys, and a shorter retention deletes what can't be had again.
    """
    with _talking(source, "make the topics"), contextlib.closing(_admin(source)) as admin:
        there = {topic["name"]: topic for topic in admin.describe_topics() if not topic["error_code"]}
        for topic in topics:
            if topic.name in there:
                _compare(admin, topic, len(there[topic.name]["partitions"]), say)
                continue
            with contextlib.suppress(TopicAlreadyExistsError):  # another process was faster
                admin.create_topics(
                    {
                        topic.name: {
                            "num_partitions": topic.partitions,
                            "replication_factor": topic.replication_factor,
                            "configs": dict(topic.config),
                        }
                    },
                    timeout_ms=ANSWER_SECONDS * 1000,
                    wait_for_metadata=True,
                )


def _compare(admin: KafkaAdminClient, topic: Topic, partitions: int, say: Callable[[str], None]) -> None:
    if partitions != topic.partitions:
        say(f"topic {topic.name} has {partitions} partitions, the settings say {topic.partitions}; it is left as it is")
    resource = ConfigResource("TOPIC", topic.name, configs=dict.fromkeys(topic.config))
    found = admin.describe_configs([resource], config_filter="all")
    (described,) = (by_name[topic.name] for by_name in found.values())
    for name, wanted in topic.config.items():
        if (actual := described[name]["value"]) != wanted:
            say(f"topic {topic.name} has {name}={actual}, the settings say {wanted}; it is left as it is")


def published_facts(source: Source) -> tuple[Fact, ...]:
    """What the operators' topic states, as the consumers read it. What can't be read there is passed over."""
    partition = TopicPartition(OPERATOR_COMMANDS, 0)
    found: list[Fact] = []
    with _talking(source, "read the operators' topic"), contextlib.closing(_consumer(source)) as consumer:
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        end = consumer.end_offsets([partition])[partition]
        deadline = time.monotonic() + READ_SECONDS
        while consumer.position(partition) < end:
            if time.monotonic() > deadline:
                raise LogUnavailable(f"Kafka gave no end of {OPERATOR_COMMANDS} within {READ_SECONDS} s")
            for record in consumer.poll(timeout_ms=500).get(partition, ()):
                with contextlib.suppress(InvalidMessage):
                    message = decode(record.topic, record.value, record.headers)
                    found += [*grants.decide(message), *revocations.decide(message)]
    return tuple(found)


def published_revisions(source: Source) -> tuple[CatalogRevision, ...]:
    """The catalog revisions on the operators' topic that count, by number."""
    return one_of_each_number(fact for fact in published_facts(source) if isinstance(fact, CatalogRevision))


def publish_catalog(
    source: Source,
    document: Mapping[str, Any],
    *,
    applied_by: str,
    in_force_from: datetime | None,
    at: datetime,
) -> CatalogApplied | None:
    """
    Publish a catalog as the next revision, in force from *in_force_from*, or from *at* where that is None; the first
    holds from the beginning of time. Returns None, and publishes nothing, if it does not differ from the newest.
    """
    newest = max(published_revisions(source), key=lambda revision: revision.number, default=None)
    revision = succeeding(newest, document, applied_by=applied_by, in_force_from=in_force_from, at=at)
    if revision is not None:
        publish(source, encode_catalog(revision, at=at), "the catalog")
    return revision


def succeeding(
    newest: CatalogRevision | None,
    document: Mapping[str, Any],
    *,
    applied_by: str,
    in_force_from: datetime | None,
    at: datetime,
) -> CatalogApplied | None:
    """The revision that a catalog becomes behind the *newest* one, as `publish_catalog` publishes it; None as there."""
    if newest is not None and newest.document == canonical_json(document) and in_force_from is None:
        return None
    return CatalogApplied(
        number=1 if newest is None else newest.number + 1,
        in_force_from=None if newest is None else in_force_from or at,
        applied_by=applied_by,
        document=document,
    )


def publish(source: Source, encoded: Encoded, what: str) -> int:
    """Put a record on the operators' topic, and return its offset once the brokers have it; *what* it is, in words."""
    key, value, headers = encoded
    with _talking(source, f"publish {what}"):
        producer = connected(
            KafkaProducer,
            source,
            acks="all",
            enable_idempotence=True,
            max_request_size=MAX_MESSAGE_BYTES,
            delivery_timeout_ms=ANSWER_SECONDS * 1000,
            request_timeout_ms=ANSWER_SECONDS * 900,
        )
        with contextlib.closing(producer):
            sent = producer.send(OPERATOR_COMMANDS, key=key, value=value, headers=headers)
            return int(sent.get(timeout=ANSWER_SECONDS).offset)


@contextlib.contextmanager
def _talking(source: Source, purpose: str) -> Iterator[None]:
    try:
        yield
    except KafkaError as error:
        raise LogUnavailable(f"could not {purpose} on Kafka at {source.bootstrap}: {error}") from error


def _admin(source: Source) -> KafkaAdminClient:
    return connected(KafkaAdminClient, source, request_timeout_ms=ANSWER_SECONDS * 1000)


def _consumer(source: Source) -> KafkaConsumer:
    consumer = connected(KafkaConsumer, source, enable_auto_commit=False, auto_offset_reset="none")
    consumer._fetcher.PartitionRecords = unpacked  # or one record that it can't read would be the end
    return consumer
