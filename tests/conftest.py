"""Fixtures for all tests: real servers, found by `tests/servers.py` and started when the first test needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.servers import Servers


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    from tests.servers import Servers  # not on top: unit tests should not wait for its imports

    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            print(f"\n{line}", flush=True)

    with ExitStack() as until_end:
        yield Servers(say=say, until_end=until_end)


@pytest.fixture(scope="session")
def database_url(servers: Servers) -> str:
    """A PostgreSQL in which databases may be created; for a database of one's own take `fresh_database`."""
    return _or_fail(servers.database_url)


@pytest.fixture(scope="session")
def kafka(servers: Servers) -> str:
    """Bootstrap servers of a Kafka that all tests share: topics and groups need names of their own."""
    return _or_fail(servers.kafka)


@pytest.fixture
def fresh_database(database_url: str) -> Iterator[str]:
    """The URL of an empty database that this test alone uses."""
    from tests.servers import new_database

    with new_database(database_url) as url:
        yield url


@pytest.fixture
def stack_folder() -> Iterator[Path]:
    """
    A folder for an embedded stack of the test's own, whose servers it may kill.

    Not `tmp_path`: the folders above that are closed to the user as whom PostgreSQL runs for root in a container.
    """
    with TemporaryDirectory() as folder:
        yield Path(folder)


def _or_fail(find: Callable[[], str]) -> str:
    from ops.stack import StackUnavailable

    try:
        return find()
    except StackUnavailable as error:
        pytest.fail(str(error), pytrace=False)
