"""
From a moment on, for each API, the stretches of time in which its answer stays the same (`AccessChange`). Pure.

What is told is what would be decided: the decision itself is asked, at the start of each stretch in which nothing
begins or ends, under the catalog in force there. Past stretches are left out, so a long history costs little.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import msgspec

from entitlements.domain.access import Scope, Standing, apis_of, decide, standing, within
from entitlements.domain.catalog import Revisions
from entitlements.domain.decision import Decision
from entitlements.domain.facts import CustomerFacts
from entitlements.domain.period import END_OF_TIME, Period
from schemas.access_change import AccessChange, ApiAccess, QuotaGiven, Span, Stretch

Answers = tuple[Stretch, ...]

Alike = tuple[bool, ...]
"""When an API is known, and which plans and grants open it: answers about APIs that are alike so are the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a customer's `AccessChange` says of access: *blocked* periods and, by group, *apis*."""

    blocked: tuple[Span, ...]
    apis: tuple[ApiAccess, ...]


def access_from(since: datetime, facts: CustomerFacts, integration: str, revisions: Revisions) -> Access:
    """All answers about a customer from *since* on, if nothing more became known."""
    everything = standing(facts, Scope(integration=integration), revisions)
    found: dict[Alike, Answers] = {}
    by_api: dict[str, dict[Answers, list[str | None]]] = defaultdict(dict)
    for marketplace in (None, *_marketplaces(integration, revisions)):
        scope = Scope(integration=integration, marketplace=marketplace)
        there = everything if marketplace is None else within(scope, everything, facts, revisions)
        is_all = len(there.billed.cycles) == len(everything.billed.cycles) and there.manual == everything.manual
        for apis, answers in _answers(since, there, scope, revisions, found if is_all else {}):
            for api in apis:
                by_api[api].setdefault(answers, []).append(marketplace)
    groups: dict[tuple[tuple[str | None, ...], Answers], list[str]] = defaultdict(list)
    for api in sorted(by_api):
        for answers, marketplaces in by_api[api].items():
            groups[tuple(marketplaces), answers].append(api)
    return Access(
        blocked=tuple(_span(period) for period in everything.blocked if period.end > since),
        apis=tuple(
            ApiAccess(apis=tuple(apis), marketplaces=marketplaces, stretches=answers)
            for (marketplaces, answers), apis in groups.items()
        ),
    )


def is_told_already(told: AccessChange, now: AccessChange) -> bool:
    """Whether *told*, which is older, says of every moment from *now* on what *now* says."""
    since = now.as_of
    return (told.orgs, _by_api(told, since), _blocked(told, since)) == (
        now.orgs,
        _by_api(now, since),
        _blocked(now, since),
    )


def _by_api(change: AccessChange, since: datetime) -> Mapping[tuple[str, str | None], Answers]:
    """By API and marketplace the answers from *since* on; what is unknown for ever is left out, as if never told."""
    found: dict[tuple[str, str | None], Answers] = {}
    for group in change.access:
        left = tuple(each for each in group.stretches if each.end is None or each.end > since)
        left = (msgspec.structs.replace(left[0], start=since), *left[1:])
        if any(each.reason != "unknown_api" for each in left):
            found |= {(api, marketplace): left for api in group.apis for marketplace in group.marketplaces}
    return found


def _blocked(change: AccessChange, since: datetime) -> list[Span]:
    left = (each for each in change.blocked if each.end is None or each.end > since)
    return [msgspec.structs.replace(each, start=max(each.start, since)) for each in left]


def _marketplaces(integration: str, revisions: Revisions) -> list[str]:
    """Every marketplace of the integration that any revision names: a later one may come into force."""
    named = (each for revision in revisions.revisions for each in revision.catalog.marketplaces.values())
    return sorted({each.name for each in named if each.integration == integration})


def _answers(
    since: datetime, there: Standing, scope: Scope, revisions: Revisions, found: dict[Alike, Answers]
) -> Iterator[tuple[list[str], Answers]]:
    """
    APIs about which all answers are the same, and those answers; APIs that are never known are left out. What was
    *found* for the same standing in another scope is not asked again.
    """
    starts = [since, *sorted(moment for moment in _moments(there, revisions) if since < moment < END_OF_TIME)]
    known = [frozenset(apis_of(there, scope, revisions, start)) for start in starts]
    opening = [*dict.fromkeys(cycle.plan.apis for cycle in there.billed.cycles), *(each.apis for each in there.manual)]
    groups: dict[Alike, list[str]] = defaultdict(list)
    for api in sorted(frozenset().union(*known)):
        groups[tuple(api in apis for apis in (*known, *opening))].append(api)
    for alike, apis in groups.items():
        if alike not in found:
            found[alike] = tuple(_together(there, apis[0], starts, known))
        if any(each.reason != "unknown_api" for each in found[alike]):
            yield apis, found[alike]


def _moments(there: Standing, revisions: Revisions) -> set[datetime]:
    """When anything begins or ends that an answer may follow from."""
    periods = [
        *(span.period for span in there.billed.spans),
        *(closed.period for closed in there.billed.closed),
        *(manual.period for manual in there.manual),
        *there.blocked,
    ]
    moments = {each.in_force_from for each in revisions.revisions}
    for cycle in there.billed.cycles:
        periods += [cycle.period, cycle.invoice.owed_for, *cycle.left_of(cycle.period)]
        moments.add(cycle.paid.start if cycle.paid is not None else None)
    moments.update(moment for period in periods for moment in (period.start, period.end))
    return {moment for moment in moments if moment is not None}


def _together(
    there: Standing, api: str, starts: Sequence[datetime], known: Sequence[frozenset[str]]
) -> Iterator[Stretch]:
    """The answers about an API, those that follow on from each other as one where they are the same."""
    last: Stretch | None = None
    for (start, end), apis in zip(pairwise([*starts, END_OF_TIME]), known, strict=True):
        found = _stretch(Period(start, end), decide(there, api, start, known_apis=apis))
        if last is not None and msgspec.structs.replace(found, start=last.start, end=last.end) == last:
            last = msgspec.structs.replace(last, end=found.end)
            continue
        if last is not None:
            yield last
        last = found
    if last is not None:
        yield last


def _stretch(period: Period, decision: Decision) -> Stretch:
    return Stretch(
        start=period.start,
        end=_end(period),
        decision=decision.allowed,
        reason=decision.reason.value,
        status=decision.reason.status,
        plan=decision.plan,
        invoice=decision.invoice,
        cycle=None if decision.cycle is None else _span(decision.cycle),
        until=decision.until,
        quotas=tuple(
            QuotaGiven(
                name=each.name,
                limit=each.limit,
                unit=each.unit,
                per=str(each.per),
                enforcement=each.enforcement.value,
            )
            for each in decision.quotas
        ),
    )


def _span(period: Period) -> Span:
    return Span(start=period.start, end=_end(period))


def _end(period: Period) -> datetime | None:
    return None if period.end == END_OF_TIME else period.end
