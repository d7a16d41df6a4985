"""
What was answered as the log stood at a moment, beside what is known now, on a terminal. Pure.

It is made of what `GET /v1/explain?known_at=` answers. Fits 100 columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from entitlements.domain.wording import moment, visible
from ops import explained

Document = Mapping[str, Any]

MOST_LEARNT = 20
"""Events that people are shown of those that came later; `--json` gives all."""

HALF = 48
"""Columns of each of the two answers."""


def shown(document: Document) -> RenderableType:
    """Both answers side by side, what was learnt between, and the evidence of then, for people."""
    return Group(*_parts(document))


def _parts(document: Document) -> Iterator[RenderableType]:
    then, now = document["then"], document["now"]
    same = "" if document["differs"] else " Both answers are the same."
    asked = f"API {document['api']}, at {_moment(document['at'])}; every time is UTC.{same}"
    yield Text(visible(asked), style="dim")
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold", show_edge=False)
    table.add_column(f"As known at {_moment(document['known_at']).removesuffix(' UTC')}", width=HALF)
    table.add_column("As known now", width=HALF)
    table.add_row(_answer(then), _answer(now))
    yield table
    yield _heading("Learnt since")
    yield from _learnt(document["learnt"])
    if document["undated"]:
        yield _heading("When this came is not known, so it is left out of what was known then: replay the log")
        yield from (_line(each, 2) for each in document["undated"])
    if then["decision"] is not None:
        yield _heading(f"In full, as known at {_moment(document['known_at'])}")
        yield explained.shown(then)


def _answer(document: Document) -> RenderableType:
    allowed = document["decision"]
    style = "bold green" if allowed else "bold red"
    parts: list[RenderableType] = [Text(visible(document["answer"]), style=style)]
    if (pay_at := document["context"].get("pay_at")) is not None:
        parts.append(Text(visible(f"To be paid at {pay_at}"), overflow="fold"))
    parts += [Text(visible(f"- {sentence}"), overflow="fold") for sentence in document["would_change"]]
    return Group(*parts)


def _learnt(learnt: Sequence[Document]) -> Iterator[RenderableType]:
    if not learnt:
        yield _line("nothing about this customer", 2)
    for each in learnt[:MOST_LEARNT]:
        what = (each["type"] or "").removeprefix("entitle.").removesuffix(".v1")
        created = f", created {_moment(each['created'])}" if each["created"] else ""
        place = f"{each['topic']}-{each['partition']} offset {each['offset']}"
        yield _line(f"{_moment(each['appended_at'])} {what} {each['id']}{created}: {place}".replace(" UTC", ""), 2)
        yield from (_line(said, 4) for said in each["says"])
    if len(learnt) > MOST_LEARNT:
        yield _line(f"{len(learnt) - MOST_LEARNT} more: --json has all", 2)


def _heading(text: str) -> RenderableType:
    return Padding(Text(visible(text), style="bold"), (1, 0, 0, 0), expand=False)


def _line(text: str, indent: int) -> RenderableType:
    return Padding(Text(visible(text), overflow="fold"), (0, 0, 0, indent), expand=False)


def _moment(text: str) -> str:
    return moment(datetime.fromisoformat(text))
