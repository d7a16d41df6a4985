"""
The moments at which time alone changes an answer: a cycle, a leeway, unpaid terms or a block begins or ends. Pure.

They are read off a state that was told (`AccessChange`): its readers change their answers there by themselves. A state
is told as of a moment, so each boundary lies in one interval between two states, and is told with the later one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise

from schemas.access_change import AccessChange, ApiAccess, Boundary, Stretch


def passed(told: AccessChange, now: datetime) -> tuple[Boundary, ...]:
    """The boundaries that lie behind the state that was *told* and not after *now*, in order of time."""
    found = [_boundary(group, before, after) for group, before, after in _changes(told) if after.start <= now]
    return tuple(sorted(found, key=lambda each: (each.at, each.apis)))


def next_boundary(told: AccessChange, after: datetime) -> datetime | None:
    """The first moment behind *after* at which time alone changes an answer; None where none does."""
    return min((later.start for _, _, later in _changes(told) if later.start > after), default=None)


def _changes(told: AccessChange) -> Iterator[tuple[ApiAccess, Stretch, Stretch]]:
    for group in told.access:
        for before, after in pairwise(group.stretches):
            yield group, before, after


def _boundary(group: ApiAccess, before: Stretch, after: Stretch) -> Boundary:
    change = "changed" if before.decision == after.decision else "opened" if after.decision else "closed"
    return Boundary(
        at=after.start,
        apis=group.apis,
        marketplaces=group.marketplaces,
        change=change,
        before=before.reason,
        after=after.reason,
    )
