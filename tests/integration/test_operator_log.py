"""Topics and catalog revisions on a real Kafka."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource

from consumers.log import Source
from entitlements.domain.identity import canonical_json
from ops.operator_log import make_topics, publish, publish_catalog, published_revisions
from ops.stack import running
from schemas.codec import CatalogApplied, encode_catalog
from schemas.topics import CHANGES, EVENTS, KEEP_FOR_EVER, OPERATOR_COMMANDS, topics
from tests.pure_core import catalog, plan

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WANTED = topics(event_partitions=3, event_retention_ms=KEEP_FOR_EVER, replication_factor=1, min_insync_replicas=1)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """A Kafka of this module's own: its topics have the names that the program gives them."""
    folder: Path = tmp_path_factory.mktemp("kafka")
    with running(folder, database=False, say=lambda _: None) as stack:
        assert stack.kafka is not None
        yield Source(bootstrap=stack.kafka.address)


def test_topics_are_made_as_the_settings_say(source: Source) -> None:
    """Partitions, retention, message size, timestamps and in-sync replicas are those of the settings."""
    make_topics(source, WANTED, lambda _: None)

    assert partitions(source) == {EVENTS: 3, OPERATOR_COMMANDS: 1, CHANGES: 3}
    assert {
        "message.timestamp.type": "LogAppendTime",
        "retention.ms": "-1",
        "max.message.bytes": str(16 * 1024 * 1024),
        "min.insync.replicas": "1",
        "cleanup.policy": "delete",
    } == configuration(source, EVENTS)
    assert configuration(source, CHANGES)["cleanup.policy"] == "compact"


def test_topics_that_are_there_are_left_and_differences_said(source: Source) -> None:
    """Other settings later change nothing of what is there; each difference is told."""
    make_topics(source, WANTED, lambda _: None)
    said: list[str] = []
    more = topics(event_partitions=5, event_retention_ms=1000, replication_factor=1, min_insync_replicas=1)
    make_topics(source, more, said.append)

    assert partitions(source)[EVENTS] == 3
    assert any(EVENTS in line and "3 partitions" in line and "5" in line for line in said)
    assert any(EVENTS in line and "retention.ms=-1" in line for line in said)


def test_a_catalog_is_published_when_it_differs_from_the_newest(source: Source) -> None:
    """The first revision holds from the beginning; the same again is none; a changed one is the next, from now on."""
    make_topics(source, WANTED, lambda _: None)
    other = catalog({"enterprise": plan(apis=["orders"])})
    first, again, changed, back_dated = (
        publish_catalog(source, document, applied_by="ann", in_force_from=since, at=NOW)
        for document, since in (
            (catalog(), None),
            (catalog(), None),
            (other, None),
            (other, datetime(2026, 1, 1, tzinfo=UTC)),
        )
    )

    assert first is not None
    assert (first.number, first.in_force_from) == (1, None)
    assert again is None
    assert changed is not None
    assert (changed.number, changed.in_force_from) == (2, NOW)
    assert back_dated is not None
    assert (3, datetime(2026, 1, 1, tzinfo=UTC)) == (back_dated.number, back_dated.in_force_from)
    assert [(1, None), (2, NOW), (3, datetime(2026, 1, 1, tzinfo=UTC))] == [
        (revision.number, revision.in_force_from) for revision in published_revisions(source)
    ]


def test_the_loser_of_a_race_can_be_applied_again(source: Source) -> None:
    """Of two catalogs under one number one counts; whoever published the other gets it by applying it again."""
    make_topics(source, WANTED, lambda _: None)
    number = 1 + max((revision.number for revision in published_revisions(source)), default=0)
    documents = [catalog({name: plan(prices=[f"price_{name}"])}) for name in ("one", "two")]
    for document in documents:
        revision = CatalogApplied(number=number, in_force_from=NOW, applied_by="ann", document=document)
        publish(source, encode_catalog(revision, at=NOW), "a catalog")
    counts = published_revisions(source)[-1].document
    (lost,) = (document for document in documents if canonical_json(document) != counts)

    again = publish_catalog(source, lost, applied_by="ann", in_force_from=None, at=NOW)

    assert again is not None
    assert number + 1 == again.number


def test_a_kafka_that_is_not_there_is_named() -> None:
    """Nobody listening is one clear line that names the address, and exit code 1."""
    # In a process of its own: kafka-python leaves the sockets of refused connections to the garbage collector.
    example = Path(__file__).parents[2] / "ops" / "catalog.example.yaml"
    done = subprocess.run(
        [sys.executable, "-m", "ops", "catalog", "apply", str(example)],
        env={**os.environ, "ENTITLE_KAFKA": "127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (1, 1) == (done.returncode, len(done.stderr.splitlines())), done.stderr
    assert "127.0.0.1:1" in done.stderr


def partitions(source: Source) -> dict[str, int]:
    """How many partitions each of our topics has."""
    admin = KafkaAdminClient(bootstrap_servers=source.bootstrap)
    try:
        found = {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics()}
    finally:
        admin.close()
    return {name: count for name, count in found.items() if name in (EVENTS, OPERATOR_COMMANDS, CHANGES)}


def configuration(source: Source, topic: str) -> dict[str, str]:
    """What a topic was configured to, as far as we configure it."""
    names = dict.fromkeys(
        ("message.timestamp.type", "retention.ms", "max.message.bytes", "min.insync.replicas", "cleanup.policy")
    )
    admin = KafkaAdminClient(bootstrap_servers=source.bootstrap)
    try:
        (described,) = admin.describe_configs(
            [ConfigResource("TOPIC", topic, configs=names)], config_filter="all"
        ).values()
    finally:
        admin.close()
    return {name: described[topic][name]["value"] for name in names}
