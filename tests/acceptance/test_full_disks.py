"""A disk that is full, Postgres' or Kafka's: nothing is lost or set aside, and room is all that is needed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.acceptance.deliveries import faults, traffic
from tests.acceptance.grounds import Grounds
from tests.acceptance.plant import Plant, planted, wait_until
from tests.small_disk import OnSmallDisk, on_a_small_disk

FULL_S = 3.0
"""How long the disk stays full once that is noticed: webhooks and tries enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cramped:
    """The program on servers with small disks."""

    plant: Plant
    database: OnSmallDisk
    kafka: OnSmallDisk


@contextmanager
def crammed(folder: Path) -> Iterator[Cramped]:
    with (
        TemporaryDirectory() as of_database,
        TemporaryDirectory() as of_kafka,
        on_a_small_disk(Path(of_database), 160, "database") as database,
        on_a_small_disk(Path(of_kafka), 64, "kafka") as kafka,
        planted(folder, database=database.address, kafka=kafka.address) as plant,
    ):
        yield Cramped(plant=plant, database=database, kafka=kafka)


@pytest.fixture(scope="module")
def cramped_grounds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grounds[Cramped]]:
    grounds = Grounds(lambda: crammed(tmp_path_factory.mktemp("cramped")))
    yield grounds
    grounds.clear()


@pytest.fixture
def cramped(cramped_grounds: Grounds[Cramped], request: pytest.FixtureRequest) -> Cramped:
    """Whole, whatever became of the test before."""
    return cramped_grounds.whole(request.session.testsfailed)


def test_postgres_disk_is_full(cramped: Cramped) -> None:
    """Consumers wait and say so, webhooks are answered 200, questions as before; with room work resumes by itself."""
    with traffic(cramped.plant) as seen:
        cramped.database.fill()
        cramped.plant.wait_until_unready("grants", "revocations", "invoices")
        time.sleep(FULL_S)
        still_there = cramped.database.runs()
        cramped.database.make_room()
        cramped.plant.wait_until_ready()

    assert faults(cramped.plant, seen) == []
    assert still_there
    assert "No space left on device" in cramped.plant.said("grants")
    assert set(seen.statuses()) == {200}
    assert set(seen.told) == {(200, "paid")}


def test_kafka_disk_is_full(cramped: Cramped) -> None:
    """The broker shuts itself down: webhooks are answered 503; with room and started again, it has all it said."""
    with traffic(cramped.plant) as seen:
        cramped.kafka.fill()
        wait_until(lambda: not cramped.kafka.runs(), "the broker has ended", cramped.plant.unready)
        cramped.plant.wait_until_unready("ingest", "grants", "revocations", "invoices")
        cramped.kafka.make_room()
        cramped.kafka.start()
        cramped.plant.wait_until_ready()

    assert faults(cramped.plant, seen) == []
    assert seen.statuses()[503] > 0
    assert set(seen.told) == {(200, "paid")}
