"""
Draws how events arrive: in what order, how often, under which ids, in which batches, and where that is interrupted.

An arrival is drawn without knowing the events, so that the smallest history is found for it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from tests.histories.chance import HOUR, Chance
from tests.histories.rendering import Json

GROUPS = ("grants", "revocations", "invoices")
AS_TOLD, REVERSED = -1, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """An event, and the integration that it is sent to."""

    integration: str
    event: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """The event of that *number*, counted round and round, comes once more, *later* by its own account if a twin."""

    number: int
    place: int
    is_twin: bool
    later: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    Some *groups* take up to *size* records of each partition. *crash* is the statement before which they die, the
    transaction's end included. *stale*: they go by what they knew at the very beginning.
    """

    groups: tuple[str, ...]
    size: int
    crash: int | None = None
    stale: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """In what *order*, by the number of a shuffle; over how many *partitions*; what comes again; the first *steps*."""

    order: int
    partitions: int
    again: tuple[Again, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The events of each partition in their order, the operators' messages by number, and the first *steps*."""

    events: tuple[tuple[Sent, ...], ...]
    messages: tuple[int, ...]
    steps: tuple[Step, ...]


IN_ORDER = Arrival(order=AS_TOLD, partitions=1, again=(), steps=())
"""Everything once, in order of time, in one batch."""


@st.composite
def arrivals(draw: st.DrawFn) -> Arrival:
    """Any arrival; the more it shrinks, the nearer to `IN_ORDER`."""
    chance = Chance(draw=draw)
    return Arrival(
        order=chance.one(AS_TOLD, REVERSED, draw(st.integers(1, 999)), draw(st.integers(1, 999))),
        partitions=chance.one(1, 2, 3),
        again=tuple(_again(chance) for _ in chance.times(0, 1, 2, 4, 8)),
        steps=tuple(_step(chance) for _ in chance.times(0, 1, 2, 3, 3, 5, 5, 8)),
    )


def _again(chance: Chance) -> Again:
    return Again(
        number=chance.draw(st.integers(0, 60)),
        place=chance.draw(st.integers(0, 60)),
        is_twin=chance.one(False, True),
        later=chance.one(0, 1, HOUR),
    )


def _step(chance: Chance) -> Step:
    return Step(
        groups=chance.one(GROUPS, *((group,) for group in GROUPS), GROUPS[:2], GROUPS[1:]),
        size=chance.one(3, 1, 8, 100),
        crash=chance.one(None, None, None, 0, 1, 2, 3, 4, 5, 6, 8, 11, 15, 20, 26, 33),
        stale=chance.rarely(6),
    )


def arranged(arrival: Arrival, events: Sequence[Sent], messages: int) -> Delivery:
    """How these *events*, and so many operators' *messages*, arrive."""
    arriving, said = _shuffled(events, arrival.order), _shuffled(range(messages), arrival.order)
    for again in arrival.again if events else ():
        sent = events[again.number % len(events)]
        arriving.insert(again.place % (len(arriving) + 1), _twin(sent, again) if again.is_twin else sent)
        if again.number < messages:
            said.append(again.number)
    chosen = random.Random(arrival.order)
    partitions: list[list[Sent]] = [[] for _ in range(arrival.partitions)]
    for sent in arriving:
        chosen.choice(partitions).append(sent)
    return Delivery(events=tuple(map(tuple, partitions)), messages=tuple(said), steps=arrival.steps)


def _shuffled(ordered: Sequence[Any], order: int) -> list[Any]:
    shuffled = list(reversed(ordered)) if order == REVERSED else list(ordered)
    if order > 0:
        random.Random(order).shuffle(shuffled)
    return shuffled


def _twin(sent: Sent, again: Again) -> Sent:
    """The same object under another event's id; of a dispute `created` decides which closing counts, so it stays."""
    event = sent.event
    later = 0 if event["type"].startswith("charge.dispute.") else again.later
    return replace(sent, event=event | {"id": f"{event['id']}_twin", "created": event["created"] + later})
