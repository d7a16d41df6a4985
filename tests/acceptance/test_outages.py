"""Servers away for seconds and longer, in the middle and at the start: what was promised is kept, by itself."""

from __future__ import annotations

import os
import signal
import time

from ops.server import Server
from schemas.topics import CONSUMER_GROUPS
from tests.acceptance.deliveries import faults, traffic
from tests.acceptance.plant import PROGRAMS, Plant
from tests.processes import children_of

AWAY_S = 7.0
"""Longer than a delivery's 5 s, a consumer's session of 6 s, and its longest pause between two tries."""

LONG_AWAY_S = 33.0
"""Longer than the 30 s after which the publisher gives a silent producer up: all that minutes would exercise."""


def test_kafka_is_killed(plant: Plant, own_kafka: Server) -> None:
    """While it is away webhooks are answered 503 and questions as before; then all goes on by itself."""
    with traffic(plant) as seen:
        own_kafka.kill()
        time.sleep(AWAY_S)
        plant.wait_until_unready("ingest", "grants", "revocations", "invoices")
        own_kafka.start()
        plant.wait_until_ready()

    assert faults(plant, seen) == []
    assert seen.statuses()[503] > 0
    assert seen.told[503, None] == 0


def test_kafka_hangs(plant: Plant, own_kafka: Server) -> None:
    """A broker that takes connections and never answers is away; what it took late may lie there twice."""
    with traffic(plant) as seen:
        os.kill(own_kafka.pid or 0, signal.SIGSTOP)
        time.sleep(AWAY_S)
        os.kill(own_kafka.pid or 0, signal.SIGCONT)
        plant.wait_until_ready()

    assert faults(plant, seen) == []
    assert seen.statuses()[503] > 0


def test_postgres_is_killed(plant: Plant, own_database: Server) -> None:
    """Webhooks are answered 200 all along, questions 503 and never with a denial; consumers catch up by themselves."""
    with traffic(plant) as seen:
        own_database.kill()
        time.sleep(AWAY_S)
        plant.wait_until_unready(*CONSUMER_GROUPS, perhaps=["query"])  # unless it remembers somebody
        own_database.start()
        plant.wait_until_ready()

    assert faults(plant, seen) == []
    assert {200} == set(seen.statuses())
    assert seen.told[503, None] > 0


def test_postgres_hangs(plant: Plant, own_database: Server) -> None:
    """A database that answers nothing costs a question two seconds and is told as 503; consumers wait for it."""
    with traffic(plant) as seen:
        sessions = [own_database.pid or 0, *children_of(own_database.pid or 0)]
        for pid in sessions:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(AWAY_S)
        for pid in sessions:
            os.kill(pid, signal.SIGCONT)
        plant.wait_until_ready()

    assert faults(plant, seen) == []
    assert {200} == set(seen.statuses())
    assert seen.told[503, None] > 0


def test_both_are_away_for_long(plant: Plant, own_kafka: Server, own_database: Server) -> None:
    """Longer than any session and than the publisher keeps a producer: all goes on by itself all the same."""
    with traffic(plant) as seen:
        own_kafka.kill()
        own_database.kill()
        time.sleep(LONG_AWAY_S)
        own_database.start()
        own_kafka.start()
        plant.wait_until_ready()

    assert faults(plant, seen) == []
    assert seen.statuses()[503] > 0


def test_the_program_starts_before_its_servers(plant: Plant, own_kafka: Server, own_database: Server) -> None:
    """Every process starts without them, says that it is not ready, and comes to work once they are there."""
    with traffic(plant) as seen:
        plant.end(*PROGRAMS)
        own_kafka.kill()
        own_database.kill()
        plant.start(*PROGRAMS)
        plant.wait_until_unready(*PROGRAMS)
        own_database.start()
        own_kafka.start()
        plant.wait_until_ready()

    assert faults(plant, seen, was_down=("ingest", "query")) == []
    assert seen.statuses()[503] > 0
