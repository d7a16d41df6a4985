"""
The `revocations` consumer: what ends access before its time. Pure.

Void and uncollectible end only what was given before payment (R4); a credit line ends the lines it credits once its
invoice is paid (R8), whichever of the invoice's snapshots showed it. What takes paid access back (R5, R6, R7) is
recorded as said, and which payment it is about beside it: whether that ends anything is decided when asked. So are the
operators' revocations, blocks and their lifting (R10).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from entitlements.domain.acts import Block, ManualRevocation, Unblock
from entitlements.domain.facts import Fact, Revocation, RevocationKind
from entitlements.domain.invoice import moments_shown
from entitlements.domain.reversals import (
    AmountRefunded,
    CreditNoteStated,
    DisputeStated,
    PaymentLink,
    RefundStated,
    SubscriptionEnded,
)
from schemas.codec import CatalogApplied, Message, StripeMessage
from schemas.invoice_line import InvoiceLine
from schemas.operator_acts import AccessGranted, AccessRevoked, CustomerBlocked, CustomerUnblocked, OperatorAct
from schemas.payments import (
    Charge,
    CreditNote,
    Dispute,
    Ended,
    Refund,
    read_charge,
    read_credit_note,
    read_dispute,
    read_ended,
    read_links,
    read_refund,
)
from schemas.stripe_event import Invoice, InvoiceStatus

KIND_OF = {
    InvoiceStatus.DRAFT: None,
    InvoiceStatus.OPEN: None,
    InvoiceStatus.PAID: None,
    InvoiceStatus.UNCOLLECTIBLE: RevocationKind.MARKED_UNCOLLECTIBLE,
    InvoiceStatus.VOID: RevocationKind.VOIDED,
}
"""What an invoice's coming to a status revokes: every status stands here once."""


READERS = (read_charge, read_refund, read_dispute, read_credit_note, read_ended)
"""One for each kind of object, beside invoices, that may take access back."""


def decide(message: Message) -> tuple[Fact, ...]:
    """What a Stripe event or an operator takes back, and which payment belongs to which invoice."""
    match message:
        case StripeMessage():
            return _of_stripe(message)
        case CatalogApplied():
            return ()
        case _:
            return tuple(_of_an_operator(message))


def _of_an_operator(act: OperatorAct) -> Iterator[ManualRevocation | Block | Unblock]:
    said: dict[str, Any] = {
        "integration": act.integration,
        "customer": act.customer,
        "id": act.id,
        "at": act.at,
        "by": act.by,
        "reason": act.reason,
    }
    match act:
        case AccessRevoked():
            yield ManualRevocation(**said, grant=act.grant, since=act.since)
        case CustomerBlocked():
            yield Block(**said, start=act.start, end=act.end)
        case CustomerUnblocked():
            yield Unblock(**said, since=act.since)
        case AccessGranted():
            pass


def _of_stripe(message: StripeMessage) -> tuple[Fact, ...]:
    found = message.invoice or next((read for reader in READERS if (read := reader(message.event)) is not None), None)
    taken_back = () if found is None else _taken_back(message, found)
    return (*taken_back, *_links(message))


def _links(message: StripeMessage) -> Iterator[PaymentLink]:
    for link in read_links(message.event):
        yield PaymentLink(
            integration=message.integration,
            invoice=link.invoice,
            payment_intent=link.payment_intent,
            charge=link.charge,
            customer=link.customer,
        )


def _taken_back(
    message: StripeMessage, found: Invoice | Charge | Refund | Dispute | CreditNote | Ended
) -> Iterator[Fact]:
    stated_at = message.head.created
    match found:
        case Invoice():
            yield from _revocations(message, found)
        case Charge() | Refund() | Dispute():
            yield from _of_a_payment(message.integration, found, stated_at)
        case CreditNote():
            yield _credit_note(message, found, stated_at)
        case Ended():
            yield SubscriptionEnded(
                integration=message.integration,
                customer=found.customer,
                subscription=found.subscription,
                ended_at=found.ended_at,
                stated_at=stated_at,
            )


def _of_a_payment(
    integration: str, found: Charge | Refund | Dispute, stated_at: datetime
) -> Iterator[AmountRefunded | RefundStated | DisputeStated]:
    match found:
        case Charge() if found.amount_refunded > 0:
            yield AmountRefunded(
                integration=integration,
                charge=found.id,
                payment_intent=found.payment_intent,
                amount=found.amount_refunded,
                stated_at=stated_at,
            )
        case Refund():
            yield RefundStated(
                integration=integration,
                refund=found.id,
                charge=found.charge,
                payment_intent=found.payment_intent,
                amount=found.amount,
                status=found.status,
                stated_at=stated_at,
            )
        case Dispute():
            yield DisputeStated(
                integration=integration,
                dispute=found.id,
                charge=found.charge,
                payment_intent=found.payment_intent,
                status=found.status,
                is_closing=found.is_closing,
                at=stated_at,
            )


def _credit_note(message: StripeMessage, note: CreditNote, stated_at: datetime) -> CreditNoteStated:
    return CreditNoteStated(
        integration=message.integration,
        customer=note.customer,
        credit_note=note.id,
        invoice=note.invoice,
        amount=note.amount,
        issued_at=note.issued_at,
        is_void=note.is_void,
        voided_at=note.voided_at,
        names_refund=note.names_refund,
        lines=tuple(line for line, _ in note.lines),
        line_amounts=tuple(amount for _, amount in note.lines),
        stated_at=stated_at,
    )


def _revocations(message: StripeMessage, invoice: Invoice) -> Iterator[Revocation]:
    stated_at = message.head.created
    moments = moments_shown(invoice)
    for status, at in moments.items():
        kind = KIND_OF[status]
        if kind is not None:
            yield Revocation(
                integration=message.integration,
                customer=invoice.customer,
                kind=kind,
                invoice=invoice.id,
                at=at,
                stated_at=stated_at,
            )
    for line in invoice.lines:
        if _is_credit(line):
            yield Revocation(
                integration=message.integration,
                customer=invoice.customer,
                kind=RevocationKind.CREDITED,
                invoice=invoice.id,
                at=moments.get(InvoiceStatus.PAID),
                status=invoice.status,
                line=line.id,
                finalized_at=moments.get(InvoiceStatus.OPEN),
                subscription=line.subscription,
                subscription_item=line.subscription_item,
                price=line.price,
                period_start=line.period_start,
                credited_invoice=line.credited_invoice,
                credited_lines=line.credited_lines,
                stated_at=stated_at,
            )


def _is_credit(line: InvoiceLine) -> bool:
    """R8: negative, and a proration; a negative line that is no proration is a discount."""
    return line.amount < 0 and line.proration
