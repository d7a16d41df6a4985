"""Consumers that are stopped, or rebalanced in the middle of a batch: each record once, and nobody waits for long."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from kafka import KafkaAdminClient

from schemas.topics import CONSUMER_GROUPS
from tests.acceptance.deliveries import faults, traffic
from tests.acceptance.plant import JOINT, Plant, wait_until

STOPPED_S = 8.0
"""Longer than a consumer's session of 6 s."""

ANOTHERS = tuple(f"another {group}" for group in CONSUMER_GROUPS)


def test_consumers_stopped_past_their_sessions(plant: Plant) -> None:
    """Others have their partitions meanwhile; they wake, record nothing of what others have, and share again."""
    with traffic(plant) as seen:
        with others(plant, *ANOTHERS):
            for group in CONSUMER_GROUPS:
                plant.signal(group, signal.SIGSTOP)
            time.sleep(STOPPED_S)
            plant.catch_up()
            for group in CONSUMER_GROUPS:
                plant.signal(group, signal.SIGCONT)
            plant.wait_until_ready()
        plant.catch_up()

    assert faults(plant, seen) == []
    assert set(seen.statuses()) == {200}
    assert set(seen.told) == {(200, "paid")}


def test_a_consumer_stopped_in_the_middle_of_its_transaction(plant: Plant) -> None:
    """Postgres ends its session, so that the rows it holds keep nobody waiting; awake, it begins anew."""
    with traffic(plant) as seen:
        with others(plant, "another grants"):
            with every_grant_held(plant):
                plant.signal("grants", signal.SIGSTOP)
                plant.signal("another grants", signal.SIGSTOP)
            plant.signal("another grants", signal.SIGCONT)
            plant.catch_up()
            plant.signal("grants", signal.SIGCONT)
            plant.wait_until_ready()
        plant.catch_up()

    assert faults(plant, seen) == []
    assert set(seen.statuses()) == {200}


def test_a_rebalance_in_the_middle_of_a_batch(plant: Plant) -> None:
    """Another instance joins while a batch is being recorded: the batch is finished, then the partitions are shared."""
    with traffic(plant) as seen:
        with every_grant_held(plant):
            plant.start("another grants")
            wait_until(lambda: state_of(plant, "grants") == "PreparingRebalance", "the other one has asked to join")
        wait_until(lambda: "grants goes on from billing" in plant.said("another grants"), "it has partitions")
        plant.wait_until_ready()
        plant.catch_up()
        plant.end("another grants")
        plant.catch_up()

    assert faults(plant, seen) == []
    assert set(seen.statuses()) == {200}


def test_a_deploy_from_processes_apart_to_a_joint_one_and_back(plant: Plant) -> None:
    """For a while both are there and own the same partitions: each record counts once, and nobody waits for long."""
    with traffic(plant) as seen:
        plant.start(JOINT)
        plant.wait_until_ready()
        wait_until(lambda: "invoices goes on from billing" in plant.said(JOINT), "the joint one has partitions")
        plant.catch_up()
        plant.end(*CONSUMER_GROUPS)
        plant.catch_up()
        plant.start(*CONSUMER_GROUPS)
        plant.wait_until_ready()
        plant.end(JOINT)
        plant.catch_up()

    assert faults(plant, seen) == []
    assert set(seen.statuses()) == {200}
    assert set(seen.told) == {(200, "paid")}


@contextmanager
def others(plant: Plant, *names: str) -> Iterator[None]:
    """Second instances of consumers, at work while the context lasts."""
    plant.start(*names)
    plant.wait_until_ready()
    yield
    plant.end(*names)


@contextmanager
def every_grant_held(plant: Plant) -> Iterator[None]:
    """Whoever records grants stands in the middle of a batch while the context lasts, waiting for a lock."""
    url = sa.make_url(plant.environment["ENTITLE_DATABASE_URL"]).set(drivername="postgresql+psycopg2")
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'EXECUTE record_%'"
    with engine.begin() as connection:
        connection.execute(sa.text("LOCK TABLE entitlements.grants IN EXCLUSIVE MODE"))
        wait_until(lambda: bool(plant.rows(waiting)), "a batch is in hand")
        yield


def state_of(plant: Plant, group: str) -> str:
    """What Kafka says of a consumer group."""
    admin = KafkaAdminClient(bootstrap_servers=plant.kafka)
    try:
        return str(admin.describe_groups([group])[group]["group_state"])
    finally:
        admin.close()
