"""
An explanation on a terminal: the answer first, then what would change it, then what it rests on. Pure.

It is made of what `GET /v1/explain` answers, so `entitle explain` and `entitle demo` show the same. Fits 100 columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from entitlements.domain.explanation import RevokedBy
from entitlements.domain.period import Period
from entitlements.domain.revocations_in_words import REVOKED_AS
from entitlements.domain.wording import listed, moment, money, period, visible

Document = Mapping[str, Any]

TRANSITIONS = {
    "finalized_at": "finalized",
    "marked_uncollectible_at": "uncollectible",
    "paid_at": "paid",
    "voided_at": "voided",
}
MOST_ROWS, MOST_INVOICES = 12, 3
"""What people are shown of a long history; `--json` gives all."""

BY_HAND = (RevokedBy.MANUAL_GRANT_REVOKED, RevokedBy.BLOCKED)
"""The kinds of revocation that operators bring about."""

UTC = " UTC"
SPOKE = "▶"
TWIN = "="
"""Marks a grant or revocation that spoke; an event that says the same as an event above it."""


def shown(document: Document) -> RenderableType:
    """An explanation, as `GET /v1/explain` gives it, for people."""
    return Group(*_parts(document))


def _parts(document: Document) -> Iterator[RenderableType]:
    yield Text(visible(document["answer"]), style="bold green" if document["decision"] else "bold red")
    yield Text(visible(_asked(document)), style="dim")
    if (pay_at := document["context"].get("pay_at")) is not None:
        yield Text(visible(f"To be paid at {pay_at}"), overflow="fold")
    yield _heading("What would change it")
    yield from (_item(sentence) for sentence in document["would_change"])
    if document["needs_an_eye"]:
        yield _heading("Needs a person's eye")
        yield from (_item(sentence) for sentence in document["needs_an_eye"])
    if document["grants"]:
        yield _heading(f"Grants of {document['api']} ({SPOKE} spoke)")
        yield _indented(_grants(_nearest(document["grants"], MOST_ROWS)))
    acts = [*document["manual_grants"], *(each for each in document["revocations"] if each["kind"] in BY_HAND)]
    if acts := sorted(acts, key=_begins):
        yield _heading(f"By hand ({SPOKE} spoke)")
        yield _indented(_by_hand(_nearest(acts, MOST_ROWS)))
    revocations = [each for each in document["revocations"] if each["kind"] not in BY_HAND]
    if revocations:
        yield _heading("Revocations")
        yield _indented(_revocations(_nearest(revocations, MOST_ROWS)))
    invoices = _invoices(document)
    for name, invoice in invoices.items():
        yield _heading(_invoice(name, invoice))
        yield from (_indented(table) for table in _events(invoice["events"]))
    if len(invoices) < len(document["invoices"]):
        yield _heading(f"{len(document['invoices']) - len(invoices)} more invoices: --json has all")
    for topic, events in _by_topic(document["other_events"]):
        yield _heading(f"Of no invoice, in {topic}")
        yield _indented(_others(events))
    yield _heading("Catalog")
    yield from (_item(_revision(revision)) for revision in document["catalog"])


def _asked(document: Document) -> str:
    org = f"org {document['org']}, " if "org" in document else ""
    customer = f"customer {document['customer']}, " if document["customer"] else ""
    return f"{org}{customer}API {document['api']}, at {_moment(document['at'])}; every time is UTC"


def _nearest(rows: Sequence[Document], most: int) -> list[Document]:
    """At most so many of *rows*, in their order: those that spoke and their neighbours; the last where none did."""
    spoke = [place for place, row in enumerate(rows) if row["spoke"]] or [len(rows) - 1]
    nearest = sorted(range(len(rows)), key=lambda place: min(abs(place - other) for other in spoke))
    return [rows[place] for place in sorted(nearest[:most])]


def _invoices(document: Document) -> dict[str, Document]:
    """The invoices of the grants and revocations nearest to those that spoke."""
    rows = (row for key in ("grants", "revocations") for row in _nearest(document[key], MOST_INVOICES))
    named = {row["invoice"] for row in rows if row["invoice"] is not None}
    return {name: invoice for name, invoice in document["invoices"].items() if name in named}


def _grants(grants: Sequence[Document]) -> Table:
    table = _table("", "cycle", "plan", "invoice", "how it spoke")
    for grant in grants:
        cells = (_period(grant["cycle"]), grant["plan"], grant["invoice"], grant["says"])
        _add(table, SPOKE if grant["spoke"] else "", *cells, style="bold" if grant["spoke"] else "")
    return table


def _by_hand(acts: Sequence[Document]) -> Table:
    """Operators' grants, revocations and blocks; ids of ours are too long for a column of their own."""
    table = _table("", "from", "what, and how it spoke")
    for act in acts:
        named = act["id"]
        if "apis" in act:
            named += f", {listed(act['apis'], 'and') if act['plan'] is None else 'plan ' + act['plan']}"
        cells = (_moment(_begins(act)), f"{named}: {act['says']}")
        _add(table, SPOKE if act["spoke"] else "", *cells, style="bold" if act["spoke"] else "")
    return table


def _begins(act: Document) -> str:
    """A grant has its start, a revocation and a block the moment from which they count."""
    begins: str = act["start"] if "start" in act else act["at"]
    return begins


def _revocations(revocations: Sequence[Document]) -> Table:
    table = _table("", "from", "what", "invoice", "how it spoke")
    for each in revocations:
        at = "" if each["at"] is None else _moment(each["at"])
        cells = (at, REVOKED_AS[RevokedBy(each["kind"])], each["invoice"] or "", each["says"])
        _add(table, SPOKE if each["spoke"] else "", *cells, style="bold" if each["spoke"] else "")
    return table


def _invoice(name: str, invoice: Document) -> str:
    amount = money(invoice.get("total"), invoice.get("currency"))
    passed = sorted((at, TRANSITIONS[each]) for each, at in invoice["transitions"].items())
    told = ", ".join(f"{transition} {_moment(at)}" for at, transition in passed)
    return f"Invoice {name}{f', {amount}' if amount else ''}: {told}".replace(UTC, "")


def _events(events: Sequence[Document]) -> Iterator[RenderableType]:
    """A table for each topic, which is the heading of where they are in it."""
    if not events:
        yield Text("no record of the log is known to state it", style="dim")
    for topic, of_topic in _by_topic(events):
        table = _table("", "created", "Stripe event", "id", topic)
        for event in of_topic:
            _add(table, TWIN if event["twin_of"] else "", *_event(event))
        yield table
    if any(event["twin_of"] for event in events):
        yield Text(f"{TWIN} says the same as an event above it", style="dim")


def _others(events: Sequence[Document]) -> Table:
    """Subscriptions that ended, what operators did: their ids are long, so the topic stands above."""
    table = _table("", "created", "what", "id", "place")
    for event in events:
        _add(table, TWIN if event["twin_of"] else "", *_event(event))
    return table


def _event(event: Document) -> tuple[str, str, str, str]:
    """When it was created, what it is, its id, and where it is."""
    created = "" if event["created"] is None else _moment(event["created"])
    what = (event["type"] or "").removeprefix("entitle.").removesuffix(".v1")
    return created, what, event["id"] or "", f"{event['partition']} @ {event['offset']}"


def _by_topic(events: Sequence[Document]) -> list[tuple[str, list[Document]]]:
    topics = sorted({event["topic"] for event in events})
    return [(topic, [event for event in events if event["topic"] == topic]) for topic in topics]


def _revision(revision: Document) -> str:
    since = "the beginning" if revision["in_force_from"] is None else _moment(revision["in_force_from"])
    by = "" if revision["applied_by"] is None else f", applied by {revision['applied_by']}"
    records = ", ".join(f"{each['topic']} {each['partition']} @ {each['offset']}" for each in revision["records"])
    return f"revision {revision['number']}, from {since} on{by}{f'; {records}' if records else ''}"


def _heading(text: str) -> RenderableType:
    return Padding(Text(visible(text), style="bold"), (1, 0, 0, 0), expand=False)


def _item(text: str, style: str = "") -> RenderableType:
    return _indented(Text(visible(text), style=style))


def _indented(what: RenderableType) -> RenderableType:
    return Padding(what, (0, 0, 0, 2), expand=False)


def _table(mark: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim", show_edge=False)
    table.add_column(mark, width=1)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _add(table: Table, *cells: str, style: str = "") -> None:
    """A row; that its times are UTC is said above."""
    table.add_row(*(Text(visible(cell.replace(UTC, ""))) for cell in cells), style=style)


def _moment(text: str) -> str:
    return moment(datetime.fromisoformat(text))


def _period(cycle: Document) -> str:
    return period(Period(datetime.fromisoformat(cycle["start"]), datetime.fromisoformat(cycle["end"])))
