"""
What each billed line gives, and when: the access rules R1 to R4 and R8 of the contract as spans of time. Pure.

A span is a period during which one line opens its plan's APIs, for one reason. Whatever ends a line early comes from
`_endings`; R5 (given back), R6 (dispute) and R7 (cancel) will join R8's credit lines there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from entitlements.domain.catalog import NamedPlan, Plan, Revisions, UntilDue
from entitlements.domain.invoice import BilledLine, Credit, InvoiceHistory
from entitlements.domain.period import END_OF_TIME, Period, one_cycle_from

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
class Cycle:
    """
    A line that grants its plan's APIs for a cycle when its invoice is paid.

    *quantity* multiplies the plan's quotas. *ended_at* is when a credit ended it, whatever it had given by then.
    """

    line: BilledLine
    invoice: InvoiceHistory
    plan: Plan
    revision: int
    period: Period
    quantity: Decimal
    ended_at: datetime | None

    @property
    def paid(self) -> Period | None:
        """R1: from the cycle's start, or from payment where that came later; empty when paid after its end."""
        if self.invoice.paid_at is None:
            return None
        return Period(max(self.period.start, self.invoice.paid_at), self.period.end)


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
    cycles: list[Cycle] = []
    unmapped: list[BilledLine] = []
    endings = _endings(invoices)
    for invoice in invoices.values():
        counted: set[tuple[str, Period]] = set()
        for line in invoice.lines:
            if not _may_grant(line, invoice):
                continue
            named = revisions.terms_of(
                invoice.finalized_at,
                integration=integration,
                line_plan=line.line_plan,
                price_plan=line.price_plan,
                price=line.price,
                invoice_plan=None if line.subscription or line.subscription_item else line.invoice_plan,
            )
            if named is None:
                unmapped.append(line)
                continue
            revision, plan = named
            cycle = _cycle(line, invoice, plan, revision.number, endings.get((invoice.id, line.id)))
            if cycle is None or (plan.by_invoice and (plan.plan.name, cycle.period) in counted):
                continue
            if plan.by_invoice:
                counted.add((plan.plan.name, cycle.period))
            cycles.append(cycle)
    return Billed(cycles=tuple(cycles), spans=tuple(_spans(cycles, invoices)), unmapped=tuple(unmapped))


def _may_grant(line: BilledLine, invoice: InvoiceHistory) -> bool:
    """
    R8: not a negative line, one of quantity 0, or one metered in arrears: by its usage type where that is shown, else a
    line of a subscription item whose period had ended when the invoice was created (not a proration: Stripe prorates
    licensed prices only; nor an invoice item added to a subscription's invoice, whose period may be empty).
    """
    if line.amount < 0 or line.quantity == 0:
        return False
    if line.usage_type is not None:
        return line.usage_type != "metered"
    if line.subscription_item is None or line.proration or invoice.created is None:
        return True
    return line.period.end > invoice.created


def _cycle(
    line: BilledLine, invoice: InvoiceHistory, named: NamedPlan, revision: int, ended_at: datetime | None
) -> Cycle | None:
    period = line.period
    if period.is_empty:
        if line.subscription_item is not None:
            return None
        period = one_cycle_from(period.start, named.plan.every)
    return Cycle(
        line=line,
        invoice=invoice,
        plan=named.plan,
        revision=revision,
        period=period,
        quantity=Decimal(1) if named.by_invoice or line.quantity is None else line.quantity,
        ended_at=ended_at,
    )


def _endings(invoices: Mapping[str, InvoiceHistory]) -> dict[tuple[str, str], datetime]:
    """When each line, by invoice and line, was ended by a credit line of a paid invoice (R8); the earliest counts."""
    endings: dict[tuple[str, str], datetime] = {}
    lines = [(invoice, line) for invoice in invoices.values() for line in invoice.lines]
    for invoice in invoices.values():
        if invoice.paid_at is None:
            continue
        for credit in invoice.credits:
            ended_at = max(credit.period_start, invoice.paid_at)
            for name in credit.credited or _credited_by_item(credit, invoice, lines):
                endings[name] = min(endings.get(name, ended_at), ended_at)
    return endings


def _credited_by_item(
    credit: Credit, invoice: InvoiceHistory, lines: Iterable[tuple[InvoiceHistory, BilledLine]]
) -> Iterator[tuple[str, str]]:
    if credit.subscription_item is None:
        return
    for other, line in lines:
        if (line.subscription_item, line.price) != (credit.subscription_item, credit.price):
            continue
        start = line.period.start
        if start < credit.period_start or (start == credit.period_start and other.finalized_at < invoice.finalized_at):
            yield other.id, line.id


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
