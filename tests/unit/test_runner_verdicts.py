"""What records come to in several groups at once, before anything is recorded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from consumers.record import Record
from consumers.verdicts import decided, furthest_behind, kafka_group
from entitlements.ledger import Position
from schemas.codec import Message
from tests import toys

PLACE = ("events", 0)


def position(group: str, next_offset: int, place: tuple[str, int] = PLACE) -> Position:
    topic, partition = place
    return Position(
        group=group, topic=topic, partition=partition, next_offset=next_offset, cluster_id="c", topic_id="t"
    )


def records(*names: str) -> list[Record]:
    made = []
    for offset, name in enumerate(names):
        key, value, headers = toys.message(name)
        made.append(
            Record(
                topic="events", partition=0, offset=offset, timestamp=0, key=key, value=value, headers=tuple(headers)
            )
        )
    return made


def test_a_record_is_decoded_once_for_all_groups() -> None:
    """Each group decides about the same message; what cannot be read is so in every group, for one reading."""
    read: list[bytes | None] = []

    def decode(topic: str, value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> Message:
        read.append(value)
        return toys.decode(topic, value, headers)

    groups = [toys.group("events", name=name) for name in ("first", "second", "third")]
    positions = {(group.name, PLACE): position(group.name, 0) for group in groups}
    given = [*records("a"), replace(records("", "x")[1], value=None)]

    found = decided(decode, groups, given, positions)

    assert [each.value for each in given] == read
    for group in groups:
        assert [str(verdict.outcome) for verdict in found[group.name]] == ["duplicate", "dead_letter"]


def test_a_group_passes_over_what_it_has_and_what_it_does_not_read() -> None:
    """From its own next offset on, and only in partitions in which it has one."""
    groups = [toys.group("events", name=name) for name in ("ahead", "behind", "elsewhere")]
    positions = {("ahead", PLACE): position("ahead", 2), ("behind", PLACE): position("behind", 1)}

    found = decided(toys.decode, groups, records("a", "b", "c"), positions)

    assert {name: [each.record.offset for each in verdicts] for name, verdicts in found.items()} == {
        "ahead": [2],
        "behind": [1, 2],
        "elsewhere": [],
    }


def test_the_log_is_read_from_who_is_furthest_behind() -> None:
    """In each partition by itself."""
    other = ("events", 1)
    positions = {
        ("a", PLACE): position("a", 7),
        ("b", PLACE): position("b", 3),
        ("a", other): position("a", 1, other),
    }

    assert furthest_behind(positions) == {PLACE: 3, other: 1}


def test_kafkas_group_has_one_name_for_a_set_of_groups() -> None:
    """Of one group its own name, as always; of several the same in whichever order they are given."""
    assert kafka_group(["grants"]) == "grants"
    assert kafka_group(["revocations", "grants"]) == kafka_group(["grants", "revocations"]) == "grants+revocations"
