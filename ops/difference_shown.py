"""
What would be otherwise, on a terminal: what the catalog says, and how many customers that concerns. Pure.

Fits 100 columns; what is left out is counted.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from entitlements.domain.difference import Change
from entitlements.domain.difference_of_catalogs import CatalogDifference, Edit, Entries
from entitlements.domain.difference_of_lines import Naming
from entitlements.domain.difference_totals import Ahead, Totals
from entitlements.domain.wording import listed, visible

MOST_LINES = 60
"""What people are shown of a long part; `--json` gives all."""

ENTRY = {
    "integrations": "integration",
    "marketplaces": "marketplace",
    "orgs": "org",
    "products": "product",
    "plans": "plan",
}
"""What an entry of each section is called."""


def catalogs(difference: CatalogDifference) -> Iterator[RenderableType]:
    """What the new catalog says otherwise."""
    yield heading("The catalog")
    yield from _part([*_edits(difference)] or ["means the same as the newest revision"])


def totals(counts: Totals) -> Iterator[RenderableType]:
    """How many customers it concerns, by API, now and at their next cycle."""
    yield heading("Access")
    yield item(f"{_number(counts.compared, 'customer')} compared; the access of {counts.differing:,} changes")
    if counts.by_api:
        yield indented(by_api(counts))
    yield item(
        f"{counts.losing:,} of the {counts.open:,} with anything open from now on would lose some of it"
        f" ({counts.losing_share:.1%})",
        style="bold red" if counts.losing else "",
    )
    for each, number in counts.lines.items():
        yield item(f"{_number(number, 'billed line')} {'is' if number == 1 else 'are'} {NAMED_AS[each]}")
    if counts.ahead:
        yield heading("At the next cycle, if the subscription is renewed as it is")
        told = sorted((-number, _ahead(ahead)) for ahead, number in counts.ahead.items())
        yield from _part([f"{_number(-number, 'customer')}: {text}" for number, text in told])


NAMED_AS = {Naming.MAPPED: "newly of a plan", Naming.UNMAPPED: "of no plan any more", Naming.MOVED: "of another plan"}


def _part(lines: list[str]) -> Iterator[RenderableType]:
    yield from (item(line) for line in lines[:MOST_LINES])
    if len(lines) > MOST_LINES:
        yield item(f"and {len(lines) - MOST_LINES:,} more: --json has all")


def _edits(difference: CatalogDifference) -> Iterator[str]:
    for section, entries in difference.sections.items():
        yield from _entries(ENTRY[section], entries)
    for price, (before, after) in difference.prices.items():
        match before, after:
            case None, str():
                yield f"price {price}: newly named, for plan {after}"
            case str(), None:
                yield f"price {price}: no longer named, was plan {before}"
            case _:
                yield f"price {price}: plan {before} → {after}"
    if difference.routes is not None:
        old, new = ({*routes} for routes in difference.routes)
        yield f"routes{': their order' if old == new else ''}{_sets(old, new)}"
    for route in difference.routes_lost:
        yield f"requests no longer its API's: {route}"


def _entries(what: str, entries: Entries) -> Iterator[str]:
    yield from (f"{what} {name}: removed" for name in entries.removed)
    yield from (f"{what} {name}: added" for name in entries.added)
    for name, edits in entries.changed.items():
        yield from (f"{what} {name}: {_edit(edit)}" for edit in edits)


def _edit(edit: Edit) -> str:
    if isinstance(edit.before, frozenset) or isinstance(edit.after, frozenset):
        before, after = ({*each} if isinstance(each, frozenset) else set() for each in (edit.before, edit.after))
        return f"{edit.field}{_sets(before, after)}"
    return f"{edit.field} {edit.before or 'none'} → {edit.after or 'none'}"


def _sets(before: set[str], after: set[str]) -> str:
    gone, new = (
        f" {sign} {', '.join(sorted(names))}" if names else ""
        for sign, names in (("−", before - after), ("+", after - before))
    )
    return gone + new


def by_api(counts: Totals) -> Table:
    """To how many customers each API is closed, opened, or open otherwise."""
    table = columns("marketplace", "API", *(each.value for each in Change))
    for marketplace, api in counts.places:
        numbers = (counts.by_api.get((marketplace, api, change), 0) for change in Change)
        row(table, marketplace or "", api, *(f"{number:,}" if number else "" for number in numbers))
    return table


def _ahead(ahead: Ahead) -> str:
    before, after = (plan or "no plan" for plan in (ahead.before, ahead.after))
    lost = f"no longer {listed(ahead.lost, 'and')}" if ahead.lost else ""
    gained = f"newly {listed(ahead.gained, 'and')}" if ahead.gained else ""
    apis = "; ".join(part for part in (lost, gained) if part) or "the same APIs on other terms"
    return f"{before if before == after else f'{before} → {after}'}: {apis}"


def _number(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def heading(text: str) -> RenderableType:
    """What stands above a part, after an empty line."""
    return Padding(Text(visible(text), style="bold"), (1, 0, 0, 0), expand=False)


def item(text: str, style: str = "") -> RenderableType:
    """A line of a part."""
    return indented(Text(visible(text), style=style))


def indented(what: RenderableType) -> RenderableType:
    """Under its heading."""
    return Padding(what, (0, 0, 0, 2), expand=False)


def columns(*names: str) -> Table:
    """A table without lines, which folds what is too long."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim", show_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def row(table: Table, *cells: str, style: str = "") -> None:
    """One more row, in which nothing is taken for markup."""
    table.add_row(*(Text(visible(cell)) for cell in cells), style=style)
