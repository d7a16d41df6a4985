"""
Which of a customer's invoices an explanation is told from: those that may have a say, nearest to the moment. Pure.

A long history is told in part; the decision itself rests on all of it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from entitlements.domain.invoice import InvoiceHistory
from entitlements.domain.lines import BilledLine, Credit
from entitlements.domain.what_if import Case

MOST_INVOICES, MOST_LINES = 30, 300
"""An explanation is told from so many invoices and lines, those nearest to the moment: a what-if costs their square."""

A_REVERSAL = 5
"""As many lines as a refund, a dispute or a credit note stands for: each is a what-if of its own."""


def related(case: Case) -> set[str]:
    """The invoices with a line of the API, and those that can end or withhold one: of its item, or crediting it."""
    lines = {cycle.line.id for cycle in case.cycles}
    items = {cycle.line.subscription_item for cycle in case.cycles} - {None}
    found = {cycle.invoice.id for cycle in case.cycles}
    for invoice in case.standing.invoices.values():
        said: list[BilledLine | Credit] = [*invoice.lines, *invoice.credits]
        credited = (line for credit in invoice.credits for _, line in credit.credited)
        if any(each.subscription_item in items for each in said) or not lines.isdisjoint(credited):
            found.add(invoice.id)
    return found


def nearest(case: Case, concerning: Collection[str]) -> list[InvoiceHistory]:
    """The invoice that the decision names, then those *concerning* the API: owed ones first, and nearest first."""
    named = case.decision.invoice

    def distance(invoice: InvoiceHistory) -> tuple[bool, bool, bool, timedelta, str]:
        is_owed, away = invoice.owed_for.covers(case.at), abs(invoice.finalized_at - case.at)
        return invoice.id != named, invoice.id not in concerning, not is_owed, away, invoice.id

    found: list[InvoiceHistory] = []
    lines = 0
    for invoice in sorted(case.standing.invoices.values(), key=distance)[:MOST_INVOICES]:
        lines += len(invoice.lines) + len(invoice.credits) + A_REVERSAL * _reversals(invoice)
        if found and lines > MOST_LINES:
            break
        found.append(invoice)
    return found


def _reversals(invoice: InvoiceHistory) -> int:
    of_payments = sum(len(payment.refunds) + len(payment.disputes) for payment in invoice.payments)
    return of_payments + len(invoice.credit_notes)
