"""
Why a decision is as it is: which grants and revocations concern it, how each spoke, and what would change it. Pure.

It rests on the decision itself (`access.py`) and on the same rules asked again (`what_if.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

from entitlements.domain import what_if
from entitlements.domain.access import Decision, Reason
from entitlements.domain.catalog import Plan, Revision, Revisions
from entitlements.domain.cycles import Cycle
from entitlements.domain.explanation import (
    Change,
    ExplainedGrant,
    ExplainedRevocation,
    Explanation,
    How,
    Payment,
)
from entitlements.domain.facts import InvoiceSnapshot, RevocationKind
from entitlements.domain.invoice import BilledLine, InvoiceHistory
from entitlements.domain.nearest import MOST_INVOICES, nearest, related
from entitlements.domain.period import END_OF_TIME
from entitlements.domain.shown import invoices_shown
from entitlements.domain.spans import SpanReason
from entitlements.domain.what_if import Case
from schemas.stripe_event import InvoiceStatus


def explain(whole: Case, snapshots: tuple[InvoiceSnapshot, ...], now: datetime) -> Explanation:
    """
    The decision of a case, explained; *snapshots* are the customer's, *now* says which catalog is the current one.
    """
    decision = whole.decision
    concerning = related(whole)
    case = what_if.among(whole, nearest(whole, concerning))
    revocations = tuple(_revocations(case))
    grants = tuple(_grant(case, cycle, decision, revocations) for cycle in case.cycles)
    shown = invoices_shown(whole.standing, snapshots, whole.scope, END_OF_TIME)[::-1]
    told = {
        *(grant.cycle.invoice.id for grant in grants),
        *(revocation.invoice for revocation in revocations),
        *(invoice for grant in grants for invoice in grant.because_of),
    }
    change = what_if.next_change(whole)
    current = whole.revisions.in_force_at(now)
    return Explanation(
        decision=decision,
        at=whole.at,
        is_past=whole.at < now,
        grants=grants,
        revocations=revocations,
        invoices={invoice.id: invoice for invoice in shown if invoice.id in told},
        revisions=_revisions(whole.revisions, current, grants),
        payments=tuple(_payments(case, grants, revocations)),
        change=None if change is None else Change(at=change[0], decision=change[1]),
        plans=_plans_of(whole, current),
        known_apis=whole.known_apis,
        unmapped=whole.standing.unmapped,
        nameable=tuple(_nameable(whole)),
        incomplete=tuple(invoice.id for invoice in shown if invoice.lines_complete is False),
        contradictory=whole.standing.contradictory,
        lineless=tuple(each.id for each in shown if each.id not in whole.standing.invoices)[-MOST_INVOICES:],
        left_out=len((concerning & {invoice.id for invoice in shown}) - case.standing.invoices.keys()),
    )


def _grant(
    case: Case, cycle: Cycle, decision: Decision, revocations: tuple[ExplainedRevocation, ...]
) -> ExplainedGrant:
    opens = tuple(span for span in case.spans if span.cycle.line == cycle.line)
    covering = [span for span in opens if span.period.covers(case.at)]
    strongest = min(covering, key=lambda span: list(SpanReason).index(span.reason), default=None)
    how = _closed(cycle, case.at) if strongest is None else How(strongest.reason.value)
    because_of: tuple[str, ...] = ()
    if how is How.ENDED:
        because_of = tuple(each.invoice for each in revocations if each.lines and _took(each, cycle))
    elif how is How.OPEN and cycle.period.covers(case.at) and (withholding := tuple(_withholding(case, cycle))):
        how, because_of = How.WITHHELD, tuple(invoice for invoice in withholding if case.names(invoice))
    owed = cycle.period.covers(case.at) and how in (How.OPEN, How.WITHHELD, How.UNCOLLECTIBLE)
    named = (cycle.invoice.id, cycle.period) == (decision.invoice, decision.cycle)
    return ExplainedGrant(
        cycle=cycle,
        how=how,
        spoke=bool(covering) or named or (owed and decision.reason is Reason.PAYMENT_REQUIRED),
        opens=opens,
        until=None if strongest is None else strongest.period.end,
        because_of=because_of,
    )


def _took(revocation: ExplainedRevocation, cycle: Cycle) -> bool:
    return any(span.cycle.line == cycle.line for span in revocation.ended)


def _closed(cycle: Cycle, at: datetime) -> How:
    """Why a line opens nothing at *at*."""
    status = cycle.invoice.status_at(at)
    if status is InvoiceStatus.VOID:
        return How.VOID
    if cycle.ended_at is not None and cycle.ended_at <= at and cycle.ended_at < cycle.period.end:
        return How.ENDED
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
    return any(span.cycle.line == cycle.line and span.period.covers(case.at) for span in case.spans)


def _revocations(case: Case) -> Iterator[ExplainedRevocation]:
    """Those that ended something of this API or will once they are paid, and those of invoices with a line of it."""
    concerned = {cycle.invoice.id for cycle in case.cycles}
    invoices = (invoice for invoice in case.standing.invoices.values() if case.names(invoice.id))
    found = [each for invoice in invoices for each in _revocations_of(case, invoice)]
    for revocation in sorted(found, key=lambda each: (each.at or END_OF_TIME, each.invoice, each.lines)):
        if revocation.ended or revocation.invoice in concerned or _would_end(case, revocation):
            yield revocation


def _would_end(case: Case, revocation: ExplainedRevocation) -> bool:
    invoice = case.standing.invoices[revocation.invoice]
    if revocation.at is not None or not invoice.owed_for.covers(case.at):
        return False
    return bool(what_if.opened_more(what_if.had(case, what_if.paid(invoice, case.at)), case))


def _revocations_of(case: Case, invoice: InvoiceHistory) -> Iterator[ExplainedRevocation]:
    for kind, status in STATUS_OF.items():
        if status in invoice.moments:
            without = what_if.never(invoice, status)
            yield _revocation(case, kind, without, at=invoice.moments[status])
    credited: dict[datetime | None, list[str]] = defaultdict(list)
    for credit in invoice.credits:
        at = None if invoice.paid_at is None else max(credit.period_start, invoice.paid_at)
        credited[at].append(credit.line)
    for at, lines in credited.items():  # those of one moment together: two may end the same, and either would do
        without = what_if.without_credits(invoice, lines)
        yield _revocation(case, RevocationKind.CREDITED, without, at=at, lines=tuple(lines))


STATUS_OF = {
    RevocationKind.MARKED_UNCOLLECTIBLE: InvoiceStatus.UNCOLLECTIBLE,
    RevocationKind.VOIDED: InvoiceStatus.VOID,
}
"""The status that an invoice comes to by a revocation; of kinds that are not here it has none of its own."""


def _revocation(
    case: Case, kind: RevocationKind, without: InvoiceHistory, *, at: datetime | None, lines: tuple[str, ...] = ()
) -> ExplainedRevocation:
    ended = () if at is None else what_if.opened_more(case, what_if.had(case, without))
    return ExplainedRevocation(
        kind=kind,
        invoice=without.id,
        lines=lines,
        at=at,
        spoke=any(span.period.covers(case.at) for span in ended),
        ended=ended,
    )


def _payments(
    case: Case, grants: tuple[ExplainedGrant, ...], revocations: tuple[ExplainedRevocation, ...]
) -> Iterator[Payment]:
    """The invoices owed at the moment that would open the API, open it longer or end it, were they paid at it."""
    running = (grant.cycle.invoice.id for grant in grants if grant.cycle.period.end > case.at)
    withholding = (invoice for grant in grants for invoice in grant.because_of)
    crediting = (revocation.invoice for revocation in revocations if revocation.at is None)
    for name in sorted({*running, *withholding, *crediting}, key=lambda each: (_finalized_at(case, each), each)):
        invoice = case.standing.invoices[name]
        if invoice.owed_for.covers(case.at):
            until = what_if.had(case, what_if.paid(invoice, case.at)).decision.until
            if until != case.decision.until:
                yield Payment(invoice=name, until=until)


def _finalized_at(case: Case, invoice: str) -> datetime:
    return case.standing.invoices[invoice].finalized_at


def _nameable(case: Case) -> Iterator[BilledLine]:
    """The lines of no plan that would open their plan's APIs at the moment, or could be paid, had they a plan."""
    for line in case.standing.unmapped:
        status = case.standing.invoices[line.invoice].status_at(case.at)
        if line.period.covers(case.at) and status not in (InvoiceStatus.DRAFT, InvoiceStatus.VOID):
            yield line


def _revisions(
    revisions: Revisions, current: Revision | None, grants: tuple[ExplainedGrant, ...]
) -> tuple[Revision, ...]:
    told = {grant.cycle.revision for grant in grants} | ({current.number} if current else set())
    return tuple(revision for revision in revisions.revisions if revision.number in told)


def _plans_of(case: Case, current: Revision | None) -> tuple[Plan, ...]:
    plans = current.catalog.plans.values() if current else ()
    found = [plan for plan in plans if case.api in plan.apis and case.scope.sells(plan)]
    return tuple(sorted(found, key=lambda plan: plan.name))
