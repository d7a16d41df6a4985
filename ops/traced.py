"""
An event's way through the log: where its records stand, what each consumer group made of them, its twins. Pure.

`document` is what `entitle event --json` prints, `shown` the same for people. Fits 100 columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from entitlements.api.answers import rfc3339
from entitlements.domain.facts import Fact
from entitlements.domain.facts_in_words import in_words
from entitlements.domain.wording import moment, visible
from entitlements.evidence import Reading, Stated
from entitlements.ledger import Outcome, Position
from schemas.topics import CONSUMER_GROUPS


def document(
    event: str,
    records: Iterable[Stated],
    neighbours: Sequence[Stated],
    facts: Iterable[Fact],
    positions: Iterable[Position],
) -> dict[str, Any]:
    """
    All that is known of an event, as JSON.

    *facts* are those that its *records* state, *neighbours* the records about the same objects.
    """
    said = {fact.digest: in_words(fact) for fact in facts}
    reached = {(each.group, each.topic, each.partition): each.next_offset for each in positions}
    return {"event": event, "records": [_record(each, neighbours, said, reached) for each in records]}


def _record(
    record: Stated, neighbours: Sequence[Stated], said: Mapping[bytes, str], reached: Mapping[tuple[str, str, int], int]
) -> dict[str, Any]:
    readings = {reading.group: reading for reading in record.readings}
    groups = sorted({*readings, *(name for name, topics in CONSUMER_GROUPS.items() if record.topic in topics)})
    return {
        "integration": record.integration,
        "type": record.type,
        "created": record.created and rfc3339(record.created),
        "about": record.about,
        **_place(record),
        "appended_at": record.appended_at and rfc3339(record.appended_at),
        "groups": [
            _reading(name, readings.get(name), said, reached.get((name, record.topic, record.partition)))
            for name in groups
        ],
        "twins": [
            {"event": other.event, "type": other.type, **_place(other)}
            for other in neighbours
            if other.event != record.event and record.says_the_same(other)
        ],
    }


def _reading(group: str, reading: Reading | None, said: Mapping[bytes, str], next_offset: int | None) -> dict[str, Any]:
    """*outcome* is null where the group has not read the record; *next_offset* says how far it is there."""
    return {
        "group": group,
        "outcome": None if reading is None else reading.outcome.value,
        "recorded_at": None if reading is None else rfc3339(reading.recorded_at),
        "facts": [] if reading is None else sorted(said[digest] for digest in reading.facts if digest in said),
        "set_aside": None if reading is None else reading.set_aside,
        "next_offset": next_offset,
    }


def _place(record: Stated) -> dict[str, Any]:
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset}


def shown(traced: Mapping[str, Any]) -> RenderableType:
    """An event's way through the log, for people."""
    return Group(*(part for record in traced["records"] for part in _parts(traced["event"], record)))


def _parts(event: str, record: Mapping[str, Any]) -> Iterator[RenderableType]:
    where = f" of integration {record['integration']}" if record["integration"] else ""
    about = f", about {record['about']}" if record["about"] else ""
    created = f", created {_moment(record['created'])}" if record["created"] else ""
    appended = f", appended {_moment(record['appended_at'])}" if record["appended_at"] else ""
    yield Text(visible(f"{event}{where}: {record['type']}{about}{created}"), style="bold")
    yield Text(f"{_offset(record)}{appended}", style="dim")
    for reading in record["groups"]:
        yield _line(f"{reading['group']}: {_outcome(reading, record['offset'])}", 2)
        yield from (_line(fact, 4) for fact in reading["facts"])
    for twin in record["twins"]:
        yield _line(f"the same is said by {twin['event']} ({twin['type']}), {_offset(twin)}", 2)
    yield Text()


def _outcome(reading: Mapping[str, Any], offset: int) -> str:
    next_offset = reading["next_offset"]
    match reading["outcome"]:
        case None if next_offset is not None and next_offset > offset:
            return f"has passed it without a trace (next offset {next_offset}): was its database another one?"
        case None:
            return f"has not read it yet (next offset {'none' if next_offset is None else next_offset})"
        case Outcome.RECORDED:
            return "recorded"
        case Outcome.DUPLICATE:
            return "duplicate: all of it was known"
        case Outcome.IGNORED:
            return "ignored: it states nothing for this group"
        case Outcome.DEAD_LETTER:
            return f"set aside as a dead letter: {reading['set_aside'] or 'its row is gone'}"
        case other:
            return str(other)


def _offset(place: Mapping[str, Any]) -> str:
    return f"{place['topic']}-{place['partition']} offset {place['offset']}"


def _line(text: str, indent: int) -> RenderableType:
    return Padding(Text(visible(text), overflow="fold"), (0, 0, 0, indent), expand=False)


def _moment(text: str) -> str:
    return moment(datetime.fromisoformat(text))
