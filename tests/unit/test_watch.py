"""Who waits for changes: woken by one look for all of them, and an answer whatever ends the wait."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from entitlements.api.changes import Watch
from entitlements.api.listening import Look
from entitlements.api.snapshots import CannotDecide
from entitlements.tail import Learnt


def look(head: int, began: float) -> Look:
    return Look(learnt=Learnt(), head=head, began=began, at=datetime(2026, 6, 1, tzinfo=UTC))


def watching(head: int) -> Watch:
    """A watch that was told of this head a second ago, by a clock that stands at 1."""
    watch = Watch(lambda: 1.0)
    watch.take(look(head, 0.0))
    return watch


@pytest.mark.parametrize("head", [8, 3])
def test_all_who_wait_are_woken_by_one_look(head: int) -> None:
    """Fifty wait; a look that says nothing new wakes nobody, one with another head everybody."""

    async def waited() -> tuple[int, int]:
        watch = watching(7)
        waiting = [asyncio.create_task(watch.beyond(7, 20)) for _ in range(50)]
        await asyncio.sleep(0)
        watch.take(look(7, 1.5))
        await asyncio.sleep(0.01)
        early = sum(each.done() for each in waiting)
        watch.take(look(head, 2.0))
        await asyncio.wait(waiting, timeout=1)
        return early, sum(each.done() for each in waiting)

    assert asyncio.run(waited()) == (0, 50)


def test_a_number_that_was_given_before_one_waits_is_not_waited_for() -> None:
    """The look overtook the answer of the database: who begins to wait behind an older number asks again at once."""

    async def waited() -> bool:
        done, _ = await asyncio.wait([asyncio.create_task(watching(8).beyond(7, 20))], timeout=1)
        return bool(done)

    assert asyncio.run(waited())


def test_a_look_older_than_what_is_known_wakes_nobody() -> None:
    """The answer of the database overtook the look: the head of that look is no other database's."""

    async def waits_on() -> None:
        watch = watching(6)
        waiting = asyncio.create_task(watch.beyond(7, 20))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        watch.take(look(8, 2.0))
        await asyncio.wait_for(waiting, 1)

    asyncio.run(waits_on())


def test_the_feed_is_followed_while_somebody_asks() -> None:
    """Also before the wait begins, so that a number given in between is looked for."""
    watch = watching(7)
    assert not watch.is_followed()
    with watch.following(), watch.following():
        assert watch.is_followed()
    assert not watch.is_followed()


def test_a_wait_that_the_server_ends_says_so() -> None:
    """A gateway whose wait is cancelled because the process ends is told to ask another, not that there is a fault."""

    async def ended() -> None:
        waiting = asyncio.create_task(watching(7).beyond(7, 20))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await waiting

    with pytest.raises(CannotDecide, match="ending"):
        asyncio.run(ended())
