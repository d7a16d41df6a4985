"""
The cycles that invoices bill for: which lines could grant anything, of which plan, and what ends them early. Pure.

Rules R1 and R8 of the contract. Whatever ends a line before its time comes from `_endings`: R5 (given back), R6
(dispute) and R7 (cancel) will join R8's credit lines there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from entitlements.domain.catalog import NamedPlan, Plan, Revisions
from entitlements.domain.invoice import BilledLine, Credit, InvoiceHistory
from entitlements.domain.period import Period, one_cycle_from


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


def cycles_of(
    invoices: Mapping[str, InvoiceHistory], integration: str, revisions: Revisions
) -> tuple[list[Cycle], list[BilledLine]]:
    """The cycles that a customer's invoices bill for, and the lines of no plan."""
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
    return cycles, unmapped


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
