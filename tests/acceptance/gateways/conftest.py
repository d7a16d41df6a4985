"""The gateways of all tests here: which ones says TEST_GATEWAYS, by default those that Debian has."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.acceptance.gateways.passage import Passage, passing
from tests.acceptance.gateways.recipes import missing
from tests.acceptance.gateways.stand import Stand, put_up
from tests.acceptance.plant import Plant

OF_DEBIAN = "nginx,haproxy,caddy"


@pytest.fixture(scope="session")
def stands() -> Iterator[list[Stand]]:
    """The stand that is up, if one is; for `stand` alone."""
    up: list[Stand] = []
    yield up
    for each in up:
        each.until_end.close()


@pytest.fixture
def stand(plant: Plant, stands: list[Stand]) -> Stand:
    """All gateways, before one API and the program; a new one where the program is, since a test has failed."""
    names = os.environ.get("TEST_GATEWAYS", OF_DEBIAN).split(",")
    if absent := missing(names):
        pytest.fail(absent, pytrace=False)
    if stands and stands[0].plant is not plant:
        stands.pop().until_end.close()
    if not stands:
        stands.append(put_up(names, plant))
    return stands[0]


@pytest.fixture
def passage(stand: Stand) -> Iterator[Passage]:
    """A way from gateways to the query process that can be made slow, and that counts."""
    with passing(stand.query) as made:
        yield made
