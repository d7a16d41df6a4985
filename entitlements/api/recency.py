"""
How far what is remembered can be believed: by the age of the last look, and by whose fault that age is. Edge: a clock.

What is remembered is *fresh* while the last look for changes began no longer ago than is allowed. Behind that there are
two cases, which the clock alone can't tell apart. The database is *silent*: this process ran all the while, expected a
look and got none; then what was known goes on being answered, marked as degraded. Or this process itself stood still
(SIGSTOP, a frozen container, a starved machine), and word of a commit may lie unread in its own socket: then what is
remembered is *in doubt* until a look says otherwise. So silence is counted in turns of the event loop, not in seconds,
and a turn that comes late begins the count anew.
"""

from __future__ import annotations

from collections.abc import Callable

TURNS = 10
"""Turns in the time for which a look is fresh."""

SILENT_TURNS = 8
LATE_TURNS = 5
"""A turn that comes so many turns late is one of a process that stood still."""


class Recency:
    """Of one memory. *monotonic* gives seconds that never go back; a look is fresh for *fresh_s*."""

    __slots__ = ("_fresh_s", "_late_s", "_looked_at", "_monotonic", "_turned_at", "_turns", "turn_s")

    def __init__(self, monotonic: Callable[[], float], fresh_s: float) -> None:
        self._monotonic = monotonic
        self._fresh_s = fresh_s
        self.turn_s = fresh_s / TURNS
        """How often `turn` is to be called, in seconds."""
        self._late_s = self.turn_s * LATE_TURNS
        self._looked_at = float("-inf")
        self._turned_at = monotonic()
        self._turns = 0

    def looked(self, began: float) -> None:
        """A look that began then has been seen to its end."""
        self._looked_at = began
        if self.is_fresh():
            self._turns = 0

    def turn(self) -> None:
        """The event loop has come round."""
        now = self._monotonic()
        self._turns = 0 if now - self._turned_at > self._late_s else self._turns + 1
        self._turned_at = now

    def ago(self) -> float:
        """Seconds since the last look began; infinite before the first."""
        return self._monotonic() - self._looked_at

    def is_fresh(self) -> bool:
        """Whether the last look is recent enough for all that is remembered."""
        return self._monotonic() - self._looked_at <= self._fresh_s

    def is_silent(self) -> bool:
        """Whether no look comes though this process waits for one: not fresh, and not this process's doing."""
        now = self._monotonic()
        return (
            now - self._looked_at > self._fresh_s
            and self._turns >= SILENT_TURNS
            and now - self._turned_at <= self._late_s
        )
