"""One `entitle up` for all acceptance tests; and for outages one more program, on servers that may be killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ops.server import Server
from ops.stack import running
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


@pytest.fixture(scope="session")
def own_servers() -> Iterator[tuple[Server, Server]]:
    """PostgreSQL and Kafka for the tests of outages alone, which leave them running."""
    with TemporaryDirectory() as folder, running(Path(folder), say=lambda _: None) as stack:
        assert stack.database is not None
        assert stack.kafka is not None
        yield stack.database, stack.kafka


@pytest.fixture
def own_database(own_servers: tuple[Server, Server]) -> Server:
    return own_servers[0]


@pytest.fixture
def own_kafka(own_servers: tuple[Server, Server]) -> Server:
    return own_servers[1]


@pytest.fixture(scope="session")
def plant(own_servers: tuple[Server, Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Each process of the program by itself, on servers of its own; tests leave all of them running and ready."""
    database, kafka = own_servers
    with planted(tmp_path_factory.mktemp("plant"), database=database.address, kafka=kafka.address) as made:
        yield made
