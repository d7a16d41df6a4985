"""
What was published incomplete and is fetched later: kept within bounds, tried again at growing pauses. Edge: asyncio.

What is not completed when the process ends is lost from here, not from the log: `entitle complete` finds it there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from ingest.delivery import NotAnEvent, Publish
from ingest.fetching import Fetching
from ingest.publisher import Overloaded, Published, PublishFailed
from ingest.stripe_api import NotFetched

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 300.0
"""Between two tries; it doubles until one succeeds."""

MOST_KEPT = 2_000
MOST_KEPT_BYTES = 64 * 1024 * 1024
"""Records kept at once, and their values' bytes; those beyond are left to `entitle complete`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    record: Publish
    integration: str


class Completing:
    """Completes records one after another, and gives each to *publish* under the id that it has. Used in one loop."""

    __slots__ = ("_bytes", "_fetching", "_kept", "_publish", "_some", "_task")

    def __init__(self, fetching: Fetching, publish: Callable[[Publish], Awaitable[Published]]) -> None:
        self._fetching = fetching
        self._publish = publish
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._bytes = 0
        self._some = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many records wait to be completed."""
        return len(self._kept)

    def start(self) -> None:
        """Begin to complete what is kept."""
        self._task = asyncio.create_task(self._complete_all())

    async def close(self) -> None:
        """Stop at once, in the middle of a pause or of a question to Stripe."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._kept:
            log.warning("stopped with %d records incomplete: run `entitle complete`", len(self._kept))

    def keep(self, record: Publish, integration: str) -> None:
        """Complete *record* later, if there is a key to do so and room; what is kept already is kept once."""
        place = (integration, record.event_id)
        if not self._fetching.can_complete(integration) or place in self._kept:
            return
        if len(self._kept) >= MOST_KEPT or self._bytes + len(record.value) > MOST_KEPT_BYTES:
            log.warning("too many records are incomplete to keep this one: run `entitle complete` later")
            return
        self._kept[place] = _Kept(record=record, integration=integration)
        self._bytes += len(record.value)
        self._some.set()

    async def _complete_all(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        try:
            while True:
                await self._some.wait()
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                while self._kept and await self._complete_next():
                    pause = FIRST_PAUSE_SECONDS
                if not self._kept:
                    self._some.clear()
        except Exception:
            log.critical("nothing is completed any more, by a fault of the program", exc_info=True)
            raise

    async def _complete_next(self) -> bool:
        """Try the one that has waited longest since its last try; whether it is done with."""
        place, kept = next(iter(self._kept.items()))
        record = kept.record
        about = {"integration": kept.integration, "event_id": record.event_id, "event_type": record.event_type}
        try:
            whole = await self._fetching.completed(record.value, record.headers, kept.integration)
            at = await self._publish(whole)
        except (NotFetched, NotAnEvent, Overloaded, PublishFailed) as error:
            log.info("still incomplete", extra={**about, "detail": str(error)})
            self._kept[place] = self._kept.pop(place)  # others first
            return False
        del self._kept[place]
        self._bytes -= len(record.value)
        log.info("completed", extra={**about, "topic": at.topic, "partition": at.partition, "offset": at.offset})
        return True
