"""
The facts: what Stripe and the operators have said, append-only, each identified by the digest of what it says. Pure.

A fact is made from the object, never from the delivery: nothing of it depends on an event's id, offset or arrival, and
every column follows from its digest. Events that say the same thing state the same fact; *stated_at* is the smallest
`created` among them, which is the one column that is joined (by the smaller) rather than given. So any order and any
duplication of events leave the same facts (contract, R11).

Snapshots of one invoice that differ state several facts about one line. They are all kept; `invoice.py` joins them when
asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from entitlements.domain.acts import Block, ManualGrant, ManualRevocation, Unblock
from entitlements.domain.identity import memo, remembered
from entitlements.domain.reversals import (
    AmountRefunded,
    CreditNoteStated,
    DisputeStated,
    PaymentLink,
    RefundStated,
    SubscriptionEnded,
)
from schemas.stripe_event import InvoiceStatus


class RevocationKind(StrEnum):
    """Why something that an invoice gave is over."""

    VOIDED = "voided"
    MARKED_UNCOLLECTIBLE = "marked_uncollectible"
    CREDITED = "credited"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """
    A line of a customer's invoice was billed for a cycle or, with *status* paid, paid.

    *status* and the two times are the invoice's, as one snapshot shows them. The plan names are what metadata said:
    empty where it named none, None where the payload did not carry it. *amount* and *invoice_total* are in the
    currency's smallest unit.
    """

    integration: str
    customer: str
    invoice: str
    line: str
    status: InvoiceStatus
    finalized_at: datetime | None
    paid_at: datetime | None
    invoice_created: datetime
    billing_reason: str | None
    due_date: datetime | None
    subscription: str | None
    subscription_item: str | None
    price: str | None
    amount: int
    quantity: Decimal | None
    period_start: datetime
    period_end: datetime
    proration: bool
    usage_type: str | None
    line_plan: str
    price_plan: str | None
    invoice_plan: str
    invoice_total: int | None
    stated_at: datetime
    _digest: bytes | None = memo()

    @property
    def digest(self) -> bytes:
        return remembered(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """
    What came from a source is over, because of *kind*.

    For an invoice voided or marked uncollectible *at* is that transition's time, as one snapshot gives it. For a credit
    line (R8), which takes effect once its invoice is paid, *status* is the invoice's and *at* when it was paid, and the
    rest says which lines it ends, and from when on.
    """

    integration: str
    customer: str
    kind: RevocationKind
    invoice: str
    at: datetime | None
    status: InvoiceStatus | None = None
    line: str | None = None
    finalized_at: datetime | None = None
    subscription: str | None = None
    subscription_item: str | None = None
    price: str | None = None
    period_start: datetime | None = None
    credited_invoice: str | None = None
    credited_lines: tuple[str, ...] = ()
    stated_at: datetime
    _digest: bytes | None = memo()

    @property
    def digest(self) -> bytes:
        return remembered(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceSnapshot:
    """
    What a person is shown of an invoice: its number, status, amounts and where to pay it.

    It decides little: the due date, the plan that the metadata names and whether that counts (it does not on an invoice
    of a subscription), and when it came to which status, where Stripe left out all lines that would say so.

    The times are those that the snapshot gives, for its status and those below. *invoice_plan* is empty where the
    metadata named none. Amounts are in the currency's smallest unit.
    """

    integration: str
    customer: str
    invoice: str
    status: InvoiceStatus
    number: str | None
    subscription: str | None
    currency: str | None
    total: int | None
    amount_due: int | None
    amount_paid: int | None
    amount_remaining: int | None
    pay_at: str | None
    created: datetime
    due_date: datetime | None
    finalized_at: datetime | None
    uncollectible_at: datetime | None
    voided_at: datetime | None
    paid_at: datetime | None
    invoice_plan: str
    lines_complete: bool
    stated_at: datetime
    _digest: bytes | None = memo()

    @property
    def digest(self) -> bytes:
        return remembered(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Stripe has named this customer."""

    integration: str
    customer: str
    _digest: bytes | None = memo()

    @property
    def digest(self) -> bytes:
        return remembered(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogRevision:
    """An operator applied this catalog. *document* is its canonical JSON; *in_force_from* None is the beginning."""

    number: int
    in_force_from: datetime | None
    applied_by: str
    document: str
    _digest: bytes | None = memo()

    @property
    def integration(self) -> None:
        """It concerns every integration."""

    @property
    def customer(self) -> None:
        """It concerns every customer."""

    @property
    def digest(self) -> bytes:
        return remembered(self)


Fact = (
    Grant
    | Revocation
    | InvoiceSnapshot
    | Customer
    | CatalogRevision
    | PaymentLink
    | AmountRefunded
    | RefundStated
    | DisputeStated
    | CreditNoteStated
    | SubscriptionEnded
    | ManualGrant
    | ManualRevocation
    | Block
    | Unblock
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerFacts:
    """
    All that is known of one customer of one integration.

    *named* is whether Stripe ever named it. What is said of payments is that of all which lead to its invoices, or are
    known to be its own though they lead to none yet; there may be others among them.
    """

    named: bool
    grants: tuple[Grant, ...] = ()
    revocations: tuple[Revocation, ...] = ()
    invoices: tuple[InvoiceSnapshot, ...] = ()
    payment_links: tuple[PaymentLink, ...] = ()
    amounts_refunded: tuple[AmountRefunded, ...] = ()
    refunds: tuple[RefundStated, ...] = ()
    disputes: tuple[DisputeStated, ...] = ()
    credit_notes: tuple[CreditNoteStated, ...] = ()
    ended_subscriptions: tuple[SubscriptionEnded, ...] = ()
    manual_grants: tuple[ManualGrant, ...] = ()
    manual_revocations: tuple[ManualRevocation, ...] = ()
    blocks: tuple[Block, ...] = ()
    unblocks: tuple[Unblock, ...] = ()
