"""
The `grants` consumer: what each invoice line was billed or paid for, what operators opened by hand, and the catalogs
that give both their terms. Pure.

Records every line that could ever grant something; whether it does, and for how long, is decided when asked
(`entitlements/domain/cycles.py`), so that a late or corrected catalog needs no second reading of the log.
"""

from __future__ import annotations

from entitlements.domain.acts import ManualGrant
from entitlements.domain.catalog_document import read_catalog
from entitlements.domain.facts import CatalogRevision, Fact, Grant
from entitlements.domain.identity import canonical_json
from entitlements.domain.invoice import moments_shown
from schemas.codec import CatalogApplied, InvalidMessage, Message, StripeMessage
from schemas.operator_acts import AccessGranted, AccessRevoked, CustomerBlocked, CustomerUnblocked
from schemas.stripe_event import InvoiceStatus


def decide(message: Message) -> tuple[Fact, ...]:
    """The grants that an invoice's snapshot states, or an operator's; or the catalog revision that one applied."""
    match message:
        case StripeMessage():
            return _grants(message)
        case CatalogApplied():
            return (_revision(message),)
        case AccessGranted():
            return (_manual_grant(message),)
        case AccessRevoked() | CustomerBlocked() | CustomerUnblocked():
            return ()


def _grants(message: StripeMessage) -> tuple[Grant, ...]:
    invoice = message.invoice
    if invoice is None:
        return ()
    moments = moments_shown(invoice)
    stated_at = message.head.created
    return tuple(
        Grant(
            integration=message.integration,
            customer=invoice.customer,
            invoice=invoice.id,
            line=line.id,
            status=invoice.status,
            finalized_at=moments.get(InvoiceStatus.OPEN),
            paid_at=moments.get(InvoiceStatus.PAID),
            invoice_created=invoice.created,
            billing_reason=invoice.billing_reason,
            due_date=invoice.due_date,
            subscription=line.subscription,
            subscription_item=line.subscription_item,
            price=line.price,
            amount=line.amount,
            quantity=line.quantity,
            period_start=line.period_start,
            period_end=line.period_end,
            proration=line.proration,
            usage_type=line.usage_type,
            line_plan=line.plan,
            price_plan=line.price_plan,
            invoice_plan=invoice.plan,
            invoice_total=invoice.total,
            stated_at=stated_at,
        )
        for line in invoice.lines
        if line.amount >= 0
    )


def _revision(message: CatalogApplied) -> CatalogRevision:
    catalog, mistakes = read_catalog(message.document)
    if catalog is None:
        first = mistakes[0]
        where = ".".join(str(step) for step in first.path)
        raise InvalidMessage(f"catalog revision {message.number}: {where}: {first.text}")
    return CatalogRevision(
        number=message.number,
        in_force_from=message.in_force_from,
        applied_by=message.applied_by,
        document=canonical_json(message.document),
    )


def _manual_grant(message: AccessGranted) -> ManualGrant:
    return ManualGrant(
        integration=message.integration,
        customer=message.customer,
        id=message.id,
        plan=message.plan,
        apis=tuple(sorted(set(message.apis))),
        start=message.start,
        end=message.end,
        at=message.at,
        by=message.by,
        reason=message.reason,
    )
