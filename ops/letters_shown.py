"""
Dead letters on a terminal and for programs. Pure.

Fits 100 columns. Of what a letter holds nothing is shown but where the whole of it is asked for.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from entitlements.api.answers import rfc3339
from entitlements.domain.wording import listed as in_a_list
from entitlements.domain.wording import moment, visible
from entitlements.ledger import Outcome
from entitlements.letters import Act, Content, Done, Letter, State, Summary
from ops.redrive import Redriven

WHAT_TO_DO = (
    "One of them whole: `entitle dead-letters show ID`. Read again by this version: `redrive`. Given up: `discard`."
)


def so_many(count: int) -> str:
    """`1 letter`, `2,000 letters`."""
    return f"{count:,} letter{'' if count == 1 else 's'}"


def summary(one: Summary) -> dict[str, Any]:
    """The letters of a group and reason, for programs."""
    return {
        "group": one.group,
        "reason": one.reason,
        "state": one.state.value,
        "count": one.count,
        "ids": [one.first_id, one.last_id],
        "oldest": one.oldest and rfc3339(one.oldest),
        "newest": one.newest and rfc3339(one.newest),
    }


def letter(one: Letter) -> dict[str, Any]:
    """A letter without what it holds, for programs."""
    return {
        "id": one.id,
        "group": one.group,
        "state": one.state.value,
        "topic": one.topic,
        "partition": one.partition,
        "offset": one.offset,
        "reason": one.reason,
        "event": one.event,
        "type": one.event_type,
        "appended_at": one.appended_at and rfc3339(one.appended_at),
        "set_aside_at": rfc3339(one.set_aside_at),
    }


def whole(one: Letter, content: Content, done: Sequence[Done]) -> dict[str, Any]:
    """A letter with all it holds, for programs; bytes that are no UTF-8 are spelled out."""
    return {
        **letter(one),
        "key": _text(content.key),
        "value": _text(content.value),
        "headers": [[name, _text(value)] for name, value in content.headers],
        "detail": content.detail,
        "done": [
            {
                "act": each.act.value,
                "came_to": each.came_to and each.came_to.value,
                "reason": each.reason,
                "by": each.by,
                "at": rfc3339(each.at),
            }
            for each in done
        ],
    }


def redriven(one: Redriven) -> dict[str, Any]:
    """What became of a letter, for programs."""
    of = one.letter
    return {"id": of.id, "group": of.group, "event": of.event, "came_to": one.outcome.value, "reason": one.reason}


def listed(summaries: Sequence[Summary]) -> RenderableType:
    """What was set aside, by group and reason, for people."""
    if not summaries:
        return Text("no dead letters")
    by_state = Counter[State]()
    for each in summaries:
        by_state[each.state] += each.count
    told = ", ".join(f"{count:,} {state.value}" for state, count in sorted(by_state.items()))
    table = _table("letters", "group", "ids", "oldest", "newest", "reason")
    for each in summaries:
        state = "" if each.state is State.OPEN else f" ({each.state.value})"
        ids = f"{each.first_id}" if each.count == 1 else f"{each.first_id}–{each.last_id}"
        cells = (f"{each.count:,}", each.group, ids, _moment(each.oldest), _moment(each.newest), each.reason + state)
        table.add_row(*(Text(visible(cell)) for cell in cells))
    return Group(Text(f"Dead letters: {told}; every time is UTC", style="bold"), _indented(table), Text(WHAT_TO_DO))


def each_shown(some: Sequence[Letter], count: int) -> RenderableType:
    """Letters one by one, the first of *count*, for people."""
    if not some:
        return Text("no dead letters")
    left = f", the first {len(some)} of {count:,}: --json has all" if count > len(some) else ""
    parts: list[RenderableType] = [Text(f"Dead letters, by id{left}; every time is UTC", style="bold")]
    for one in some:
        state = "" if one.state is State.OPEN else f", {one.state.value}"
        event = f", {one.event} ({one.event_type})" if one.event else ""
        parts.append(_line(f"{one.id} {one.group}{state}: {_place(one)}, {_moment(one.appended_at)}{event}", 2))
        parts.append(_line(one.reason, 4))
    return Group(*parts)


def whole_shown(one: Letter, content: Content, done: Sequence[Done]) -> RenderableType:
    """A letter with all it holds, for people."""
    return Group(*_whole(one, content, done))


def _whole(one: Letter, content: Content, done: Sequence[Done]) -> Iterator[RenderableType]:
    event = f", {one.event} ({one.event_type})" if one.event else ""
    yield Text(visible(f"Dead letter {one.id} of {one.group}, {one.state.value}{event}"), style="bold")
    appended = f", appended {_moment(one.appended_at)}" if one.appended_at else ""
    yield Text(f"{_place(one)}{appended}, set aside {_moment(one.set_aside_at)}; every time is UTC", style="dim")
    yield _line(one.reason, 2)
    for each in done:
        yield _line(_done(each), 2)
    yield _heading("Headers")
    for name, value in content.headers:
        yield _line(f"{name}: {_text(value)}", 2)
    yield _line(f"key: {_text(content.key)}", 2)
    yield _heading("Value")
    for line in _value(content.value).splitlines():
        yield _line(line, 2)
    yield _heading("Why")
    for line in content.detail.rstrip().splitlines():
        yield _line(line, 2)


def redriven_shown(done: Sequence[Redriven], *, passed_over: int, dry_run: bool) -> RenderableType:
    """What became of letters, for people; *passed_over* are those that somebody else has seen to meanwhile."""
    if not done:
        return Text("nothing to redrive: no letter that is meant is open")
    read = [each for each in done if each.reason is None]
    counts = Counter(each.outcome for each in read)
    outcomes = [f"{counts[outcome]:,} {outcome.value}" for outcome in Outcome if counts[outcome]]
    told = f"{so_many(len(done))}: {in_a_list(outcomes, 'and') or 'none read'}"
    failed = [each for each in done if each.reason is not None]
    told += f", {len(failed):,} can't be read yet" if failed else ""
    others = f"; {so_many(passed_over)} somebody else has seen to meanwhile" if passed_over else ""
    parts: list[RenderableType] = [Text(f"{told}{others}", style="bold")]
    for why, count in Counter((each.letter.group, each.reason) for each in failed).most_common():
        parts.append(_line(f"{count:,} of {why[0]}: {why[1]}", 2))
    if dry_run:
        parts.append(Text("A dry run: all of it was taken back. Without --dry-run it is done."))
    return Group(*parts)


def _done(each: Done) -> str:
    match each.act:
        case Act.DISCARDED:
            return f"discarded by {each.by} at {_moment(each.at)}: {each.reason}"
        case Act.REDRIVEN:
            reason = f": {each.reason}" if each.reason else ""
            return f"redriven by {each.by} at {_moment(each.at)}, came to {each.came_to}{reason}"


def _value(value: bytes | None) -> str:
    """JSON is laid out; anything else is shown as it is."""
    if value is None:
        return "none: it holds nothing but the record's address"
    try:
        return json.dumps(json.loads(value), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return str(_text(value))


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="backslashreplace")


def _place(one: Letter) -> str:
    return f"{one.topic}-{one.partition} offset {one.offset}"


def _moment(at: datetime | None) -> str:
    return "" if at is None else moment(at).removesuffix(" UTC")


def _heading(text: str) -> RenderableType:
    return Padding(Text(text, style="bold"), (1, 0, 0, 0), expand=False)


def _line(text: str, indent: int) -> RenderableType:
    return Padding(Text(visible(text), overflow="fold"), (0, 0, 0, indent), expand=False)


def _indented(what: RenderableType) -> RenderableType:
    return Padding(what, (0, 0, 0, 2), expand=False)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim", show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
