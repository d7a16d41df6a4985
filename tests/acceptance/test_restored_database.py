"""Postgres restored from a backup that is older than the log: the log has the rest, and consumers read it again."""

from __future__ import annotations

import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

from ops import postgres_server
from ops.server import Server
from schemas.topics import CONSUMER_GROUPS
from tests.acceptance.deliveries import faults, traffic
from tests.acceptance.plant import Plant


def test_a_base_backup_restored_while_webhooks_come(plant: Plant, own_database: Server, tmp_path: Path) -> None:
    """Taken while consumers record and put back under them, they fill up by themselves what it lacks."""
    with traffic(plant) as seen:
        base_backup(plant, tmp_path / "backup")
        time.sleep(1)
        written_by = datetime.now(UTC)
        plant.catch_up()
        restore(own_database, tmp_path / "backup")
        restored_at = datetime.now(UTC)
        plant.wait_until_ready()

    assert faults(plant, seen) == []
    assert read_again(plant, written_by, restored_at) > 0
    assert set(seen.statuses()) == {200}


def test_a_base_backup_restored_while_nothing_comes(plant: Plant, own_database: Server, tmp_path: Path) -> None:
    """Consumers notice within seconds that Postgres went back, though no record tells them."""
    with traffic(plant) as seen:
        base_backup(plant, tmp_path / "backup")
    written_by = datetime.now(UTC)
    restore(own_database, tmp_path / "backup")
    plant.catch_up()
    plant.wait_until_ready()

    assert faults(plant, seen) == []
    assert read_again(plant, written_by, written_by) > 0


def test_a_dump_restored_while_the_program_is_stopped(plant: Plant, tmp_path: Path) -> None:
    """A pg_dump taken while consumers record is one moment of facts and offsets: they fill up the rest once started."""
    dump = str(tmp_path / "dump")
    with traffic(plant) as seen:
        pg("pg_dump", plant, "--format=custom", "--file", dump)
        plant.catch_up()
    before = recorded(plant)
    plant.end(*CONSUMER_GROUPS, "query")
    pg("pg_restore", plant, "--clean", "--if-exists", "--exit-on-error", "--single-transaction", dump)
    restored = recorded(plant)
    plant.start(*CONSUMER_GROUPS)
    plant.catch_up()
    plant.start("query")
    plant.wait_until_ready()

    assert faults(plant, seen) == []
    assert restored < before == recorded(plant)


def base_backup(plant: Plant, folder: Path) -> None:
    pg("pg_basebackup", plant, "--pgdata", str(folder), "--checkpoint", "fast")


def pg(program: str, plant: Plant, *arguments: str) -> None:
    """One of PostgreSQL's own programs, on the plant's database."""
    found = postgres_server.programs()
    assert found is not None
    command = [str(found / program), "--dbname", plant.environment["ENTITLE_DATABASE_URL"], *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def restore(database: Server, backup: Path) -> None:
    """Put *backup* in the place of the server's data, as after the loss of its disk."""
    data = database.log.parent / "postgres"
    database.kill()
    shutil.rmtree(data)
    shutil.copytree(backup, data)
    database.start()


def read_again(plant: Plant, written_by: datetime, restored_at: datetime) -> int:
    """How many of the records that had been recorded before are recorded since the restoration."""
    query = "SELECT count(*) FROM provenance WHERE appended_at < :written_by AND recorded_at > :restored_at"
    [(count,)] = plant.rows(query, written_by=written_by, restored_at=restored_at)
    return int(count)


def recorded(plant: Plant) -> int:
    """How many records the groups have recorded, by their offsets."""
    [(total,)] = plant.rows("SELECT sum(next_offset) FROM consumer_offsets")
    return int(total)
