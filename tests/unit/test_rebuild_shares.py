"""How the processes of a rebuild split the log among them."""

from __future__ import annotations

from ops.rebuild import shares
from schemas.topics import EVENTS


def test_partitions_are_split_evenly() -> None:
    """By what is left of each; none without records, no part without partitions."""
    left = {(EVENTS, 0): 5, (EVENTS, 1): 9, (EVENTS, 2): 3, (EVENTS, 3): 0, (EVENTS, 4): 4}

    assert shares(left, 2) == [[(EVENTS, 1), (EVENTS, 2)], [(EVENTS, 0), (EVENTS, 4)]]
    assert shares(left, 9) == [[(EVENTS, 1)], [(EVENTS, 0)], [(EVENTS, 4)], [(EVENTS, 2)]]
