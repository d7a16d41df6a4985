"""
Why what was open is taken back: by refunds, credit notes, disputes and ended subscriptions (R5, R6, R7). Pure.

What one of them ended is what would be open without it. Where two do the same, such as a dispute over what was refunded
besides, neither alone makes a difference: then it is told what each would have ended by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain

from entitlements.domain import given_back, what_if
from entitlements.domain.catalog import OnDispute, OnRefund
from entitlements.domain.explanation import ExplainedRevocation, GivenBack, RevokedBy
from entitlements.domain.facts import CustomerFacts
from entitlements.domain.invoice import InvoiceHistory, subscription_ends
from entitlements.domain.payments import Payment
from entitlements.domain.period import END_OF_TIME, Period
from entitlements.domain.what_if import Case

UNDONE = "canceled"
"""The status of a refund that never was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A revocation whose effect is yet to be asked, of the facts *without* it, or with it *alone* beside *none*."""

    revocation: ExplainedRevocation
    without: CustomerFacts
    alone: CustomerFacts
    none: Case


def taken_back(case: Case, currencies: Mapping[str, str | None]) -> Iterator[ExplainedRevocation]:
    """All that takes back what concerns the API; *currencies* are the invoices'."""
    none = _nothing_taken_back(case)
    concerned = {cycle.invoice.id: cycle.invoice for cycle in case.cycles}
    for invoice in concerned.values():
        for told in chain(
            _refunds(case, invoice, none), _charges(case, invoice, none), _credit_notes(case, invoice, none)
        ):
            kept = all(
                cycle.plan.access.on_refund is OnRefund.KEEP for cycle in case.cycles if cycle.invoice.id == invoice.id
            )
            so_far = _given_back(invoice, told.revocation.at, currencies.get(invoice.id))
            yield asked(case, replace(told, revocation=replace(told.revocation, kept=kept, given_back=so_far)))
        for told in _disputes(case, invoice, none):
            yield asked(case, told)
    for told in _ends(case, none):
        yield asked(case, told)


def asked(case: Case, told: Told) -> ExplainedRevocation:
    """The revocation, with what it ended: nothing where it never counted, or nothing of its invoice is withheld."""
    of_invoice = [cycle for cycle in case.cycles if cycle.invoice.id == told.revocation.invoice]
    if told.revocation.at == told.revocation.until or (of_invoice and not any(each.withheld for each in of_invoice)):
        return told.revocation
    ended = what_if.opened_more(case, what_if.knowing(case, told.without))
    by_itself: tuple[what_if.Opened, ...] = ()
    if not ended or (told.revocation.counts_at(case.at) and not _cover(ended, case.at)):
        by_itself = what_if.opened_more(what_if.knowing(case, told.alone), told.none)
    shared = bool(by_itself) and (not ended or _cover(by_itself, case.at))
    told_of = by_itself if shared else ended
    spoke = not case.is_blocked and _cover(told_of, case.at)
    return replace(told.revocation, ended=told_of, shared=shared, spoke=spoke)


def _cover(opened: Iterable[what_if.Opened], moment: datetime) -> bool:
    return any(each.period.covers(moment) for each in opened)


def _nothing_taken_back(case: Case) -> Case:
    none = replace(case.facts, amounts_refunded=(), refunds=(), disputes=(), credit_notes=(), ended_subscriptions=())
    return what_if.knowing(case, none)


def _until(counts: Period) -> datetime | None:
    return None if counts.end == END_OF_TIME else counts.end


def _refunds(case: Case, invoice: InvoiceHistory, none: Case) -> Iterator[Told]:
    for refund in (refund for payment in invoice.payments for refund in payment.refunds):
        said = tuple(each for each in case.facts.refunds if each.refund == refund.id)
        counted = not refund.counts.is_empty
        first = refund.counts.start if counted else min(each.stated_at for each in said)
        # had it been cancelled at once: so the charge's own sum, which counts it too, is less by it
        undone = tuple(replace(each, status=UNDONE, stated_at=first) for each in said)
        others = tuple(each for each in case.facts.refunds if each.refund != refund.id)
        yield Told(
            revocation=ExplainedRevocation(
                kind=RevokedBy.REFUNDED,
                id=refund.id,
                invoice=invoice.id,
                at=first,
                until=_until(refund.counts) if counted else first,
                status=refund.status,
                amount=refund.amount,
            ),
            without=replace(case.facts, refunds=(*others, *undone)),
            alone=replace(none.facts, refunds=said),
            none=none,
        )


def _charges(case: Case, invoice: InvoiceHistory, none: Case) -> Iterator[Told]:
    """What charges say was refunded of them, where that is more than the refunds that are known."""
    for payment in invoice.payments:
        if not _says_more(payment):
            continue
        for charge, stated in payment.amounts_refunded.items():
            most = 0
            for at, amount in stated:
                if amount <= most:
                    continue
                most = amount
                said = tuple(
                    each for each in case.facts.amounts_refunded if (each.charge, each.amount) == (charge, amount)
                )
                others = tuple(each for each in case.facts.amounts_refunded if each not in said)
                yield Told(
                    revocation=ExplainedRevocation(
                        kind=RevokedBy.REFUNDED, id=charge, invoice=invoice.id, at=at, amount=amount
                    ),
                    without=replace(case.facts, amounts_refunded=others),
                    alone=replace(none.facts, amounts_refunded=said),
                    none=none,
                )


def _says_more(payment: Payment) -> bool:
    last = max((moment for moment in payment.moments if moment < END_OF_TIME), default=None)
    return last is not None and payment.stated_at(last) > payment.counting_at(last)


def _credit_notes(case: Case, invoice: InvoiceHistory, none: Case) -> Iterator[Told]:
    for note in invoice.credit_notes:
        said = tuple(each for each in case.facts.credit_notes if each.credit_note == note.id)
        others = tuple(each for each in case.facts.credit_notes if each.credit_note != note.id)
        yield Told(
            revocation=ExplainedRevocation(
                kind=RevokedBy.CREDIT_NOTE,
                id=note.id,
                invoice=invoice.id,
                lines=tuple(line for line, _ in note.lines),
                at=note.counts.start,
                until=_until(note.counts),
                status="refund" if note.names_refund else "issued" if _until(note.counts) is None else "void",
                amount=note.amount,
            ),
            without=replace(case.facts, credit_notes=others),
            alone=replace(none.facts, credit_notes=said),
            none=none,
        )


def _given_back(invoice: InvoiceHistory, by: datetime | None, currency: str | None) -> GivenBack | None:
    """What is given back of an invoice at a moment."""
    if by is None:
        return None
    return GivenBack(
        amount=given_back.amount_at(by, invoice.payments, invoice.credit_notes),
        total=invoice.total,
        currency=currency,
        lines=tuple(
            line.id
            for line in invoice.lines
            if 0 < line.amount <= given_back.of_line_at(by, line.id, invoice.credit_notes)
        ),
    )


def _disputes(case: Case, invoice: InvoiceHistory, none: Case) -> Iterator[Told]:
    plans = [cycle.plan for cycle in case.cycles if cycle.invoice.id == invoice.id]
    for dispute in (dispute for payment in invoice.payments for dispute in payment.disputes):
        said = tuple(each for each in case.facts.disputes if each.dispute == dispute.id)
        others = tuple(each for each in case.facts.disputes if each.dispute != dispute.id)
        suspended = not dispute.suspends.is_empty
        first = dispute.suspends.start if suspended else min(each.at for each in said)
        yield Told(
            revocation=ExplainedRevocation(
                kind=RevokedBy.DISPUTED,
                id=dispute.id,
                invoice=invoice.id,
                at=first,
                until=_until(dispute.suspends) if suspended else first,
                status=dispute.status,
                kept=all(plan.access.on_dispute is OnDispute.KEEP for plan in plans),
            ),
            without=replace(case.facts, disputes=others),
            alone=replace(none.facts, disputes=said),
            none=none,
        )


def _ends(case: Case, none: Case) -> Iterator[Told]:
    """The subscriptions of the API's lines that ended, and the customer that was deleted."""
    lines = [cycle.line for cycle in case.cycles]
    subscriptions = {line.subscription for line in lines} - {None}
    of_any = any(line.subscription is not None or line.subscription_item is not None for line in lines)
    for name, at in subscription_ends(case.facts.ended_subscriptions).items():
        if name in subscriptions or (name is None and of_any):
            said = tuple(each for each in case.facts.ended_subscriptions if each.subscription == name)
            others = tuple(each for each in case.facts.ended_subscriptions if each.subscription != name)
            yield Told(
                revocation=ExplainedRevocation(
                    kind=RevokedBy.CUSTOMER_DELETED if name is None else RevokedBy.SUBSCRIPTION_ENDED,
                    id=said[0].customer if name is None else name,
                    at=at,
                ),
                without=replace(case.facts, ended_subscriptions=others),
                alone=replace(none.facts, ended_subscriptions=said),
                none=none,
            )
