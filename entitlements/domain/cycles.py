"""
The cycles that invoices bill for: which lines could grant anything, of which plan, and what ends them early. Pure.

Rules R1, R5, R6, R7 and R8 of the contract: what a line grants once it is paid, what ends that (a credit line, the
subscription's end), and what withholds it for a time or for good (money given back, a dispute).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from entitlements.domain import given_back
from entitlements.domain.catalog import NamedPlan, OnCancel, OnDispute, OnRefund, Plan, Revision, Revisions
from entitlements.domain.invoice import InvoiceHistory
from entitlements.domain.lines import BilledLine, Credit
from entitlements.domain.period import Period, one_cycle_from


class WithheldFor(StrEnum):
    """Why what a line grants is withheld; of several, the first is told."""

    REFUNDED = "refunded"
    DISPUTED = "disputed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """During *period* a line grants nothing, because of *reason*."""

    period: Period
    reason: WithheldFor


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """
    A line that grants its plan's APIs for a cycle when its invoice is paid.

    *quantity* multiplies the plan's quotas. *ended_at* is when a credit ended it, whatever it had given by then; while
    it is *withheld* it grants nothing. *by_invoice* says that the invoice's metadata alone named its plan.
    """

    line: BilledLine
    invoice: InvoiceHistory
    plan: Plan
    revision: int
    period: Period
    quantity: Decimal
    ended_at: datetime | None
    withheld: tuple[Withheld, ...] = ()
    by_invoice: bool = False

    @property
    def counts_as(self) -> tuple[Hashable, ...]:
        """Cycles that are equal in this count once together (contract, section 3); any other counts by itself."""
        return (self.invoice.id, self.plan.name, self.period) if self.by_invoice else (self.invoice.id, self.line.id)

    @property
    def paid(self) -> Period | None:
        """
        R1: from the cycle's start, or from payment where that came later; empty when paid after its end. R7: with
        `on_cancel: immediately` to the subscription's end, unless it was paid after that.
        """
        paid_at, cancelled_at = self.invoice.paid_at, self.line.subscription_ended_at
        if paid_at is None:
            return None
        is_cut = self.plan.access.on_cancel is OnCancel.IMMEDIATELY and cancelled_at is not None
        paid = Period(max(self.period.start, paid_at), self.period.end)
        return paid.cut_at(cancelled_at) if is_cut and cancelled_at is not None and paid_at <= cancelled_at else paid

    def left_of(self, given: Period) -> tuple[Period, ...]:
        """What is left of what the line gives, once all is taken out that ends or withholds it."""
        return given.cut_at(self.ended_at).without(each.period for each in self.withheld)


def cycles_of(
    invoices: Mapping[str, InvoiceHistory], integration: str, revisions: Revisions
) -> tuple[list[Cycle], list[BilledLine]]:
    """
    The cycles that a customer's invoices bill for, and the lines of no plan.

    Of lines that count once together those are left out that add nothing to the others.
    """
    cycles: list[Cycle] = []
    unmapped: list[BilledLine] = []
    endings = _endings(invoices)
    for invoice in invoices.values():
        taken_back = _taken_back(invoice)
        alike: dict[tuple[Hashable, ...], list[Cycle]] = defaultdict(list)
        for line in invoice.lines:
            if not _may_grant(line, invoice):
                continue
            named = _plan_of(line, invoice, integration, revisions)
            if named is None:
                unmapped.append(line)
                continue
            revision, plan = named
            cycle = _cycle(line, invoice, plan, revision.number, endings.get((invoice.id, line.id)))
            if cycle is not None:
                cycle = replace(cycle, withheld=tuple(_withheld(cycle, taken_back)))
                alike[cycle.counts_as].append(cycle)
        cycles += [cycle for each in alike.values() for cycle in _needed(each)]
    return cycles, unmapped


def _plan_of(
    line: BilledLine, invoice: InvoiceHistory, integration: str, revisions: Revisions
) -> tuple[Revision, NamedPlan] | None:
    """The invoice's own metadata counts where the invoice was made without a subscription (contract, section 3)."""
    return revisions.terms_of(
        invoice.finalized_at,
        integration=integration,
        line_plan=line.line_plan,
        price_plan=line.price_plan,
        price=line.price,
        invoice_plan=None if invoice.of_subscription else line.invoice_plan,
    )


def _needed(alike: list[Cycle]) -> list[Cycle]:
    """
    Of cycles that count once together, one that nothing ends or withholds; else each that is taken back otherwise.

    Each ends by itself (R9): where two are taken back at different times, either may be what is open. A proration
    stands for none but prorations, since it gives nothing before it is paid (R2).
    """
    whole = [cycle for cycle in alike if not cycle.line.proration and cycle.left_of(cycle.period) == (cycle.period,)]
    if whole:
        return whole[:1]
    unlike = {(cycle.line.proration, cycle.ended_at, cycle.withheld): cycle for cycle in reversed(alike)}
    return list(reversed(unlike.values()))


def _may_grant(line: BilledLine, invoice: InvoiceHistory) -> bool:
    """
    R8: not a negative line, one of quantity 0 or less, or one metered in arrears: by its usage type where that is
    shown, else a line of a subscription item whose period had ended when the invoice was created (not a proration:
    Stripe prorates licensed prices only; nor an invoice item on a subscription's invoice, whose period may be empty).
    """
    if line.amount < 0 or (line.quantity is not None and line.quantity <= 0):
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
        by_invoice=named.by_invoice,
    )


def _taken_back(invoice: InvoiceHistory) -> tuple[Withheld, ...]:
    """While all of an invoice is given back (R5), or one of its payments is disputed (R6)."""
    refunded = given_back.whole(invoice.total, invoice.payments, invoice.credit_notes)
    disputed = (dispute.suspends for payment in invoice.payments for dispute in payment.disputes)
    return (
        *(Withheld(period=period, reason=WithheldFor.REFUNDED) for period in refunded),
        *(Withheld(period=period, reason=WithheldFor.DISPUTED) for period in disputed if not period.is_empty),
    )


def _withheld(cycle: Cycle, taken_back: tuple[Withheld, ...]) -> Iterator[Withheld]:
    """What of that concerns a line under its plan's terms, and what was given back of the line alone (R5)."""
    of_line = given_back.of_line(cycle.line.id, cycle.line.amount, cycle.invoice.credit_notes)
    access = cycle.plan.access
    if access.on_refund is OnRefund.REVOKE:
        yield from (each for each in taken_back if each.reason is WithheldFor.REFUNDED)
        yield from (Withheld(period=period, reason=WithheldFor.REFUNDED) for period in of_line)
    if access.on_dispute is OnDispute.SUSPEND:
        yield from (each for each in taken_back if each.reason is WithheldFor.DISPUTED)


def _endings(invoices: Mapping[str, InvoiceHistory]) -> dict[tuple[str, str], datetime]:
    """When each line, by invoice and line, was ended by a credit line of a paid invoice (R8); the earliest counts."""
    endings: dict[tuple[str, str], datetime] = {}
    lines = [(invoice, line) for invoice in invoices.values() for line in invoice.lines]
    for invoice in invoices.values():
        if invoice.paid_at is None:
            continue
        for credit in invoice.credits:
            ended_at = max(credit.period_start, invoice.paid_at)
            for other, line in lines:
                if _ends(credit, invoice, line, other):
                    name = (other.id, line.id)
                    endings[name] = min(endings.get(name, ended_at), ended_at)
    return endings


def _ends(credit: Credit, invoice: InvoiceHistory, line: BilledLine, other: InvoiceHistory) -> bool:
    """Whether a credit on *invoice* ends a line of the *other* one: by name or, where it names none, by its item."""
    if credit.credited:
        return not credit.credited.isdisjoint({(other.id, line.id), (None, line.id)})
    if credit.subscription_item is None:
        return False
    if (line.subscription_item, line.price) != (credit.subscription_item, credit.price):
        return False
    start = line.period.start
    return start < credit.period_start or (start == credit.period_start and other.finalized_at < invoice.finalized_at)
