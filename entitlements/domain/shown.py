"""
Invoices as a person is shown them: status, amounts, cycles and where to pay, at a moment. Pure.

Decides nothing. The status is the one that decisions rest on, joined from all that any consumer has recorded; number
and amounts come from what the `invoices` consumer has seen, and are never of a later status than that, so the two agree
however far either consumer is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from entitlements.domain.access import Scope, Standing
from entitlements.domain.facts import InvoiceSnapshot
from entitlements.domain.given_back import amount_at
from entitlements.domain.identity import canonical_json
from entitlements.domain.invoice import RANK, InvoiceHistory, believed, moments_of
from entitlements.domain.period import Period
from entitlements.domain.statements import first_known, first_stated
from schemas.stripe_event import InvoiceStatus

OWED = (InvoiceStatus.OPEN, InvoiceStatus.UNCOLLECTIBLE)
"""While an invoice is one of these, it can be paid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledCycle:
    """The cycle that a line bills for; *plan* is None where the catalog names none for it."""

    line: str
    period: Period
    plan: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceShown:
    """
    An invoice at a moment. *transitions* are those that had happened by then.

    *amounts* is the snapshot whose number and amounts count, None before any was seen. *lines_complete* says whether
    Stripe ever sent all lines, None where that is not known. *pay_at* is the hosted page, while it can be paid.
    *given_back* is how much was refunded and credited by then, in the currency's smallest unit; *is_disputed* whether a
    dispute over one of its payments is open, or lost: both whatever the plan makes of it, and None where no line is
    known, for then nothing is looked for.
    """

    id: str
    status: InvoiceStatus
    amounts: InvoiceSnapshot | None
    created: datetime
    due_date: datetime | None
    transitions: Mapping[InvoiceStatus, datetime]
    cycles: tuple[BilledCycle, ...]
    pay_at: str | None
    lines_complete: bool | None
    is_contradictory: bool
    given_back: int | None = None
    is_disputed: bool | None = None


def invoices_shown(
    customer: Standing, snapshots: Iterable[InvoiceSnapshot], scope: Scope, at: datetime
) -> tuple[InvoiceShown, ...]:
    """
    A customer's invoices that were finalized by the moment *at*, newest first.

    In the scope of a marketplace those with a line of its plans, and of their lines these; else all.
    """
    seen: dict[str, list[InvoiceSnapshot]] = defaultdict(list)
    for snapshot in snapshots:
        seen[snapshot.invoice].append(snapshot)
    cycles = _cycles(customer)
    known = {name: _stated_only(name, said) for name, said in seen.items()} | dict(customer.invoices)
    shown = [
        _shown(history, seen.get(name, []), cycles.get(name, []), customer.pay_at.get(name), at)
        for name, history in known.items()
        if history.status_at(at) is not InvoiceStatus.DRAFT and (scope.marketplace is None or name in cycles)
    ]
    return tuple(sorted(shown, key=lambda invoice: (invoice.created, invoice.id), reverse=True))


def snapshot_at(snapshots: Iterable[InvoiceSnapshot], status: InvoiceStatus, at: datetime) -> InvoiceSnapshot | None:
    """
    The snapshot whose amounts count at the moment *at*, when the invoice's status was *status*.

    Of those stated by then that show it, or one below it, the highest-ranked; of these the one stated last, and within
    one second the one of the smallest canonical JSON. Where there is none, the one that came next.
    """
    ordered = sorted(snapshots, key=canonical_json)
    by_then = [each for each in ordered if each.stated_at <= at and RANK[each.status] <= RANK[status]]
    if by_then:
        return max(by_then, key=_stage)
    return min(ordered, key=_stage, default=None)


def _stage(snapshot: InvoiceSnapshot) -> tuple[int, datetime]:
    return RANK[snapshot.status], snapshot.stated_at


def _stated_only(name: str, snapshots: list[InvoiceSnapshot]) -> InvoiceHistory:
    """An invoice of which no line is known to bill for anything."""
    moments, is_contradictory = believed(moments_of((), (), snapshots))
    return InvoiceHistory(
        id=name,
        created=first_known((each.stated_at, each.created) for each in snapshots),
        billing_reason=None,
        due_date=first_stated((each.stated_at, each.due_date) for each in snapshots),
        moments=moments,
        is_contradictory=is_contradictory,
        lines=(),
        credits=(),
    )


def _shown(
    history: InvoiceHistory,
    snapshots: list[InvoiceSnapshot],
    cycles: list[BilledCycle],
    pay_at: str | None,
    at: datetime,
) -> InvoiceShown:
    status = history.status_at(at)
    is_joined = bool(history.lines or history.credits)
    disputes = [dispute for payment in history.payments for dispute in payment.disputes]
    amounts = snapshot_at(snapshots, status, at)
    created = history.created or (amounts.created if amounts else history.finalized_at)
    return InvoiceShown(
        id=history.id,
        status=status,
        amounts=amounts,
        created=created,
        due_date=history.due_date or (amounts.due_date if amounts else None),
        transitions={reached: moment for reached, moment in history.moments.items() if moment <= at},
        cycles=tuple(sorted(cycles, key=lambda cycle: (cycle.period, cycle.line))),
        pay_at=pay_at if status in OWED else None,
        lines_complete=any(each.lines_complete for each in snapshots) if snapshots else None,
        is_contradictory=history.is_contradictory,
        given_back=amount_at(at, history.payments, history.credit_notes) if is_joined else None,
        is_disputed=any(dispute.suspends.covers(at) for dispute in disputes) if is_joined else None,
    )


def _cycles(customer: Standing) -> dict[str, list[BilledCycle]]:
    """By invoice; lines that can never grant anything (credits, usage in arrears) bill for no cycle."""
    cycles: dict[str, list[BilledCycle]] = defaultdict(list)
    for cycle in customer.billed.cycles:
        billed = BilledCycle(line=cycle.line.id, period=cycle.period, plan=cycle.plan.name)
        cycles[cycle.invoice.id].append(billed)
    for line in customer.billed.unmapped:
        cycles[line.invoice].append(BilledCycle(line=line.id, period=line.period, plan=None))
    return cycles
