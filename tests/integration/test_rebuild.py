"""
`entitle rebuild` on a real Kafka and a real PostgreSQL: what it builds, what a swap exchanges, whatever happens.

Long because all of it is asked of one Kafka, which takes seconds to start.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.log import Source
from ops.stack import running
from tests.feeding import SCHEMA
from tests.rebuilding import BEFORE, REBUILD, Ground, billed, ground, misreading, prepare, put

CUSTOMERS, INVOICES = 10, 60
WRONG = ("cus_3", "cus_7")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """A Kafka of this module's own."""
    folder: Path = tmp_path_factory.mktemp("kafka")
    with running(folder, database=False, say=lambda _: None) as stack:
        assert stack.kafka is not None
        source = prepare(stack.kafka.address)
        put(source, *billed(INVOICES, customers=CUSTOMERS))
        yield source


@pytest.fixture
def place(source: Source, fresh_database: str) -> Iterator[Ground]:
    """A database in which a version has misread two customers' invoices."""
    with ground(source, fresh_database) as found:
        found.consume(misreading(WRONG))
        yield found


def test_it_builds_swaps_and_swaps_back(place: Ground) -> None:
    """Built, swapped, swapped back and forth: each time one is whole what the other was."""
    wrong = place.facts()

    place.built()
    right = place.facts(REBUILD)
    place.rebuild("--swap")

    assert wrong != right
    assert (place.facts(), place.facts(BEFORE), place.schemas()) == (right, wrong, {SCHEMA, BEFORE})
    assert place.offsets() == place.offsets(BEFORE)
    place.rebuild("--swap-back")
    assert (place.facts(), place.facts(BEFORE), place.schemas()) == (wrong, right, {SCHEMA, BEFORE})
    place.rebuild("--swap-back")
    assert (place.facts(), place.facts(BEFORE), place.schemas()) == (right, wrong, {SCHEMA, BEFORE})
    place.rebuild("--drop")
    assert (place.facts(), place.schemas()) == (right, {SCHEMA})
