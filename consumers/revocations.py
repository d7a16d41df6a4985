"""
The `revocations` consumer: what ends access before its time. Pure.

Void and uncollectible end only what was given before payment (R4); a credit line ends the lines it credits once its
invoice is paid (R8), whichever of the invoice's snapshots showed it. Refunds, disputes and cancellations (R5, R6, R7)
will be read here too.
"""

from __future__ import annotations

from collections.abc import Iterator

from entitlements.domain.facts import Revocation, RevocationKind
from entitlements.domain.invoice import moments_shown
from schemas.codec import Message, StripeMessage
from schemas.invoice_line import InvoiceLine
from schemas.stripe_event import Invoice, InvoiceStatus, read_head, read_invoice

KIND_OF = {
    InvoiceStatus.DRAFT: None,
    InvoiceStatus.OPEN: None,
    InvoiceStatus.PAID: None,
    InvoiceStatus.UNCOLLECTIBLE: RevocationKind.MARKED_UNCOLLECTIBLE,
    InvoiceStatus.VOID: RevocationKind.VOIDED,
}
"""What an invoice's coming to a status revokes: every status stands here once."""


def decide(message: Message) -> tuple[Revocation, ...]:
    """The revocations that an invoice's snapshot states; nothing for any other message."""
    if not isinstance(message, StripeMessage):
        return ()
    invoice = read_invoice(message.event)
    return () if invoice is None else tuple(_revocations(message, invoice))


def _revocations(message: StripeMessage, invoice: Invoice) -> Iterator[Revocation]:
    stated_at = read_head(message.event).created
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
