"""
The differences of many customers, added up one by one, so that no more than one is held at a time. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from entitlements.domain.difference import Change, Difference
from entitlements.domain.difference_ahead import NextTerms
from entitlements.domain.difference_of_lines import Naming
from entitlements.domain.difference_sources import Place

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What goes on under other terms: from one plan to another, and the APIs that are lost and gained by it."""

    before: str | None
    after: str | None
    lost: tuple[str, ...]
    gained: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """
    How many customers were *compared*, how many of them have anything *open* from now on, and how many of those are
    *losing* any of it, which is what a brake goes by.

    The rest counts customers too, the past included: *differing* is those whose access changes in any way, *by_change*
    and *by_api* (marketplace, API and change) those whose access changes so, *ahead* those who go on under other terms.
    *lines* alone counts lines.
    """

    compared: int = 0
    open: int = 0
    losing: int = 0
    differing: int = 0
    by_change: Mapping[Change, int] = field(default_factory=dict)
    by_api: Mapping[tuple[str | None, str, Change], int] = field(default_factory=dict)
    lines: Mapping[Naming, int] = field(default_factory=dict)
    ahead: Mapping[Ahead, int] = field(default_factory=dict)

    @property
    def losing_share(self) -> float:
        """Of the customers with anything open from now on, how many would lose any of it: 0 to 1."""
        return self.losing / self.open if self.open else 0.0

    @property
    def places(self) -> list[Place]:
        """The marketplaces' APIs to which access changes, in order."""
        found = {(marketplace, api) for marketplace, api, _ in self.by_api}
        return sorted(found, key=lambda place: (place[0] or "", place[1]))

    def plus(self, difference: Difference, ahead: Iterable[NextTerms], now: datetime) -> Totals:
        """With one customer more."""
        access = difference.access
        return replace(
            self,
            compared=self.compared + 1,
            open=self.open + any(period.end > now for period in difference.open_before),
            losing=self.losing + any(each.change is Change.CLOSED and each.period.end > now for each in access),
            differing=self.differing + bool(access),
            by_change=_counted(self.by_change, {each.change for each in access}),
            by_api=_counted(self.by_api, {(each.marketplace, each.api, each.change) for each in access}),
            lines=_counted(self.lines, [each.naming for each in difference.lines]),
            ahead=_counted(self.ahead, {_ahead(each) for each in ahead}),
        )


def _ahead(terms: NextTerms) -> Ahead:
    before, after = (None if plan is None else plan.name for plan in (terms.before, terms.after))
    return Ahead(before=before, after=after, lost=terms.lost, gained=terms.gained)


def _counted(counts: Mapping[Key, int], more: Iterable[Key]) -> Mapping[Key, int]:
    found = dict(counts)
    for key in more:
        found[key] = found.get(key, 0) + 1
    return found
