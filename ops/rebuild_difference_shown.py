"""
What serves and what was rebuilt, compared, on a terminal: how far, how many, what changes, and by which facts. Pure.

Fits 100 columns; what is left out is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding

from entitlements.differing import Differing, Lead
from entitlements.domain.brake import Brake
from entitlements.domain.difference import Change
from entitlements.domain.difference_of_facts import FieldChange, Having
from entitlements.domain.difference_totals import Totals
from entitlements.domain.facts_in_words import in_words
from entitlements.domain.wording import listed, moment
from entitlements.everyone import CustomerName
from ops.brake import Weighed, of
from ops.difference_excerpt import who
from ops.difference_shown import by_api, columns, heading, indented, item, row
from ops.rebuild_difference import Found

MOST_CUSTOMERS = 10
"""Customers whose facts people are shown; `--json` gives all, `--customer` one."""

MOST_FACTS = 6
"""Facts that people are shown of one customer, where it is not asked for by name."""

HAD_BY = {Having.BEFORE: "only live", Having.AFTER: "only rebuilt", Having.EACH: "otherwise"}
"""Who has a fact, in words."""

SECRET = frozenset({"pay_at"})
"""Fields whose values are not shown: a hosted page opens the invoice to whoever has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """The facts behind the differences of those customers that people are shown, worst first; of so many in all."""

    found: tuple[Found, ...] = ()
    of: int = 0
    between: int = 0

    def plus(self, found: Found) -> Why:
        """With one customer more, in place of one that matters less."""
        worst = sorted((*self.found, found), key=_worst)[:MOST_CUSTOMERS]
        return Why(found=tuple(worst), of=self.of + 1, between=self.between + found.is_between)


def _worst(found: Found) -> tuple[int, CustomerName]:
    changes = [list(Change).index(each.change) for each in found.difference.access]
    return min(changes, default=len(Change)), found.name


def how_far(leads: Iterable[Lead], between: int) -> Iterator[RenderableType]:
    """Where each side goes on, unless both are equally far everywhere."""
    apart = [each for each in leads if each.records or None in (each.before, each.after)]
    if not apart:
        yield item("both have read the log equally far")
        return
    table = columns("group", "partition", "live", "rebuilt", "")
    for each in apart:
        place = f"{each.topic}-{each.partition}"
        row(table, each.group, place, _offset(each.before), _offset(each.after), f"{each.records:+,}")
    yield indented(table)
    if between:
        yield item(f"records that one side has yet to read concern {_number(between, 'customer')} here, marked *")


def facts(differing: Differing) -> Iterator[RenderableType]:
    """How many facts differ, by table."""
    yield heading("Facts")
    if not differing.counts:
        yield item("both sides have the same")
        return
    table = columns("table", *(HAD_BY[each] for each in (Having.BEFORE, Having.AFTER)), "stated at another time")
    for name, counts in sorted(differing.counts.items()):
        numbers = (counts.before, counts.after, counts.stated)
        row(table, name, *(f"{number:,}" if number else "" for number in numbers))
    yield indented(table)
    if differing.unlinked:
        yield item(f"{_number(differing.unlinked, 'payment')} among them belong to no customer yet")


def access(counts: Totals, customers: int) -> Iterator[RenderableType]:
    """How many customers that makes a difference to."""
    yield heading("Access")
    differ = f"the facts of {counts.compared:,} differ, the access of {counts.differing:,} changes"
    yield item(f"of {_number(customers, 'customer')} {differ}")
    if counts.by_api:
        yield indented(by_api(counts))


def swap(weighed: Weighed, brake: Brake) -> Iterator[RenderableType]:
    """Whether a swap would close anything that is open now or later, and be asked about."""
    if not weighed.closing:
        yield item("nobody would lose anything that is open now or later")
        return
    told = f"{weighed.closing:,} of {of(weighed)} would lose some of what is open now or later"
    yield item(told, style="bold red")
    if brake.asks(closing=weighed.closing, of=weighed.open, yes_close=None):
        yield item(f"a swap would ask for --yes-close {weighed.closing}")


def why(told: Why, most: int | None = MOST_FACTS) -> Iterator[RenderableType]:
    """The facts that the sides do not share, *most* of each customer (None: all), invoice by invoice."""
    if not told.found:
        return
    yield heading("Why: the facts that the two do not share")
    for found in told.found:
        mark = " *" if found.is_between else ""
        silent = "" if found.difference.access else ", which change no access"
        yield item(f"{who(found.name)}{mark}{silent}")
        last: tuple[str, ...] | None = None
        for change in found.facts[:most]:
            if change.invoices != last:
                last = change.invoices
                yield _deeper(f"invoice {listed(last, 'and')}" if last else "of no invoice", 2)
            yield _deeper(f"{HAD_BY[change.having]}: {in_words(change.fact)}", 4)
            yield from (_deeper(_field(each), 6) for each in change.fields)
        if most is not None and len(found.facts) > most:
            yield _deeper(f"and {len(found.facts) - most:,} facts more: --customer {found.name.customer} shows all", 2)
    if told.of > len(told.found):
        yield item(f"and {told.of - len(told.found):,} customers more: --customer shows one, --json all")


def _deeper(text: str, by: int) -> RenderableType:
    """Under its customer, by so many columns."""
    return Padding(item(text), (0, 0, 0, by), expand=False)


def _field(change: FieldChange) -> str:
    if change.field in SECRET:
        return f"{change.field} is another"
    return f"{change.field}: live {said(change.before)}, rebuilt {said(change.after)}"


def said(value: Any) -> str:
    """A value of a fact, as people read it."""
    match value:
        case None | "" | ():
            return "nothing"
        case datetime():
            return moment(value)
        case tuple():
            return listed([str(each) for each in value], "and")
        case _:
            return str(value)


def _offset(offset: int | None) -> str:
    return "not begun" if offset is None else f"{offset:,}"


def _number(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
