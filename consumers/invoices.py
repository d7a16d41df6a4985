"""The `invoices` consumer: what a person is shown of an invoice, where to pay it, and who the customers are. Pure."""

from __future__ import annotations

from entitlements.domain.facts import Customer, Fact, InvoiceSnapshot
from entitlements.domain.invoice import moments_shown
from schemas.codec import Message, StripeMessage
from schemas.stripe_event import InvoiceStatus


def decide(message: Message) -> tuple[Fact, ...]:
    """The customer that an event names and, if it is about an invoice, that invoice as it shows it."""
    if not isinstance(message, StripeMessage):
        return ()
    head = message.head
    named = () if head.customer is None else (Customer(integration=message.integration, customer=head.customer),)
    invoice = message.invoice
    if invoice is None:
        return named
    moments = moments_shown(invoice)
    snapshot = InvoiceSnapshot(
        integration=message.integration,
        customer=invoice.customer,
        invoice=invoice.id,
        status=invoice.status,
        number=invoice.number,
        subscription=invoice.subscription,
        currency=invoice.currency,
        total=invoice.total,
        amount_due=invoice.amount_due,
        amount_paid=invoice.amount_paid,
        amount_remaining=invoice.amount_remaining,
        pay_at=invoice.hosted_invoice_url,
        created=invoice.created,
        due_date=invoice.due_date,
        finalized_at=moments.get(InvoiceStatus.OPEN),
        uncollectible_at=moments.get(InvoiceStatus.UNCOLLECTIBLE),
        voided_at=moments.get(InvoiceStatus.VOID),
        paid_at=moments.get(InvoiceStatus.PAID),
        invoice_plan=invoice.plan,
        lines_complete=invoice.lines_complete,
        stated_at=head.created,
    )
    return (*named, snapshot)
