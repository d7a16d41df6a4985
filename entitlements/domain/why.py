"""
Why a decision is as it is: which grants and revocations concern it, how each spoke, and what would change it. Pure.

It rests on the decision itself (`access.py`) and on the same rules asked again (`what_if.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from entitlements.domain import what_if, why_changes
from entitlements.domain.catalog import Plan, Revision, Revisions
from entitlements.domain.explanation import (
    Change,
    ExplainedGrant,
    ExplainedManual,
    ExplainedRevocation,
    Explanation,
    PersonsEye,
    RevokedBy,
    Unlinked,
)
from entitlements.domain.facts import CustomerFacts
from entitlements.domain.given_back import credit_notes_of
from entitlements.domain.lines import BilledLine
from entitlements.domain.nearest import MOST_INVOICES, nearest, related
from entitlements.domain.payments import Payment, payments_of
from entitlements.domain.period import END_OF_TIME
from entitlements.domain.shown import InvoiceShown, invoices_shown
from entitlements.domain.traces import Traces, traces_of
from entitlements.domain.what_if import Case
from entitlements.domain.why_by_hand import manual_grants
from entitlements.domain.why_granted import grants
from entitlements.domain.why_revoked import revocations
from schemas.stripe_event import InvoiceStatus

AS_KNOWN_NOW = END_OF_TIME - timedelta(microseconds=1)
"""The last moment there is: by then all that is known has happened."""


def explain(whole: Case, customer: str | None, now: datetime) -> Explanation:
    """
    The decision of a case, explained; *customer* is whom it is about, None for nobody, *now* says which catalog is the
    current one.
    """
    decision = whole.decision
    concerning = related(whole)
    case = what_if.narrowed(whole, nearest(whole, concerning))
    shown = invoices_shown(whole.standing, whole.facts.invoices, whole.scope, AS_KNOWN_NOW)[::-1]
    currencies = {each.id: each.amounts.currency for each in shown if each.amounts is not None}
    revoked = revocations(case, currencies)
    granted = grants(case, decision, revoked, currencies)
    by_hand = manual_grants(case)
    told = {
        *(grant.cycle.invoice.id for grant in granted),
        *(each.invoice for each in revoked),
        *(invoice for grant in granted for invoice in grant.because_of),
    }
    invoices = {invoice.id: invoice for invoice in shown if invoice.id in told}
    eye = _persons_eye(whole, customer, shown)
    change = what_if.next_change(whole)
    current = whole.revisions.in_force_at(now)
    return Explanation(
        decision=decision,
        at=whole.at,
        is_past=whole.at < now,
        grants=granted,
        manual=by_hand,
        revocations=revoked,
        invoices=invoices,
        revisions=_revisions(whole.revisions, current, granted, by_hand),
        payments=tuple(why_changes.payments(case, granted, revoked)),
        undoings=tuple(why_changes.undoings(case, revoked)),
        change=None if change is None else Change(at=change[0], decision=change[1]),
        plans=_plans_of(whole, current),
        known_apis=whole.known_apis,
        nameable=tuple(_nameable(whole)),
        eye=eye,
        left_out=len((concerning & {invoice.id for invoice in shown}) - case.standing.invoices.keys()),
        traces=_traces(whole, invoices, eye, by_hand, revoked),
    )


def _persons_eye(case: Case, customer: str | None, shown: Iterable[InvoiceShown]) -> PersonsEye:
    """What belongs to no marketplace is told to those alone who ask about no single one."""
    listed = list(shown)
    is_everywhere = case.scope.marketplace is None
    granted = {grant.id for grant in case.facts.manual_grants}
    return PersonsEye(
        unmapped=case.standing.unmapped,
        incomplete=tuple(invoice.id for invoice in listed if invoice.lines_complete is False),
        contradictory=case.standing.contradictory,
        lineless=tuple(each.id for each in listed if each.id not in case.standing.invoices)[-MOST_INVOICES:],
        unlinked=tuple(_unlinked(case.facts, customer, {*case.standing.invoices, *(each.id for each in listed)}))
        if is_everywhere
        else (),
        homeless=tuple(each for each in case.facts.manual_revocations if is_everywhere and each.grant not in granted),
    )


def _unlinked(facts: CustomerFacts, customer: str | None, invoices: set[str]) -> Iterator[Unlinked]:
    """What was taken back of the customer's payments, and credited, that leads to none of the *invoices* known."""
    for payment in payments_of(facts):
        taken_back = tuple(_money_taken_back(payment))
        if taken_back and customer in payment.customers and invoices.isdisjoint(payment.invoices):
            yield Unlinked(
                taken_back=taken_back, payment=tuple(sorted(payment.ids)), invoices=tuple(sorted(payment.invoices))
            )
    for note in credit_notes_of(facts.credit_notes):
        if note.invoice not in invoices and note.counts.end == END_OF_TIME:
            yield Unlinked(taken_back=(note.id,), payment=(), invoices=(note.invoice,))


def _money_taken_back(payment: Payment) -> Iterator[str]:
    """The refunds that stand and the disputes that are not settled, by id; else the charges that were refunded."""
    refunds = [each.id for each in payment.refunds if each.counts.end == END_OF_TIME and not each.counts.is_empty]
    yield from refunds or (() if payment.refunds else payment.amounts_refunded)
    yield from (each.id for each in payment.disputes if each.suspends.end == END_OF_TIME and not each.suspends.is_empty)


def _traces(
    case: Case,
    invoices: Iterable[str],
    eye: PersonsEye,
    by_hand: Iterable[ExplainedManual],
    revoked: Iterable[ExplainedRevocation],
) -> Traces:
    ends = (RevokedBy.SUBSCRIPTION_ENDED, RevokedBy.CUSTOMER_DELETED)
    told = list(revoked)
    liftings = [each.lifted_by.id for each in told if each.lifted_by is not None]
    return traces_of(
        case.facts,
        {name: case.standing.invoices.get(name) for name in (*invoices, *eye.lineless)},
        unlinked=[id_ for each in eye.unlinked for id_ in (*each.taken_back, *each.payment)],
        ended=[each.id for each in told if each.id is not None and each.kind in ends],
        messages=[
            *(each.grant.id for each in by_hand),
            *(each.act.id for each in told if each.act is not None),
            *liftings,
            *(each.id for each in eye.homeless),
        ],
    )


def _nameable(case: Case) -> Iterator[BilledLine]:
    """The lines of no plan that would open their plan's APIs at the moment, or could be paid, had they a plan."""
    for line in case.standing.unmapped:
        status = case.standing.invoices[line.invoice].status_at(case.at)
        if line.period.covers(case.at) and status not in (InvoiceStatus.DRAFT, InvoiceStatus.VOID):
            yield line


def _revisions(
    revisions: Revisions,
    current: Revision | None,
    granted: Iterable[ExplainedGrant],
    by_hand: Iterable[ExplainedManual],
) -> tuple[Revision, ...]:
    told = {*(grant.cycle.revision for grant in granted), *(each.revision for each in by_hand)}
    told |= {current.number} if current else set()
    return tuple(revision for revision in revisions.revisions if revision.number in told)


def _plans_of(case: Case, current: Revision | None) -> tuple[Plan, ...]:
    plans = current.catalog.plans.values() if current else ()
    found = [plan for plan in plans if case.api in plan.apis and case.scope.sells(plan)]
    return tuple(sorted(found, key=lambda plan: plan.name))
