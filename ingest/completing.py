"""
What was published incomplete and is fetched later: kept within bounds, tried again at growing pauses. Edge: asyncio.

What is not completed when the process ends, or that waiting alone does not mend, is lost from here, not from the log:
`entitle complete` finds it there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum

from ingest.delivery import LINES, NotAnEvent, Publish
from ingest.fetching import Fetching
from ingest.stripe_api import NotFetched, Outcome
from ingest.under_way import Overloaded, Published, PublishFailed

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 300.0
"""Between two tries; it doubles until one succeeds."""

MOST_KEPT = 2_000
MOST_KEPT_BYTES = 64 * 1024 * 1024
"""Records kept at once, and their values' bytes; those beyond are left to `entitle complete`."""

ITS_OWN = frozenset({Outcome.MISSING, Outcome.REFUSED, Outcome.MALFORMED})
"""What comes of a question because of the object, its account or the key: it says nothing of the next record."""

MOST_TRIES = 3
"""Of a record that fails so, each after a pause; then only an operator can mend it, and it makes room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    record: Publish
    integration: str
    tries: int = 0


class _Came(Enum):
    """What came of trying one record."""

    COMPLETED = "completed"
    FAILED_BY_ITSELF = "failed by itself"
    FAILED_FOR_ALL = "failed for all"


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
        self._add(place, _Kept(record=record, integration=integration))
        self._some.set()

    async def _complete_all(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        try:
            while True:
                await self._some.wait()
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                if await self._try_each():
                    pause = FIRST_PAUSE_SECONDS
                if not self._kept:
                    self._some.clear()
        except Exception:
            log.critical("nothing is completed any more, by a fault of the program", exc_info=True)
            raise

    async def _try_each(self) -> bool:
        """Try each once, those that waited longest first, until one fails for all; whether any was completed."""
        failed: set[tuple[str, str]] = set()
        any_completed = False
        while (place := next((each for each in self._kept if each not in failed), None)) is not None:
            came = await self._try(place)
            if came is _Came.FAILED_FOR_ALL:
                break
            if came is _Came.FAILED_BY_ITSELF:
                failed.add(place)
            else:
                any_completed = True
        return any_completed

    async def _try(self, place: tuple[str, str]) -> _Came:
        kept = self._kept[place]
        record = kept.record
        about = {"integration": kept.integration, "event_id": record.event_id, "event_type": record.event_type}
        try:
            whole = await self._fetching.completed(record.value, record.headers, kept.integration)
            at = await self._publish(whole)
        except (NotFetched, NotAnEvent, Overloaded, PublishFailed) as error:
            self._let_go(place)
            by_itself = isinstance(error, NotAnEvent) or (isinstance(error, NotFetched) and error.outcome in ITS_OWN)
            tries = kept.tries + by_itself
            if tries == MOST_TRIES:
                of_lines = LINES in record.incomplete.split(",")
                advice = f"run `entitle complete{'' if of_lines else ' --payments'}`"
                log.warning(
                    f"incomplete, and let go: {advice} once that is mended", extra={**about, "detail": str(error)}
                )
            else:
                log.info("still incomplete", extra={**about, "detail": str(error)})
                self._add(place, replace(kept, tries=tries))  # others first
            return _Came.FAILED_BY_ITSELF if by_itself else _Came.FAILED_FOR_ALL
        self._let_go(place)
        if whole.incomplete:  # it is tried again as it is now, and not published before it gains more
            self.keep(whole, kept.integration)
        said = f"completed but for {whole.incomplete}" if whole.incomplete else "completed"
        log.info(said, extra={**about, "topic": at.topic, "partition": at.partition, "offset": at.offset})
        return _Came.COMPLETED

    def _add(self, place: tuple[str, str], kept: _Kept) -> None:
        self._kept[place] = kept
        self._bytes += len(kept.record.value)

    def _let_go(self, place: tuple[str, str]) -> None:
        self._bytes -= len(self._kept.pop(place).record.value)
