"""
When each cycle opens its plan's APIs, and why: rules R1 to R4 of the contract as spans of time. Pure.

A span is a period during which one line opens APIs for one reason. Access at a moment is the union of the spans that
cover it (R9), so ending one source never ends another's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from entitlements.domain.catalog import Revisions, UntilDue
from entitlements.domain.cycles import Cycle, cycles_of
from entitlements.domain.invoice import BilledLine, InvoiceHistory
from entitlements.domain.period import END_OF_TIME, Period

PAID_UP_TO_AT_MOST = timedelta(days=1)
"""How long before a line of no subscription its plan may have been paid up to, for the line to be a renewal (R2)."""

NEVER_UNPAID = frozenset({"subscription_update", "subscription_threshold"})
"""Billing reasons whose invoices give nothing before they are paid (R2)."""


class SpanReason(StrEnum):
    """Why a line opens an API, the strongest first. `manual` (R10) will stand after `paid`."""

    PAID = "paid"
    UNPAID_TERMS = "unpaid_terms"
    RENEWAL_LEEWAY = "renewal_leeway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """During *period*, *cycle* opens its plan's APIs because of *reason*."""

    period: Period
    reason: SpanReason
    cycle: Cycle


@dataclass(frozen=True, slots=True, kw_only=True)
class Billed:
    """Everything billed to a customer, under the catalog's terms; *unmapped* lines are those of no plan."""

    cycles: tuple[Cycle, ...]
    spans: tuple[Span, ...]
    unmapped: tuple[BilledLine, ...]


def billed(invoices: Mapping[str, InvoiceHistory], integration: str, revisions: Revisions) -> Billed:
    """What all of a customer's invoices give, for any moment."""
    cycles, unmapped = cycles_of(invoices, integration, revisions)
    return Billed(cycles=tuple(cycles), spans=tuple(_spans(cycles, invoices)), unmapped=tuple(unmapped))


def _spans(cycles: list[Cycle], invoices: Mapping[str, InvoiceHistory]) -> Iterator[Span]:
    by_item: dict[str, list[tuple[InvoiceHistory, BilledLine]]] = defaultdict(list)
    for invoice in invoices.values():
        for line in invoice.lines:
            if line.subscription_item is not None:
                by_item[line.subscription_item].append((invoice, line))
    own_terms = {(cycle.invoice.id, cycle.line.id): _own_terms(cycle, cycles) for cycle in cycles}
    for cycle in cycles:
        of_item = by_item.get(cycle.line.subscription_item or "", [])
        periods = [
            (SpanReason.PAID, [cycle.paid] if cycle.paid is not None else []),
            (SpanReason.UNPAID_TERMS, _unpaid_terms(cycle, cycles, of_item, own_terms)),
            (SpanReason.RENEWAL_LEEWAY, [_leeway(cycle, of_item)]),
        ]
        for reason, given in periods:
            for period in given:
                left = period.cut_at(cycle.ended_at)
                if not left.is_empty:
                    yield Span(period=left, reason=reason, cycle=cycle)


def _leeway(cycle: Cycle, of_item: list[tuple[InvoiceHistory, BilledLine]]) -> Period:
    """R3: leeway after a paid cycle of a subscription item, until (R4) the next cycle's invoice is given up."""
    end = cycle.period.end
    nothing = Period(end, end)
    if cycle.paid is None or cycle.paid.is_empty or cycle.line.subscription_item is None:
        return nothing
    following = [(i, x) for i, x in of_item if not x.proration and x.amount >= 0 and x.period.start >= end]
    next_start = min((line.period.start for _, line in following), default=None)
    given_up = [
        at
        for invoice, line in following
        if line.period.start == next_start and invoice.id != cycle.invoice.id
        for at in (invoice.uncollectible_at, invoice.voided_at)
        if at is not None
    ]
    return Period(end, end + cycle.plan.access.renewal_leeway).cut_at(min(given_up, default=None))


def _own_terms(cycle: Cycle, cycles: list[Cycle]) -> tuple[Period, ...]:
    """R2 for one line, other invoices left aside: what its plan gives while its invoice is open."""
    invoice, period = cycle.invoice, cycle.period
    if cycle.line.proration or invoice.billing_reason in NEVER_UNPAID:
        return ()
    start = max(period.start, invoice.finalized_at)
    terms = [(start, _end_of_terms(cycle, cycle.plan.access.first_unpaid, start))]
    renewal = _end_of_terms(cycle, cycle.plan.access.renewal_unpaid, period.start)
    if invoice.billing_reason == "subscription_cycle":
        terms = [(start, renewal)]
    elif cycle.line.subscription is None and cycle.line.subscription_item is None:
        renewal_since = max(start, _paid_before(cycle, cycles) or END_OF_TIME)
        terms = [(start, min(terms[0][1], renewal_since)), (renewal_since, renewal)]
    given = [Period(start, end).within(period).within(invoice.open_for) for start, end in terms]
    return tuple(period for period in given if not period.is_empty)


def _end_of_terms(cycle: Cycle, terms: timedelta | UntilDue, counted_from: datetime) -> datetime:
    match terms:
        case timedelta():
            return counted_from + terms
        case UntilDue.UNTIL_DUE:
            return cycle.invoice.due_date or counted_from


def _paid_before(cycle: Cycle, cycles: list[Cycle]) -> datetime | None:
    """Since when the customer had paid this plan up to at most a day before the cycle's start; None if never."""
    paid = [
        other.invoice.paid_at
        for other in cycles
        if other.plan.name == cycle.plan.name
        and other.invoice.paid_at is not None
        and other.invoice.id != cycle.invoice.id
        and other.period.start < cycle.period.start <= other.period.end + PAID_UP_TO_AT_MOST
    ]
    return min(paid, default=None)


def _unpaid_terms(
    cycle: Cycle,
    cycles: list[Cycle],
    of_item: list[tuple[InvoiceHistory, BilledLine]],
    own_terms: Mapping[tuple[str, str], tuple[Period, ...]],
) -> tuple[Period, ...]:
    """R2: a line's own terms, but not while an older invoice for the same is owed and past its own."""
    own = own_terms[cycle.invoice.id, cycle.line.id]
    if not own:
        return ()
    older: dict[str, tuple[InvoiceHistory, list[BilledLine]]] = {}
    same = of_item
    if cycle.line.subscription_item is None:
        same = [(other.invoice, other.line) for other in cycles if other.plan.name == cycle.plan.name]
    for invoice, line in same:
        if invoice.id != cycle.invoice.id and line.period.start < cycle.period.start:
            older.setdefault(invoice.id, (invoice, []))[1].append(line)
    overdue = []
    for invoice, lines in older.values():
        ends = [period.end for line in lines for period in own_terms.get((invoice.id, line.id), ())]
        overdue.append(Period(max([invoice.finalized_at, *ends]), invoice.owed_for.end))
    return tuple(left for period in own for left in period.without(overdue))
