"""
What would be open otherwise: one customer under two sets of terms, or of facts, by API and interval. Pure.

How an API is open is asked of the decision itself, at the start of each stretch of time in which nothing begins or
ends, so that what is foretold is what would be decided. The past counts like the future: a question may be about any
moment.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import TypeVar

from entitlements.domain.access import Standing, decide
from entitlements.domain.decision import Reason
from entitlements.domain.difference_of_lines import LineChange, lines_compared
from entitlements.domain.difference_sources import Place, Side, Source, sources_of
from entitlements.domain.manual import Manual
from entitlements.domain.period import Period
from entitlements.domain.quotas import QuotaAllowed
from entitlements.domain.spans import Span


class Change(StrEnum):
    """What becomes of an API during a period, the worst first."""

    CLOSED = "closed"
    OPENED = "opened"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How an API is open: for which reason, under which plan (None: no plan's), with which quotas."""

    reason: Reason
    plan: str | None
    quotas: tuple[QuotaAllowed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessChange:
    """
    During *period* an API of a marketplace is open otherwise: *before* and *after* are how, one behind the other, and
    empty where it is closed. The difference rests on *invoices* and on *manual* grants, by id.

    *marketplace* is None for what an operator gave that no marketplace sells.
    """

    marketplace: str | None
    api: str
    period: Period
    before: tuple[Opening, ...]
    after: tuple[Opening, ...]
    invoices: tuple[str, ...]
    manual: tuple[str, ...]

    @property
    def change(self) -> Change:
        if not self.after:
            return Change.CLOSED
        return Change.CHANGED if self.before else Change.OPENED


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """
    What would be otherwise for one customer. *open_before* are the periods during which anything was open, whether or
    not that changes: whoever has nothing can't lose it.
    """

    access: tuple[AccessChange, ...]
    lines: tuple[LineChange, ...]
    open_before: tuple[Period, ...]


Anything = TypeVar("Anything")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Api:
    """One API of a customer on one side: what may open it."""

    standing: Standing
    sources: tuple[Source, ...]

    @property
    def moments(self) -> set[datetime]:
        """When anything begins or ends."""
        periods = [*(source.period for source in self.sources), *self.standing.blocked]
        return {moment for period in periods for moment in (period.start, period.end)}

    @property
    def said(self) -> Hashable:
        """All that the answers about the API follow from."""
        return frozenset((source.period, *_name(source)) for source in self.sources), self.standing.blocked

    def covering(self, moments: Iterable[datetime]) -> Iterator[_Api]:
        """For each of *moments*, which are in order, the same with the sources alone that cover it."""
        waiting = sorted(self.sources, key=lambda source: source.period, reverse=True)
        covering: list[Source] = []
        for moment in moments:
            while waiting and waiting[-1].period.start <= moment:
                covering.append(waiting.pop())
            covering = [source for source in covering if source.period.end > moment]
            yield replace(self, sources=tuple(covering))

    def opening(self, api: str, at: datetime) -> Opening | None:
        """How the API is open at *at*, as the decision says it; None where it is not."""
        if not self.sources:
            return None
        spans = tuple(source for source in self.sources if isinstance(source, Span))
        manual = tuple(source for source in self.sources if isinstance(source, Manual))
        billed = replace(self.standing.billed, cycles=(), spans=spans)
        decision = decide(replace(self.standing, billed=billed, manual=manual), api, at, known_apis=(api,))
        if not decision.allowed:
            return None
        return Opening(reason=decision.reason, plan=decision.plan, quotas=decision.quotas)


def compared(before: Side, after: Side) -> Difference:
    """What is otherwise *after*: the same customer under other terms, or from other facts."""
    was, will_be = sources_of(before), sources_of(after)
    sold = {api for marketplace, api in (*was, *will_be) if marketplace is not None}
    places = {place for place in (*was, *will_be) if place[0] is not None or place[1] not in sold}
    opened: list[Source] = [*before.standing.billed.spans, *before.standing.manual]
    return Difference(
        access=tuple(
            change
            for place in sorted(places, key=lambda place: (place[0] or "", place[1]))
            for change in _together(
                _changes(
                    place,
                    _Api(standing=before.standing, sources=tuple(was.get(place, ()))),
                    _Api(standing=after.standing, sources=tuple(will_be.get(place, ()))),
                )
            )
        ),
        lines=tuple(lines_compared(before.standing, after.standing)),
        open_before=tuple(left for source in opened for left in source.period.without(before.standing.blocked)),
    )


def _changes(place: Place, before: _Api, after: _Api) -> Iterator[AccessChange]:
    """The changes of one API, each in a stretch of time in which nothing begins or ends."""
    if before.said == after.said:
        return
    marketplace, api = place
    moments = sorted(before.moments | after.moments)
    stretches = zip(pairwise(moments), before.covering(moments), after.covering(moments), strict=False)
    for (start, end), then, later in stretches:
        one, other = then.opening(api, start), later.opening(api, start)
        if one != other:
            apart = _apart(then.sources, later.sources)
            yield AccessChange(
                marketplace=marketplace,
                api=api,
                period=Period(start, end),
                before=() if one is None else (one,),
                after=() if other is None else (other,),
                invoices=_each_once(source.cycle.invoice.id for source in apart if isinstance(source, Span)),
                manual=_each_once(source.grant.id for source in apart if isinstance(source, Manual)),
            )


def _together(changes: Iterable[AccessChange]) -> Iterator[AccessChange]:
    """Those that follow on from each other, as one: openings and closings whatever the reasons, others if alike."""
    last: AccessChange | None = None
    for found in changes:
        if last is not None and _follows(found, last):
            last = replace(
                last,
                period=Period(last.period.start, found.period.end),
                before=_each_once((*last.before, *found.before)),
                after=_each_once((*last.after, *found.after)),
                invoices=_each_once((*last.invoices, *found.invoices)),
                manual=_each_once((*last.manual, *found.manual)),
            )
            continue
        if last is not None:
            yield last
        last = found
    if last is not None:
        yield last


def _follows(found: AccessChange, last: AccessChange) -> bool:
    if last.period.end != found.period.start or last.change is not found.change:
        return False
    return found.change is not Change.CHANGED or (last.before, last.after) == (found.before, found.after)


def _name(source: Source) -> tuple[Hashable, ...]:
    """What tells a source from another, for one API: all that a decision takes from it but its period."""
    match source:
        case Span(reason=reason, cycle=cycle):
            by = (cycle.invoice.id, cycle.line.id, *cycle.counts_as)
            return reason, by, cycle.plan.name, cycle.plan.quotas, cycle.quantity
        case Manual(grant=grant, plan=plan):
            return grant.id, plan and (plan.name, plan.quotas)


def _apart(then: Iterable[Source], later: Iterable[Source]) -> list[Source]:
    """What one side alone has, in order of time; all, where both have the same."""
    one, other = {_name(source) for source in then}, {_name(source) for source in later}
    both: list[Source] = [*then, *later]
    apart = [source for source in both if _name(source) not in one & other]
    return sorted(apart or both, key=lambda source: source.period)


def _each_once(found: Iterable[Anything]) -> tuple[Anything, ...]:
    return tuple(dict.fromkeys(found))
