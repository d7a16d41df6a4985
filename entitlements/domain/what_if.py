"""
The same decision, had something been otherwise: an invoice paid, a transition that never was, a later moment. Pure.

The rules are asked again rather than told again, so that what an explanation promises is what would be decided.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from entitlements.domain.access import Decision, Scope, Standing, billed_in, decide
from entitlements.domain.catalog import Revisions
from entitlements.domain.cycles import Cycle
from entitlements.domain.invoice import InvoiceHistory
from entitlements.domain.period import Period
from entitlements.domain.spans import Span
from schemas.stripe_event import InvoiceStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A question, and all that its answer follows from; *known_apis* as `apis_of` gives them."""

    standing: Standing
    scope: Scope
    revisions: Revisions
    known_apis: tuple[str, ...]
    api: str
    at: datetime

    @property
    def decision(self) -> Decision:
        return decide(self.standing, self.api, self.at, known_apis=self.known_apis)

    @property
    def cycles(self) -> tuple[Cycle, ...]:
        """Those whose plan opens the API, in order of time."""
        found = [cycle for cycle in self.standing.billed.cycles if self.api in cycle.plan.apis]
        return tuple(sorted(found, key=lambda each: (each.period, each.invoice.id, each.line.id)))

    @property
    def spans(self) -> tuple[Span, ...]:
        """All that opens the API, whenever."""
        return tuple(span for span in self.standing.billed.spans if self.api in span.cycle.plan.apis)

    def names(self, invoice: str) -> bool:
        """Whether who asks may hear of the invoice: in a marketplace's scope it needs a line of a plan sold there."""
        return self.scope.marketplace is None or any(
            cycle.invoice.id == invoice for cycle in self.standing.billed.cycles
        )


def among(case: Case, invoices: Iterable[InvoiceHistory]) -> Case:
    """The case if these were all the invoices."""
    named = {invoice.id: invoice for invoice in invoices}
    again = billed_in(case.scope, named, case.revisions)
    return replace(case, standing=replace(case.standing, invoices=named, billed=again))


def had(case: Case, invoice: InvoiceHistory) -> Case:
    """The case if the invoice of that id were this one."""
    return among(case, {**case.standing.invoices, invoice.id: invoice}.values())


def paid(invoice: InvoiceHistory, at: datetime) -> InvoiceHistory:
    """The invoice, had it been paid at a moment at which it was owed."""
    before = {status: reached for status, reached in invoice.moments.items() if reached <= at}
    return replace(invoice, moments=before | {InvoiceStatus.PAID: at})


def never(invoice: InvoiceHistory, status: InvoiceStatus) -> InvoiceHistory:
    """The invoice, had it been finalized and never come to *status*."""
    others = {each: at for each, at in invoice.moments.items() if each is not status}
    return replace(invoice, moments={InvoiceStatus.OPEN: invoice.finalized_at} | others)


def without_credits(invoice: InvoiceHistory, lines: Collection[str]) -> InvoiceHistory:
    """The invoice, had it no credit lines of these ids."""
    return replace(invoice, credits=tuple(credit for credit in invoice.credits if credit.line not in lines))


def opened_more(case: Case, other: Case) -> tuple[Span, ...]:
    """What *other* opens beyond *case*, each line and reason by itself."""
    opened: dict[tuple[str, str, str], list[Period]] = defaultdict(list)
    for span in case.spans:
        opened[_named(span)].append(span.period)
    return tuple(
        replace(span, period=more) for span in other.spans for more in span.period.without(opened[_named(span)])
    )


def next_change(case: Case) -> tuple[datetime, Decision] | None:
    """The next moment at which the answer has another reason, if nothing more becomes known; None if there is none."""
    now = case.decision.reason
    for moment in sorted(moment for moment in _boundaries(case) if moment > case.at):
        then = replace(case, at=moment).decision
        if then.reason is not now:
            return moment, then
    return None


def _boundaries(case: Case) -> set[datetime]:
    moments = {moment for span in case.spans for moment in (span.period.start, span.period.end)}
    for cycle in case.cycles:
        moments |= {cycle.period.start, cycle.period.end, *cycle.invoice.moments.values()}
        if cycle.ended_at is not None:
            moments.add(cycle.ended_at)
    return moments


def _named(span: Span) -> tuple[str, str, str]:
    return span.cycle.invoice.id, span.cycle.line.id, span.reason
