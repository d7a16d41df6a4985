"""
What each kind of fact says, in the words of a person. Pure.

Of payments no currency is known, so their amounts are in its smallest unit, as Stripe counts them.
"""

from __future__ import annotations

from datetime import datetime

from entitlements.domain.acts import Block, ManualGrant, ManualRevocation, Unblock
from entitlements.domain.explanation import RevokedBy
from entitlements.domain.facts import (
    CatalogRevision,
    Customer,
    Fact,
    Grant,
    InvoiceSnapshot,
    Revocation,
    RevocationKind,
)
from entitlements.domain.grants_in_words import what_is_granted
from entitlements.domain.period import Period
from entitlements.domain.reversals import (
    AmountRefunded,
    CreditNoteStated,
    DisputeStated,
    PaymentLink,
    RefundStated,
    SubscriptionEnded,
)
from entitlements.domain.revocations_in_words import REVOKED_AS
from entitlements.domain.wording import listed, moment, money, period

Billing = Grant | Revocation | InvoiceSnapshot | Customer | CatalogRevision
Reversal = PaymentLink | AmountRefunded | RefundStated | DisputeStated | CreditNoteStated | SubscriptionEnded


def in_words(fact: Fact) -> str:
    """What a fact says."""
    match fact:
        case Grant() | Revocation() | InvoiceSnapshot() | Customer() | CatalogRevision():
            return _billing(fact)
        case ManualGrant() | ManualRevocation() | Block() | Unblock():
            return _act(fact)
        case _:
            return _reversal(fact)


def _billing(fact: Billing) -> str:
    match fact:
        case Grant():
            billed = period(Period(fact.period_start, fact.period_end))
            return f"line {fact.line} of {fact.invoice}, {fact.price or 'no price'}, for {billed}: {fact.status}"
        case Revocation(kind=RevocationKind.CREDITED):
            credited = listed(fact.credited_lines, "and") or "earlier lines of its subscription item"
            return f"credit line {fact.line} of {fact.invoice}, once paid, ends {credited}"
        case Revocation():
            return f"invoice {fact.invoice} was {REVOKED_AS[RevokedBy(fact.kind)]}{_at(fact.at)}"
        case InvoiceSnapshot():
            amount = money(fact.total, fact.currency)
            left = money(fact.amount_remaining, fact.currency)
            return (
                f"invoice {fact.invoice} is {fact.status}, {amount or 'no total'}, {left or 'nothing known'} to be paid"
            )
        case Customer():
            return f"Stripe names customer {fact.customer}"
        case CatalogRevision():
            return f"catalog revision {fact.number}, applied by {fact.applied_by}"


def _reversal(fact: Reversal) -> str:
    match fact:
        case PaymentLink():
            of = f" of customer {fact.customer}" if fact.customer else ""
            paid = f" is of invoice {fact.invoice}" if fact.invoice else ""
            return f"payment {listed(_ids(fact), 'and')}{of}{paid}"
        case AmountRefunded():
            return f"of charge {fact.charge} {fact.amount} (smallest unit) was refunded in all"
        case RefundStated():
            return f"refund {fact.refund} of {listed(_ids(fact), 'and')}, {fact.amount} (smallest unit): {fact.status}"
        case DisputeStated():
            return f"dispute {fact.dispute} over {listed(_ids(fact), 'and')}: {fact.status} at {moment(fact.at)}"
        case CreditNoteStated():
            lines = f" of {listed(fact.lines, 'and')}" if fact.lines else ""
            with_refund = ", with a refund" if fact.names_refund else ""
            void = f", void{_at(fact.voided_at)}" if fact.is_void else ""
            return (
                f"credit note {fact.credit_note} for invoice {fact.invoice}, {fact.amount} (smallest unit){lines}, "
                f"issued {moment(fact.issued_at)}{with_refund}{void}"
            )
        case SubscriptionEnded():
            what = f"subscription {fact.subscription}" if fact.subscription else "every subscription"
            return f"{what} of customer {fact.customer} ended{_at(fact.ended_at)}"


def _act(fact: ManualGrant | ManualRevocation | Block | Unblock) -> str:
    why = f"by {fact.by}: {fact.reason}"
    match fact:
        case ManualGrant():
            opened = f"{what_is_granted(fact)} from {moment(fact.start)} {_until(fact.end)}"
            return f"grant {fact.id} to customer {fact.customer}: {opened}, {why}"
        case ManualRevocation():
            return f"grant {fact.grant} to customer {fact.customer} is over from {moment(fact.since)} on, {why}"
        case Block():
            return f"customer {fact.customer} is blocked from {moment(fact.start)} {_until(fact.end)}, {why}"
        case Unblock():
            return f"customer {fact.customer} is blocked no longer from {moment(fact.since)} on, {why}"


def _ids(fact: PaymentLink | RefundStated | DisputeStated) -> list[str]:
    return [each for each in (fact.payment_intent, fact.charge) if each is not None]


def _at(at: datetime | None) -> str:
    return "" if at is None else f" {moment(at)}"


def _until(end: datetime | None) -> str:
    return "on" if end is None else f"to {moment(end)}"
