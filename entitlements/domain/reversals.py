"""
What takes paid access back, as Stripe said it: refunds, credit notes, disputes, subscriptions that ended. Pure.

Facts like those of `facts.py`, each keyed by what the event names. A refund and a dispute name a payment alone, so by
which payment an invoice was paid is a fact of its own, the *payment link*. They are joined when asked (`payments.py`):
a dispute that comes before its invoice, or before the link, is right once all are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from entitlements.domain.identity import memo, remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentLink:
    """
    These belong together: an invoice, the payment intent and the charge that paid it, the customer who did.

    Each may be None, but not all but one: a charge and its payment intent are linked too, as is a payment that is
    known to be a customer's.
    """

    integration: str
    invoice: str | None
    payment_intent: str | None
    charge: str | None
    customer: str | None
    _digest: bytes | None = memo()

    @property
    def payment(self) -> str | None:
        """By what whose it is can be found."""
        return self.payment_intent or self.charge

    @property
    def digest(self) -> bytes:
        return remembered(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountRefunded:
    """So much of a charge had been refunded, by `charge.amount_refunded`, in the currency's smallest unit."""

    integration: str
    charge: str
    payment_intent: str | None
    amount: int
    stated_at: datetime
    _digest: bytes | None = memo()

    @property
    def customer(self) -> None:
        """Whose it is, links say."""

    @property
    def payment(self) -> str | None:
        """By what whose it is can be found."""
        return self.payment_intent or self.charge

    @property
    def digest(self) -> bytes:
        return remembered(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundStated:
    """A refund had this *status* (`pending`, `succeeded`, `failed`, …); *amount* in the currency's smallest unit."""

    integration: str
    refund: str
    charge: str | None
    payment_intent: str | None
    amount: int
    status: str
    stated_at: datetime
    _digest: bytes | None = memo()

    @property
    def customer(self) -> None:
        """Whose it is, links say."""

    @property
    def payment(self) -> str | None:
        """By what whose it is can be found."""
        return self.payment_intent or self.charge

    @property
    def digest(self) -> bytes:
        return remembered(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeStated:
    """
    A dispute had this *status* at *at*, the event's `created`; *is_closing*: by the event that closes a dispute.

    Both are part of what the fact says: of several closings the one with the latest `created` counts (R6), so no two of
    them may become one.
    """

    integration: str
    dispute: str
    charge: str | None
    payment_intent: str | None
    status: str
    is_closing: bool
    at: datetime
    _digest: bytes | None = memo()

    @property
    def customer(self) -> None:
        """Whose it is, links say."""

    @property
    def payment(self) -> str | None:
        """By what whose it is can be found."""
        return self.payment_intent or self.charge

    @property
    def digest(self) -> bytes:
        return remembered(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditNoteStated:
    """
    A credit note over *amount* for an invoice, issued at *issued_at* and, unless None, voided at *voided_at*.

    *names_refund* says that a refund goes with it, which then counts instead. *lines* are the invoice's lines that it
    credits and *line_amounts* by how much, in the same order; amounts are in the currency's smallest unit.
    """

    integration: str
    customer: str
    credit_note: str
    invoice: str
    amount: int
    issued_at: datetime
    is_void: bool
    voided_at: datetime | None
    names_refund: bool
    lines: tuple[str, ...]
    line_amounts: tuple[int, ...]
    stated_at: datetime
    _digest: bytes | None = memo()

    @property
    def digest(self) -> bytes:
        return remembered(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionEnded:
    """A subscription, or where that is None each of the customer's, ended at *ended_at*, as the object gives it."""

    integration: str
    customer: str
    subscription: str | None
    ended_at: datetime | None
    stated_at: datetime
    _digest: bytes | None = memo()

    @property
    def digest(self) -> bytes:
        return remembered(self)
