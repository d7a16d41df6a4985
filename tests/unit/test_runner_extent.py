"""Whether a row of Postgres belongs to the log at hand."""

from __future__ import annotations

from typing import Any

import pytest

from consumers.extent import Extent, check
from consumers.failures import AnotherLog, OffsetOutOfRange
from entitlements.ledger import Position


def position(**changes: Any) -> Position:
    given: dict[str, Any] = {"group": "grants", "topic": "t", "partition": 3, "next_offset": 15}
    return Position(**{**given, "cluster_id": "cluster", "topic_id": "topic", **changes})


LOG = Extent(cluster_id="cluster", topic_id="topic", beginning=10, end=20)


@pytest.mark.parametrize("next_offset", [10, 15, 20])
def test_the_next_record_is_there_or_is_the_next_to_come(next_offset: int) -> None:
    """From the oldest record to the end, where the next one will be."""
    check(position(next_offset=next_offset), LOG)


@pytest.mark.parametrize("next_offset", [9, 21])
def test_a_record_that_is_not_there_is_not_skipped(next_offset: int) -> None:
    """Before the beginning retention has taken it; beyond the end it was never there."""
    with pytest.raises(
        OffsetOutOfRange, match=rf"grants goes on from offset {next_offset} of t-3, but Kafka has \[10, 20\)"
    ):
        check(position(next_offset=next_offset), LOG)


@pytest.mark.parametrize("other", [{"cluster_id": "another"}, {"topic_id": "another"}])
def test_offsets_of_another_log_mean_nothing(other: dict[str, str]) -> None:
    """Even where the offset happens to be in range."""
    with pytest.raises(AnotherLog, match=r"another.*rebuild from it"):
        check(position(**other), LOG)
