"""
When each cycle opens its plan's APIs, and why: rules R1 to R7 of the contract as spans of time. Pure.

A span is a period during which one line opens APIs for one reason. Access at a moment is the union of the spans that
cover it (R9), so ending one source never ends another's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from entitlements.domain.catalog import Revisions, UntilDue
from entitlements.domain.cycles import Cycle, WithheldFor, cycles_of
from entitlements.domain.invoice import InvoiceHistory
from entitlements.domain.lines import BilledLine
from entitlements.domain.period import BEGINNING_OF_TIME, END_OF_TIME, Period

PAID_UP_TO_AT_MOST = timedelta(days=1)
"""How long before a line of no subscription its plan may have been paid up to, for the line to be a renewal (R2)."""

NEVER_UNPAID = frozenset({"subscription_update", "subscription_threshold"})
"""Billing reasons whose invoices give nothing before they are paid (R2)."""


class SpanReason(StrEnum):
    """Why a line opens an API, the strongest first."""

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
class Closed:
    """During *period*, *cycle* would open its plan's APIs, were it not withheld because of *reason*."""

    period: Period
    reason: WithheldFor
    cycle: Cycle


@dataclass(frozen=True, slots=True, kw_only=True)
class Billed:
    """
    Everything billed to a customer, under the catalog's terms: what it opens, and what is *closed* of that.

    *unmapped* lines are those of no plan.
    """

    cycles: tuple[Cycle, ...]
    spans: tuple[Span, ...]
    closed: tuple[Closed, ...]
    unmapped: tuple[BilledLine, ...]


def billed(invoices: Mapping[str, InvoiceHistory], integration: str, revisions: Revisions) -> Billed:
    """What all of a customer's invoices give, for any moment."""
    cycles, unmapped = cycles_of(invoices, integration, revisions)
    given = tuple(_given(cycles, invoices))
    return Billed(
        cycles=tuple(cycles),
        spans=tuple(
            Span(period=left, reason=reason, cycle=cycle)
            for cycle, reason, period in given
            for left in cycle.left_of(period)
        ),
        closed=tuple(_closed(given)),
        unmapped=tuple(unmapped),
    )


Billing = tuple[InvoiceHistory, BilledLine]
"""A line, and the invoice that it stands on."""

OwnTerms = Mapping[tuple[str, str], tuple[Period, ...]]
"""By invoice and line, what R2 gives that line while other invoices are left aside."""


def _given(cycles: list[Cycle], invoices: Mapping[str, InvoiceHistory]) -> Iterator[tuple[Cycle, SpanReason, Period]]:
    """What each line gives, before what ends or withholds it is taken out."""
    of_item: dict[str, list[Billing]] = defaultdict(list)
    of_plan: dict[str, list[Cycle]] = defaultdict(list)
    for invoice in invoices.values():
        for line in invoice.lines:
            if line.subscription_item is not None:
                of_item[line.subscription_item].append((invoice, line))
    for cycle in cycles:
        of_plan[cycle.plan.name].append(cycle)
    own_terms = {(cycle.invoice.id, cycle.line.id): _own_terms(cycle, of_plan[cycle.plan.name]) for cycle in cycles}
    for cycle in cycles:
        item = cycle.line.subscription_item
        same = [(each.invoice, each.line) for each in of_plan[cycle.plan.name]] if item is None else of_item[item]
        if cycle.paid is not None:
            yield cycle, SpanReason.PAID, cycle.paid
        for period in _unpaid_terms(cycle, same, own_terms):
            yield cycle, SpanReason.UNPAID_TERMS, period
        if item is not None:
            yield cycle, SpanReason.RENEWAL_LEEWAY, _leeway(cycle, same)


def _closed(given: Iterable[tuple[Cycle, SpanReason, Period]]) -> Iterator[Closed]:
    for cycle, _, period in given:
        for withheld in cycle.withheld:
            closed = period.cut_at(cycle.ended_at).within(withheld.period)
            if not closed.is_empty:
                yield Closed(period=closed, reason=withheld.reason, cycle=cycle)


def _leeway(cycle: Cycle, of_item: list[Billing]) -> Period:
    """
    R3: leeway after a paid cycle of a subscription item that was still open at its end, until (R4) the next cycle's
    invoice is given up or (R7) the subscription ends.
    """
    end = cycle.period.end
    if cycle.paid is None or not any(left.end == end for left in cycle.left_of(cycle.paid)):
        return Period(end, end)
    following = [(i, x) for i, x in of_item if not x.proration and x.amount >= 0 and x.period.start >= end]
    next_start = min((line.period.start for _, line in following), default=None)
    given_up = [
        at
        for invoice, line in following
        if line.period.start == next_start and invoice.id != cycle.invoice.id
        for at in (invoice.uncollectible_at, invoice.voided_at)
        if at is not None
    ]
    leeway = Period(end, end + cycle.plan.access.renewal_leeway).cut_at(min(given_up, default=None))
    return leeway.cut_at(cycle.line.subscription_ended_at)


def _own_terms(cycle: Cycle, of_plan: list[Cycle]) -> tuple[Period, ...]:
    """R2 for one line, other invoices left aside: what its plan gives while its invoice is open, and (R7) it runs."""
    invoice, access = cycle.invoice, cycle.plan.access
    open_in_cycle = cycle.period.within(invoice.open_for).cut_at(cycle.line.subscription_ended_at)
    if open_in_cycle.is_empty or cycle.line.proration or invoice.billing_reason in NEVER_UNPAID:
        return ()
    start = max(cycle.period.start, invoice.finalized_at)
    renewal_since = _renewal_since(cycle, of_plan)
    as_first = Period(start, _end_of_terms(cycle, access.first_unpaid, start)).cut_at(renewal_since)
    as_renewal = Period(max(start, renewal_since), _end_of_terms(cycle, access.renewal_unpaid, cycle.period.start))
    given = (period.within(open_in_cycle) for period in (as_first, as_renewal))
    return tuple(period for period in given if not period.is_empty)


def _renewal_since(cycle: Cycle, of_plan: list[Cycle]) -> datetime:
    """
    Since when a line counts as a renewal (R2): always on an invoice of `subscription_cycle`; without a subscription,
    since the customer had paid its plan up to at most a day before the cycle's start; else never.
    """
    if cycle.invoice.billing_reason == "subscription_cycle":
        return BEGINNING_OF_TIME
    if cycle.line.subscription is not None or cycle.line.subscription_item is not None:
        return END_OF_TIME
    paid = [
        other.invoice.paid_at
        for other in of_plan
        if other.invoice.paid_at is not None
        and other.invoice.id != cycle.invoice.id
        and other.period.start < cycle.period.start <= _paid_up_to(other) + PAID_UP_TO_AT_MOST
    ]
    return min(paid, default=END_OF_TIME)


def _paid_up_to(cycle: Cycle) -> datetime:
    return max((left.end for left in cycle.left_of(cycle.period)), default=cycle.period.start)


def _end_of_terms(cycle: Cycle, terms: timedelta | UntilDue, counted_from: datetime) -> datetime:
    match terms:
        case timedelta():
            return counted_from + terms
        case UntilDue.UNTIL_DUE:
            return cycle.invoice.due_date or counted_from


def _unpaid_terms(cycle: Cycle, same: list[Billing], own_terms: OwnTerms) -> tuple[Period, ...]:
    """R2: a line's own terms, but not while an older invoice for the *same* is owed and past its own terms."""
    own = own_terms[cycle.invoice.id, cycle.line.id]
    older: dict[str, list[Billing]] = defaultdict(list)
    if own:
        for invoice, line in same:
            if invoice.id != cycle.invoice.id and line.period.start < cycle.period.start:
                older[invoice.id].append((invoice, line))
    overdue = [_overdue(billings, own_terms) for billings in older.values()]
    return tuple(left for period in own for left in period.without(overdue))


def _overdue(billings: list[Billing], own_terms: OwnTerms) -> Period:
    """While an invoice is owed and the terms of all these *billings* of it are over."""
    owed_for = billings[0][0].owed_for
    ends = [period.end for invoice, line in billings for period in own_terms.get((invoice.id, line.id), ())]
    return Period(max([owed_for.start, *ends]), owed_for.end)
