"""Who is no longer found by an org's name under another catalog: by cases."""

from __future__ import annotations

from typing import Any

import pytest

from consumers.extent import Extent
from entitlements.domain.catalog import Catalog, Org
from entitlements.domain.difference_of_names import names_lost
from entitlements.ledger import Position
from ops.far_enough import lag
from schemas.topics import EVENTS, OPERATOR_COMMANDS
from tests.pure_core import catalog, revisions


def with_orgs(**orgs: str) -> Catalog:
    return under(orgs={name: {"customer": customer} for name, customer in orgs.items()})


def under(**sections: Any) -> Catalog:
    newest = revisions({**catalog(), **sections}).newest
    assert newest is not None
    return newest.catalog


@pytest.mark.parametrize(
    ("before", "after", "set_by_hand", "lost"),
    [
        ({"initech": "cus_1"}, {"initech": "cus_1"}, {}, {}),
        ({"initech": "cus_1"}, {}, {}, {"cus_1": ("initech",)}),
        ({"initech": "cus_1"}, {"initech": "cus_2"}, {}, {"cus_1": ("initech",)}),
        ({}, {"initech": "cus_2"}, {}, {}),
        ({}, {"initech": "cus_2"}, {"initech": "cus_1"}, {"cus_1": ("initech",)}),  # the catalog's name wins
        ({"initech": "cus_1"}, {}, {"initech": "cus_1"}, {}),  # an operator has set the same
        ({"a": "cus_1", "b": "cus_1", "c": "cus_1"}, {"b": "cus_1"}, {}, {"cus_1": ("a", "c")}),
    ],
)
def test_who_is_no_longer_found_by_which_names(
    before: dict[str, str], after: dict[str, str], set_by_hand: dict[str, str], lost: dict[str, tuple[str, ...]]
) -> None:
    """A name taken away, or meaning another one; as both the catalog and operators have it."""
    settings = {("main", name): customer for name, customer in set_by_hand.items()}

    found = names_lost(with_orgs(**before), with_orgs(**after), settings)

    assert found == {("main", customer): names for customer, names in lost.items()}
    assert with_orgs(**before).orgs == {name: Org(name=name, customer=each) for name, each in before.items()}


TOPICS = {"grants": (EVENTS, OPERATOR_COMMANDS), "revocations": (EVENTS,)}
LOG = {
    (EVENTS, 0): Extent(cluster_id="c", topic_id="e", beginning=5, end=15),
    (OPERATOR_COMMANDS, 0): Extent(cluster_id="c", topic_id="o", beginning=0, end=1),
}


def at(group: str, topic: str, next_offset: int, *, cluster: str = "c") -> Position:
    topic_id = LOG[topic, 0].topic_id
    return Position(
        group=group, topic=topic, partition=0, next_offset=next_offset, cluster_id=cluster, topic_id=topic_id
    )


@pytest.mark.parametrize(
    ("rows", "left"),
    [
        ([], {"grants": 11, "revocations": 10}),  # an empty database
        ([at("grants", EVENTS, 15), at("grants", OPERATOR_COMMANDS, 1), at("revocations", EVENTS, 15)], {}),
        (
            [at("grants", EVENTS, 14), at("grants", OPERATOR_COMMANDS, 1), at("revocations", EVENTS, 15)],
            {"grants": 1},
        ),
        (
            [
                at("grants", EVENTS, 15, cluster="other"),
                at("grants", OPERATOR_COMMANDS, 1),
                at("revocations", EVENTS, 15),
            ],
            {"grants": 10},
        ),
    ],
)
def test_what_those_who_decide_have_still_to_read(rows: list[Position], left: dict[str, int]) -> None:
    """Of what Kafka has; what was read of another log is not read."""
    assert lag(TOPICS, rows, LOG) == left
