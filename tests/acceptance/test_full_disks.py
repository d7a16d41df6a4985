"""A disk that is full, Postgres' or Kafka's: nothing is lost or set aside, and room is all that is needed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.acceptance.deliveries import faults, traffic
from tests.acceptance.plant import Plant, planted, wait_until
from tests.small_disk import OnSmallDisk, on_a_small_disk

FULL_S = 3.0
"""How long the disk stays full once that is noticed: webhooks and tries enough."""


@pytest.fixture(scope="module")
def small_database() -> Iterator[OnSmallDisk]:
    with TemporaryDirectory() as folder, on_a_small_disk(Path(folder), 160, "database") as server:
        yield server


@pytest.fixture(scope="module")
def small_kafka() -> Iterator[OnSmallDisk]:
    with TemporaryDirectory() as folder, on_a_small_disk(Path(folder), 64, "kafka") as server:
        yield server


@pytest.fixture(scope="module")
def cramped(
    small_database: OnSmallDisk, small_kafka: OnSmallDisk, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Plant]:
    """The program on servers with small disks."""
    folder = tmp_path_factory.mktemp("cramped")
    with planted(folder, database=small_database.address, kafka=small_kafka.address) as made:
        yield made


def test_postgres_disk_is_full(cramped: Plant, small_database: OnSmallDisk) -> None:
    """Consumers wait and say so, webhooks are answered 200, questions as before; with room work resumes by itself."""
    with traffic(cramped) as seen:
        small_database.fill()
        cramped.wait_until_unready("grants", "revocations", "invoices")
        time.sleep(FULL_S)
        still_there = small_database.runs()
        small_database.make_room()
        cramped.wait_until_ready()

    assert faults(cramped, seen) == []
    assert still_there
    assert "No space left on device" in cramped.said("grants")
    assert set(seen.statuses()) == {200}
    assert set(seen.told) == {(200, "paid")}


def test_kafka_disk_is_full(cramped: Plant, small_kafka: OnSmallDisk) -> None:
    """The broker shuts itself down: webhooks are answered 503; with room and started again, it has all it said."""
    with traffic(cramped) as seen:
        small_kafka.fill()
        wait_until(lambda: not small_kafka.runs(), "the broker has ended", cramped.unready)
        cramped.wait_until_unready("ingest", "grants", "revocations", "invoices")
        small_kafka.make_room()
        small_kafka.start()
        cramped.wait_until_ready()

    assert faults(cramped, seen) == []
    assert seen.statuses()[503] > 0
    assert set(seen.told) == {(200, "paid")}
