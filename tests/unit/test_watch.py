"""Who waits for changes: one look for all of them, and an answer whatever ends the wait."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from entitlements.api import changes
from entitlements.api.changes import Watch
from entitlements.api.snapshots import CannotDecide


class Feed:
    """In place of the database: the head that a test sets, and how often it was asked for."""

    def __init__(self) -> None:
        self.head, self.asked = 7, 0

    async def ask(self, _: Any) -> int:
        self.asked += 1
        return self.head


def test_all_who_wait_are_woken_by_one_look() -> None:
    """Fifty wait, the database is asked as if for one; all return once the head is another, and nobody asks on."""

    async def waited() -> tuple[int, int]:
        feed = Feed()
        watch = Watch(feed)  # type: ignore[arg-type]
        waiting = [asyncio.create_task(watch.beyond(7, 20)) for _ in range(50)]
        await asyncio.sleep(2.5 * changes.LOOK_EVERY_S)
        asked, feed.head = feed.asked, 8
        await asyncio.gather(*waiting)
        await asyncio.sleep(2 * changes.LOOK_EVERY_S)
        after = feed.asked
        await asyncio.sleep(2 * changes.LOOK_EVERY_S)
        return asked, feed.asked - after

    asked, later = asyncio.run(waited())
    assert 1 <= asked <= 4
    assert later == 0


def test_a_wait_that_the_server_ends_says_so() -> None:
    """A gateway whose wait is cancelled because the process ends is told to ask another, not that there is a fault."""

    async def ended() -> None:
        waiting = asyncio.create_task(Watch(Feed()).beyond(7, 20))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        waiting.cancel()
        await waiting

    with pytest.raises(CannotDecide, match="ending"):
        asyncio.run(ended())
