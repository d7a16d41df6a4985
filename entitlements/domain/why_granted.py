"""
How each line that an invoice bills spoke at a moment: what it opens of an API, or why it opens nothing. Pure.

It rests on the spans that decide (`spans.py`), and on what took back (`why_taken_back.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from entitlements.domain import given_back, what_if
from entitlements.domain.cycles import Cycle, WithheldFor
from entitlements.domain.decision import Decision, Reason
from entitlements.domain.explanation import (
    ExplainedGrant,
    ExplainedRevocation,
    GivenBack,
    How,
    RevokedBy,
    Withholding,
)
from entitlements.domain.period import Period
from entitlements.domain.spans import Span, SpanReason
from entitlements.domain.what_if import Case
from schemas.stripe_event import InvoiceStatus

A_MOMENT = timedelta(microseconds=1)
OWED = (InvoiceStatus.OPEN, InvoiceStatus.UNCOLLECTIBLE)


def grants(
    case: Case, decision: Decision, revocations: tuple[ExplainedRevocation, ...], currencies: Mapping[str, str | None]
) -> tuple[ExplainedGrant, ...]:
    """Each line of a plan that opens the API, in order of time; *currencies* are the invoices'."""
    return tuple(_grant(case, cycle, decision, revocations, currencies) for cycle in case.cycles)


def _grant(
    case: Case,
    cycle: Cycle,
    decision: Decision,
    revocations: tuple[ExplainedRevocation, ...],
    currencies: Mapping[str, str | None],
) -> ExplainedGrant:
    opens = tuple(span for span in case.spans if _name(span.cycle) == _name(cycle))
    covering = [span for span in opens if span.period.covers(case.at)]
    strongest = min(covering, key=lambda span: list(SpanReason).index(span.reason), default=None)
    withheld = None if strongest is not None else _withheld(case, cycle)
    because_of: tuple[str, ...] = ()
    if strongest is not None:
        how = How.BLOCKED if case.is_blocked else How(strongest.reason.value)
    elif withheld is not None:
        how = How(withheld[0].value)
    else:
        how = _closed(cycle, case.at)
    if how is How.ENDED:
        because_of = tuple(each.invoice for each in revocations if each.invoice and each.lines and _took(each, cycle))
    elif how is How.OPEN and cycle.period.covers(case.at) and (withholding := tuple(_withholding(case, cycle))):
        how, because_of = How.WITHHELD, tuple(sorted(invoice for invoice in withholding if case.names(invoice)))
    return ExplainedGrant(
        cycle=cycle,
        how=how,
        spoke=_spoke(case, cycle, how, decision) or (withheld is not None and _is_why(case, withheld, decision)),
        opens=opens,
        until=None if strongest is None else strongest.period.end,
        because_of=because_of,
        withheld=withheld and _withholding_told(cycle, *withheld, revocations, currencies.get(cycle.invoice.id)),
    )


def _name(cycle: Cycle) -> tuple[str, str]:
    return cycle.invoice.id, cycle.line.id


def _spoke(case: Case, cycle: Cycle, how: How, decision: Decision) -> bool:
    if case.is_blocked:
        return False
    owed = cycle.period.covers(case.at) and how in (How.OPEN, How.WITHHELD, How.UNCOLLECTIBLE)
    return (
        how in (How.PAID, How.UNPAID_TERMS, How.RENEWAL_LEEWAY)
        or (cycle.invoice.id, cycle.period) == (decision.invoice, decision.cycle)
        or (owed and decision.reason is Reason.PAYMENT_REQUIRED)
    )


def _is_why(case: Case, withheld: tuple[WithheldFor, datetime], decision: Decision) -> bool:
    """Whether an answer of refunded, or of disputed, is told of a line that is withheld so at the moment."""
    reason, at = withheld
    return at == case.at and reason.value == decision.reason.value


def _took(revocation: ExplainedRevocation, cycle: Cycle) -> bool:
    return any(isinstance(each, Span) and _name(each.cycle) == _name(cycle) for each in revocation.ended)


def _withheld(case: Case, cycle: Cycle) -> tuple[WithheldFor, datetime] | None:
    """Why a line is withheld at the moment, or was at its end, should that be over; and which moment that is."""
    closed = [
        each.reason
        for each in case.standing.billed.closed
        if _name(each.cycle) == _name(cycle) and each.period.covers(case.at)
    ]
    at = case.at
    if not closed and cycle.period.covers(at) and cycle.invoice.status_at(at) in OWED:
        closed = [each.reason for each in cycle.withheld if each.period.covers(at)]
    if not closed and cycle.paid is not None and not cycle.paid.is_empty:
        end = cycle.paid.cut_at(cycle.ended_at).end
        if end <= case.at:
            at = end - A_MOMENT
            closed = [each.reason for each in cycle.withheld if each.period.covers(at)]
    return None if not closed else (min(closed, key=list(WithheldFor).index), at)


def _withholding_told(
    cycle: Cycle,
    reason: WithheldFor,
    at: datetime,
    revocations: Iterable[ExplainedRevocation],
    currency: str | None,
) -> Withholding:
    since = _since(at, [each.period for each in cycle.withheld if each.reason is reason])
    counting = [each for each in revocations if each.invoice == cycle.invoice.id and each.counts_at(at)]
    if reason is WithheldFor.DISPUTED:
        disputes = tuple(each for each in counting if each.kind is RevokedBy.DISPUTED)
        return Withholding(since=since, by=disputes, given_back=None)
    invoice, line = cycle.invoice, cycle.line
    whole = given_back.amount_at(at, invoice.payments, invoice.credit_notes)
    if invoice.total is not None and whole >= invoice.total:
        by = [each for each in counting if each.kind is RevokedBy.REFUNDED or _counts_itself(each)]
        told = GivenBack(amount=whole, total=invoice.total, currency=currency)
    else:
        by = [each for each in counting if each.kind is RevokedBy.CREDIT_NOTE and line.id in each.lines]
        credited = given_back.of_line_at(at, line.id, invoice.credit_notes)
        told = GivenBack(amount=credited, total=line.amount, currency=currency)
    return Withholding(since=since, by=tuple(by), given_back=told)


def _counts_itself(revocation: ExplainedRevocation) -> bool:
    return revocation.kind is RevokedBy.CREDIT_NOTE and revocation.status != "refund"


def _since(at: datetime, periods: Iterable[Period]) -> datetime:
    """Since when, without a break, these periods have covered the moment *at*."""
    since = at
    for period in sorted(periods, reverse=True):
        if period.start <= since <= period.end:
            since = period.start
    return since


def _closed(cycle: Cycle, at: datetime) -> How:
    """Why a line that nothing withholds opens nothing at *at*."""
    status = cycle.invoice.status_at(at)
    if status is InvoiceStatus.VOID:
        return How.VOID
    cancelled_at = _cancelled_at(cycle)
    if cycle.ended_at is not None and cycle.ended_at <= at and cycle.ended_at < (cancelled_at or cycle.period.end):
        return How.ENDED
    if cancelled_at is not None and cancelled_at <= at:
        return How.CANCELLED
    if at < cycle.period.start:
        return How.NOT_YET
    match status:
        case InvoiceStatus.DRAFT:
            return How.NOT_FINALIZED
        case InvoiceStatus.OPEN:
            return How.OPEN
        case InvoiceStatus.UNCOLLECTIBLE:
            return How.UNCOLLECTIBLE
        case InvoiceStatus.PAID:
            return How.OVER if cycle.paid is not None and not cycle.paid.is_empty else How.PAID_TOO_LATE


def _cancelled_at(cycle: Cycle) -> datetime | None:
    """When the subscription's end cut what was paid (R7)."""
    return cycle.paid.end if cycle.paid is not None and cycle.paid.end < cycle.period.end else None


def _withholding(case: Case, cycle: Cycle) -> Iterator[str]:
    """The older invoices, owed at the moment, but for which this line's unpaid terms would cover it (R2)."""
    owed = [each for each in case.standing.invoices.values() if each.owed_for.covers(case.at)]
    others = [each for each in owed if each.id != cycle.invoice.id]
    rest = [each for each in case.standing.invoices.values() if each not in others]
    if others and _covers(what_if.among(case, rest), cycle):
        for other in others:
            if not _covers(what_if.among(case, [*rest, other]), cycle):
                yield other.id


def _covers(case: Case, cycle: Cycle) -> bool:
    return any(_name(span.cycle) == _name(cycle) and span.period.covers(case.at) for span in case.spans)
