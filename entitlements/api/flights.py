"""
Loads that are under way: one for all who ask for the same, and none is kept that was overtaken. Edge: asyncio.

A load is *overtaken* when what it loads is dropped while it is under way: it may have begun before the commit that it
was dropped for. It answers those who wait for it, and whoever comes later begins another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

Loaded = TypeVar("Loaded")


class Flights:
    """By name, the loads under way."""

    __slots__ = ("_flights",)

    def __init__(self) -> None:
        self._flights: dict[Hashable, asyncio.Task[Any]] = {}

    async def join(
        self, name: Hashable, load: Callable[[], Awaitable[Loaded]], keep: Callable[[Loaded], None]
    ) -> Loaded:
        """
        What *load* gives, or what the one gives that is under way already; *keep* is called with it unless it was
        overtaken. A caller that is cancelled leaves the load to the others.
        """
        task = self._flights.get(name)
        if task is None:
            task = self._flights[name] = asyncio.ensure_future(self._fly(name, load, keep))
            task.add_done_callback(_heard)
        return await asyncio.shield(task)

    def overtake(self, name: Hashable) -> None:
        """Keep nothing of the load of this name that is under way."""
        self._flights.pop(name, None)

    def overtake_all(self) -> None:
        self._flights.clear()

    async def _fly(
        self, name: Hashable, load: Callable[[], Awaitable[Loaded]], keep: Callable[[Loaded], None]
    ) -> Loaded:
        task = asyncio.current_task()
        try:
            loaded = await load()
            if self._flights.get(name) is task:
                keep(loaded)
            return loaded
        finally:
            if self._flights.get(name) is task:
                del self._flights[name]


def _heard(task: asyncio.Task[Any]) -> None:
    """A failure was heard, even if all who waited for it have given up."""
    if not task.cancelled():
        task.exception()
