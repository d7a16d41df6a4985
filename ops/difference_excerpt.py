"""
The changes of access and of lines that matter most, of however many customers, on a terminal. Pure.

Fits 100 columns; what is left out is counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import RenderableType

from entitlements.domain.difference import AccessChange, Change, Opening
from entitlements.domain.difference_of_lines import LineChange
from entitlements.domain.period import END_OF_TIME, Period
from entitlements.domain.wording import moment, period
from entitlements.everyone import CustomerName
from ops.difference_shown import columns, heading, indented, item, row

MOST_ROWS = 30
"""Changes of access that people are shown, and so many lines; `--json` gives all."""

MOST_NAMES = 3
"""Invoices that people are shown of one change."""

COLOUR = {Change.CLOSED: "red", Change.OPENED: "green", Change.CHANGED: "yellow"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """
    The changes that people are shown: at most `MOST_ROWS` of access, the worst first, and as many of lines; and of how
    many they were chosen.
    """

    access: tuple[tuple[CustomerName, AccessChange], ...] = ()
    lines: tuple[tuple[CustomerName, LineChange], ...] = ()
    of_access: int = 0
    of_lines: int = 0

    def plus(self, name: CustomerName, access: Sequence[AccessChange], lines: Sequence[LineChange]) -> Excerpt:
        """With what matters more of one customer's, in place of what matters less."""
        worst = sorted([*self.access, *((name, each) for each in access)], key=_worst) if access else self.access
        return Excerpt(
            access=tuple(worst[:MOST_ROWS]),
            lines=(*self.lines, *((name, each) for each in lines))[:MOST_ROWS],
            of_access=self.of_access + len(access),
            of_lines=self.of_lines + len(lines),
        )


def _worst(found: tuple[CustomerName, AccessChange]) -> tuple[int, CustomerName, str, str, Period]:
    name, change = found
    return list(Change).index(change.change), name, change.marketplace or "", change.api, change.period


def shown(excerpt: Excerpt) -> Iterator[RenderableType]:
    """The changes themselves, closings first, and the lines behind them."""
    if excerpt.access:
        yield heading("Changes, closings first; every time is UTC")
        table = columns("customer", "API", "", "when", "how", "because of")
        for name, change in excerpt.access:
            api = change.api if change.marketplace is None else f"{change.api} ({change.marketplace})"
            cells = (who(name), api, change.change.value, when(change.period), how(change), because_of(change))
            row(table, *cells, style=COLOUR[change.change])
        yield indented(table)
        yield from _left_out(excerpt.of_access - len(excerpt.access))
    if excerpt.lines:
        yield heading("Lines of another plan")
        table = columns("customer", "invoice", "line", "price", "cycle", "plan")
        for name, each in excerpt.lines:
            line, plans = each.line, f"{each.before or 'none'} → {each.after or 'none'}"
            row(table, who(name), line.invoice, line.id, line.price or "", when(line.period), plans)
        yield indented(table)
        yield from _left_out(excerpt.of_lines - len(excerpt.lines))


def who(name: CustomerName) -> str:
    """`cus_1 (main)`."""
    return f"{name.customer} ({name.integration})"


def how(change: AccessChange) -> str:
    """`paid enterprise (calls 1000)`, each reason and plan once."""
    before, after = (", ".join(_opening(each) for each in openings) for openings in (change.before, change.after))
    match change.change:
        case Change.CLOSED:
            return f"was {before}"
        case Change.OPENED:
            return after
        case Change.CHANGED:
            return f"{before} → {after}"


def because_of(change: AccessChange) -> str:
    """The invoices and the manual grants behind it, the first few."""
    names = (*change.invoices, *change.manual)
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{', '.join(names[:MOST_NAMES])}{more}"


def _opening(opening: Opening) -> str:
    quotas = ", ".join(f"{quota.name} {quota.limit}" for quota in opening.quotas)
    return " ".join(part for part in (opening.reason.value, opening.plan, f"({quotas})" if quotas else "") if part)


def when(between: Period) -> str:
    """`1 Jan – 1 Feb 2026`, or `from 1 Jan 2026 00:00 on`."""
    if between.end == END_OF_TIME:
        return f"from {moment(between.start).removesuffix(' UTC')} on"
    return period(between).removesuffix(" UTC")


def _left_out(number: int) -> Iterator[RenderableType]:
    if number:
        yield item(f"and {number:,} more: --json has all")
