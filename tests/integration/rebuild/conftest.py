"""A log, and a database in which a version has misread it. Edge: Kafka, Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.log import Source
from ops.stack import running
from tests.integration.rebuild.sharing import CUSTOMERS, INVOICES, MISSED, WRONG
from tests.rebuilding import Ground, billed, ground, misreading, prepare, put


@pytest.fixture(scope="package")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """A Kafka of this folder's own: a rebuild reads the whole log, and a test may add to it."""
    folder: Path = tmp_path_factory.mktemp("kafka")
    with running(folder, database=False, say=lambda _: None) as stack:
        assert stack.kafka is not None
        source = prepare(stack.kafka.address)
        put(source, *billed(INVOICES, customers=CUSTOMERS))
        yield source


@pytest.fixture
def place(source: Source, fresh_database: str) -> Iterator[Ground]:
    """A database in which a version has misread two customers' invoices, and missed one customer."""
    with ground(source, fresh_database) as found:
        found.consume(misreading(WRONG, missed=(MISSED,)))
        yield found


@pytest.fixture
def built(place: Ground) -> Ground:
    """The same with a rebuild that has caught up."""
    place.built()
    return place
