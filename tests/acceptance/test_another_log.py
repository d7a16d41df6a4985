"""A log that is not the one in Postgres: consumers stop with a message and touch nothing; a person has to decide."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from kafka import KafkaAdminClient

from ops.server import Server
from ops.stack import running
from schemas.topics import CONSUMER_GROUPS, EVENTS
from tests.acceptance.deliveries import deliver, faults
from tests.acceptance.plant import Plant, planted, wait_until


@pytest.fixture
def doomed(tmp_path: Path) -> Iterator[Plant]:
    """The program on servers that this test alone has, and may leave as it likes."""
    with TemporaryDirectory() as folder, running(Path(folder), say=lambda _: None) as stack:
        assert stack.database is not None
        assert stack.kafka is not None
        with planted(tmp_path, database=stack.database.address, kafka=stack.kafka.address) as made:
            yield made


def test_the_topic_is_made_anew_under_the_program(doomed: Plant) -> None:
    """Ingest goes on into the new one, consumers stop and record nothing of it; a schema of its own takes it whole."""
    deliver(doomed, 20)
    doomed.catch_up()
    before = counts(doomed)

    delete_topic(doomed)
    wait_until(lambda: doomed.unready().get("ingest") == 503, "ingest says that the topic is missing", doomed.unready)
    assert doomed.entitle("migrate").returncode == 0
    exit_codes = [doomed.ended(group) for group in CONSUMER_GROUPS]
    wait_until(lambda: "ingest" not in doomed.unready(), "ingest is ready again", doomed.unready)
    seen = deliver(doomed, 40)
    doomed.start("grants")
    exit_codes.append(doomed.ended("grants"))

    assert exit_codes == [1, 1, 1, 1]
    assert counts(doomed) == before
    for group in CONSUMER_GROUPS:
        assert f"entitle: the consumer has stopped: {group} has recorded {EVENTS}-" in doomed.said(group)

    doomed.end("query")
    rebuilt = replace(doomed, environment={**doomed.environment, "ENTITLE_SCHEMA": "rebuilt"})
    assert rebuilt.entitle("migrate").returncode == 0
    rebuilt.start(*CONSUMER_GROUPS, "query")
    rebuilt.catch_up()
    rebuilt.wait_until_ready()
    assert faults(rebuilt, seen) == []


def test_kafka_is_restored_from_a_copy_older_than_postgres(plant: Plant, own_kafka: Server) -> None:
    """Every consumer says what it has recorded that Kafka lacks, and stops; with the right Kafka back they go on."""
    data, older, newer = (own_kafka.log.with_name(name) for name in ("kafka", "older", "newer"))
    own_kafka.stop()
    shutil.copytree(data, older)
    own_kafka.start()
    plant.wait_until_ready()
    seen = deliver(plant, 40)
    plant.catch_up()
    before = counts(plant)

    own_kafka.stop()
    data.rename(newer)
    older.rename(data)
    own_kafka.start()
    exit_codes = [plant.ended(group) for group in CONSUMER_GROUPS]
    plant.wait_until_ready()

    assert exit_codes == [1, 1, 1]
    assert counts(plant) == before
    for group in CONSUMER_GROUPS:
        assert "entitle: the consumer has stopped: " in plant.said(group)
        assert "what was recorded is gone from it" in plant.said(group)

    own_kafka.stop()
    shutil.rmtree(data)
    newer.rename(data)
    own_kafka.start()
    plant.start(*CONSUMER_GROUPS)
    plant.wait_until_ready()
    assert faults(plant, seen) == []


def test_another_cluster(plant: Plant, kafka: str) -> None:
    """Pointed at another Kafka, a consumer says which cluster its offsets are of, and stops."""
    elsewhere = replace(plant, environment={**plant.environment, "ENTITLE_KAFKA": kafka})
    assert elsewhere.entitle("migrate").returncode == 0
    before = counts(plant)

    stopped = elsewhere.entitle("consume", "revocations")

    assert stopped.returncode == 1
    assert "entitle: the consumer has stopped: revocations has recorded " in stopped.stderr
    assert counts(plant) == before


def counts(plant: Plant) -> list[int]:
    """How much has been recorded: what consumers that refuse leave as it is."""
    tables = ("grants", "revocations", "invoices", "provenance", "dead_letters")
    return [plant.rows(f"SELECT count(*) FROM {table}")[0][0] for table in tables]  # noqa: S608


def delete_topic(plant: Plant) -> None:
    admin = KafkaAdminClient(bootstrap_servers=plant.kafka)
    try:
        admin.delete_topics([EVENTS])
        wait_until(lambda: EVENTS not in admin.list_topics(), "it is deleted")
    finally:
        admin.close()
