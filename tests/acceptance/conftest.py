"""One `entitle up` for all acceptance tests, on the session's servers and a database of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
