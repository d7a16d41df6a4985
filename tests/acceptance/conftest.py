"""One `entitle up` for all acceptance tests; and for outages one more program, on servers that may be killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ops.server import Server
from ops.stack import running
from tests.acceptance.grounds import Grounds
from tests.acceptance.plant import Plant, planted
from tests.acceptance.running import Running, up
from tests.servers import new_database


@pytest.fixture(scope="session")
def program(database_url: str, kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The whole program, running and ready. Its database is new; its topics may hold what other tests sent."""
    folder: Path = tmp_path_factory.mktemp("up")
    with (
        new_database(database_url) as database,
        up(folder, {"ENTITLE_DATABASE_URL": database, "ENTITLE_KAFKA": kafka}) as running,
    ):
        yield running


@dataclass(frozen=True, slots=True, kw_only=True)
class Works:
    """A plant and the servers that it alone is on."""

    plant: Plant
    database: Server
    kafka: Server


@contextmanager
def works(folder: Path) -> Iterator[Works]:
    """Each process of the program by itself, on servers of its own, ready."""
    with TemporaryDirectory() as data, running(Path(data), say=lambda _: None) as stack:
        assert stack.database is not None
        assert stack.kafka is not None
        with planted(folder, database=stack.database.address, kafka=stack.kafka.address) as plant:
            yield Works(plant=plant, database=stack.database, kafka=stack.kafka)


@pytest.fixture(scope="session")
def own_grounds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grounds[Works]]:
    grounds = Grounds(lambda: works(tmp_path_factory.mktemp("plant")))
    yield grounds
    grounds.clear()


@pytest.fixture
def own_works(own_grounds: Grounds[Works], request: pytest.FixtureRequest) -> Works:
    """For tests of outages alone. One that passes leaves all running and ready; after one that fails it is replaced."""
    return own_grounds.whole(request.session.testsfailed)


@pytest.fixture
def own_database(own_works: Works) -> Server:
    return own_works.database


@pytest.fixture
def own_kafka(own_works: Works) -> Server:
    return own_works.kafka


@pytest.fixture
def plant(own_works: Works) -> Plant:
    """Each process of the program by itself, on servers of its own; a test that passes leaves all running and ready."""
    return own_works.plant
