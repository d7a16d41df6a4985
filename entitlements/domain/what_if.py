"""
The same decision, had something been otherwise: an invoice paid, a transition or a refund that never was, a later
moment. Pure.

The rules are asked again rather than told again, so that what an explanation promises is what would be decided.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from entitlements.domain.access import Scope, Standing, billed_in, decide, manual_in
from entitlements.domain.catalog import Revisions
from entitlements.domain.cycles import Cycle
from entitlements.domain.decision import Decision
from entitlements.domain.facts import CustomerFacts
from entitlements.domain.given_back import credit_notes_of
from entitlements.domain.invoice import InvoiceHistory, histories
from entitlements.domain.manual import Manual, blocked
from entitlements.domain.payments import payments_of
from entitlements.domain.period import END_OF_TIME, Period
from entitlements.domain.spans import Span
from schemas.stripe_event import InvoiceStatus

Opened = Span | Manual
"""What opens an API during a period."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """
    A question, and all that its answer follows from: a *standing*, and the *facts* that it is made of; *known_apis* as
    `apis_of` gives them.
    """

    facts: CustomerFacts
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

    @property
    def manual(self) -> tuple[Manual, ...]:
        """The operators' grants that open the API, whenever."""
        return tuple(each for each in self.standing.manual if self.api in each.apis)

    @property
    def opened(self) -> tuple[Opened, ...]:
        """All that opens the API, whenever, blocks left aside."""
        return (*self.spans, *self.manual)

    @property
    def is_blocked(self) -> bool:
        """Whether the customer is blocked at the moment."""
        return any(period.covers(self.at) for period in self.standing.blocked)

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


def narrowed(case: Case, invoices: Collection[InvoiceHistory]) -> Case:
    """The case if these were all the invoices, and what is said of them and of their payments all that is known."""
    names = {invoice.id for invoice in invoices}
    paid_by = {id_ for invoice in invoices for payment in invoice.payments for id_ in payment.ids}
    facts = case.facts
    few = replace(
        facts,
        grants=tuple(each for each in facts.grants if each.invoice in names),
        revocations=tuple(each for each in facts.revocations if each.invoice in names),
        credit_notes=tuple(each for each in facts.credit_notes if each.invoice in names),
        payment_links=tuple(each for each in facts.payment_links if each.payment in paid_by),
        amounts_refunded=tuple(each for each in facts.amounts_refunded if each.payment in paid_by),
        refunds=tuple(each for each in facts.refunds if each.payment in paid_by),
        disputes=tuple(each for each in facts.disputes if each.payment in paid_by),
    )
    return among(replace(case, facts=few), invoices)


def knowing(case: Case, facts: CustomerFacts) -> Case:
    """
    The case if these were its facts.

    They may differ from the case's in what takes back (R5, R6, R7) and in what operators did (R10), in nothing else.
    """
    standing = replace(
        case.standing, manual=tuple(manual_in(case.scope, facts, case.revisions)), blocked=blocked(facts)
    )
    payments, notes = payments_of(facts), credit_notes_of(facts.credit_notes)
    invoices = (
        replace(
            invoice,
            payments=tuple(each for each in payments if invoice.id in each.invoices),
            credit_notes=tuple(each for each in notes if each.invoice == invoice.id),
        )
        for invoice in case.standing.invoices.values()
    )
    if facts.ended_subscriptions != case.facts.ended_subscriptions:
        again = histories(facts)
        invoices = (_ended_as(again[invoice.id], invoice) for invoice in invoices)
    return among(replace(case, facts=facts, standing=standing), invoices)


def _ended_as(other: InvoiceHistory, invoice: InvoiceHistory) -> InvoiceHistory:
    """The invoice, where its lines' subscriptions ended as those of the *other* one did, which has the same lines."""
    ends = {line.id: line.subscription_ended_at for line in other.lines}
    return replace(invoice, lines=tuple(replace(line, subscription_ended_at=ends[line.id]) for line in invoice.lines))


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


def opened_more(case: Case, other: Case) -> tuple[Opened, ...]:
    """What *other* opens beyond *case*, each line and reason and each operator's grant by itself; blocks left aside."""
    return _beyond(other.opened, case.opened)


def opened_by_no_block(case: Case, other: Case) -> tuple[Opened, ...]:
    """What *other* opens beyond *case* for being blocked less."""
    return _beyond(_less_blocked(other), _less_blocked(case))


def _less_blocked(case: Case) -> tuple[Opened, ...]:
    return tuple(
        replace(each, period=left) for each in case.opened for left in each.period.without(case.standing.blocked)
    )


def _beyond(more: Iterable[Opened], less: Iterable[Opened]) -> tuple[Opened, ...]:
    opened: dict[tuple[str, ...], list[Period]] = defaultdict(list)
    for each in less:
        opened[name_of(each)].append(each.period)
    return tuple(replace(each, period=left) for each in more for left in each.period.without(opened[name_of(each)]))


def name_of(opened: Opened) -> tuple[str, ...]:
    """What tells one source from another: invoice, line and reason, or the operator's grant."""
    match opened:
        case Span(cycle=cycle, reason=reason):
            return cycle.invoice.id, cycle.line.id, reason
        case Manual(grant=grant):
            return (grant.id,)


def next_change(case: Case) -> tuple[datetime, Decision] | None:
    """The next moment at which the answer has another reason, if nothing more becomes known; None if there is none."""
    now = case.decision.reason
    for moment in sorted(moment for moment in _boundaries(case) if case.at < moment < END_OF_TIME):
        then = replace(case, at=moment).decision
        if then.reason is not now:
            return moment, then
    return None


def _boundaries(case: Case) -> set[datetime]:
    """When anything begins or ends that an answer may follow from."""
    billed = case.standing.billed
    periods = [
        *(each.period for each in case.opened),
        *(closed.period for closed in billed.closed if case.api in closed.cycle.plan.apis),
        *case.standing.blocked,
    ]
    for cycle in case.cycles:
        periods += [cycle.period, *(withheld.period for withheld in cycle.withheld)]
    moments = {moment for period in periods for moment in (period.start, period.end)}
    for cycle in case.cycles:
        moments |= set(cycle.invoice.moments.values())
        if cycle.ended_at is not None:
            moments.add(cycle.ended_at)
    return moments
