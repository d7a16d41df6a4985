"""Which records a replay reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements.ledger import Position
from entitlements.replays import Span
from ops.replay_plan import END, Extent, Plan, between, extents_read, offsets_asked, plan, spans_of

A, B = ("t", 0), ("t", 1)


def span(start: int, end: int, partition: int = 0) -> Span:
    return Span(topic="t", partition=partition, start=start, end=end)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("t-0:5-9", span(5, 9)),
        ("t-1:-9", span(0, 9, 1)),
        ("t-0:5-", span(5, END)),
        ("a.b-c-3:0-1", Span(topic="a.b-c", partition=3, start=0, end=1)),
    ],
)
def test_offsets_are_read_as_they_are_written(text: str, asked: Span) -> None:
    """From the one on, without the other; either may be left out, and a topic's name may have hyphens."""
    assert offsets_asked(text) == asked


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("t-0", "is not TOPIC"),
        ("t-0:9-5", "no record"),
        ("t-0:5-5", "no record"),
        ("t:1-2", "is not TOPIC"),
        ("", "is not"),
    ],
)
def test_offsets_that_say_nothing_are_refused(text: str, said: str) -> None:
    """What is wrong is said."""
    with pytest.raises(ValueError, match=said):
        offsets_asked(text)


@given(st.sets(st.tuples(st.sampled_from(["t", "u"]), st.integers(0, 2), st.integers(0, 12))))
def test_spans_have_the_addresses_and_no_others(addresses: set[tuple[str, int, int]]) -> None:
    """Neighbours are joined, and every record is read once."""
    spans = spans_of(addresses)
    read = [(each.topic, each.partition, offset) for each in spans for offset in range(each.start, each.end)]

    assert read == sorted(addresses)
    assert all(
        (one.topic, one.partition, one.end) != (two.topic, two.partition, two.start) for one in spans for two in spans
    )


def test_only_what_kafka_has_and_the_groups_have_read_is_read_again() -> None:
    """What is gone and what is still to be read is counted; overlaps are read once."""
    known = {A: Extent(beginning=3, read=8), B: Extent(beginning=0, read=0)}
    asked = [span(1, 6), span(5, END), span(0, END, 1)]

    assert plan(asked, known, {A: 10, B: 2}) == Plan(spans=(span(3, 8),), gone=2, unread=4)
    assert plan([span(9, 10)], known, {A: 10, B: 2}) == Plan(spans=(), gone=0, unread=1)
    with pytest.raises(ValueError, match="u-0 is not read by these groups; what they have read is t-0, t-1"):
        plan([Span(topic="u", partition=0, start=0, end=1)], known, {A: 10, B: 2})


def test_a_partition_can_be_read_as_far_as_all_its_groups_have() -> None:
    """The group that is furthest behind reads the rest itself."""
    rows = [
        Position(group=group, topic="t", partition=0, next_offset=offset, cluster_id="c", topic_id="t")
        for group, offset in (("a", 9), ("b", 7))
    ]

    assert extents_read(rows, {A: 2}) == {A: Extent(beginning=2, read=7)}


def test_moments_become_offsets() -> None:
    """A moment behind the last record ends nothing and begins nothing."""
    assert between({A: 4, B: None}, {A: 9, B: None}, [A, B]) == (span(4, 9),)
    assert between(None, {A: 9, B: None}, [A, B]) == (span(0, 9), span(0, END, 1))
    assert between({A: 4, B: 0}, None, [A, B]) == (span(4, END), span(0, END, 1))
    assert between({A: 4, B: 2}, {A: 4, B: 2}, [A, B]) == ()
