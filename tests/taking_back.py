"""What Stripe says of payments and of what takes them back, made of few words: charges, refunds, disputes, others."""

from __future__ import annotations

from typing import Any

from tests.stripe_builders import CUSTOMER, Json, event, on, seconds


def charge(*, refunded: int = 0, at: str, invoice: str | None = "in_1", id: str = "ch_1", **changes: Any) -> Json:  # noqa: A002
    """A charge of which so much was refunded; it names its *invoice*, as it did up to 2025-02."""
    about = {
        "id": id,
        "object": "charge",
        "amount": 2500,
        "amount_refunded": refunded,
        "customer": CUSTOMER,
        "invoice": invoice,
        "payment_intent": "pi_1",
        "refunded": refunded >= 2500,
        "status": "succeeded",
    }
    return event("charge.refunded" if refunded else "charge.succeeded", about | changes, at=at)


def invoice_payment(*, at: str, invoice: str = "in_1", intent: str = "pi_1", **changes: Any) -> Json:
    """Which payment paid which invoice, as Stripe says it since 2025-05-28."""
    about = {
        "id": f"inpay_{invoice}_{intent}",
        "object": "invoice_payment",
        "invoice": invoice,
        "payment": {"type": "payment_intent", "payment_intent": intent},
        "status": "paid",
    }
    return event("invoice_payment.paid", about | changes, at=at)


def refund(status: str, *, at: str, amount: int = 2500, id: str = "re_1", **changes: Any) -> Json:  # noqa: A002
    """A refund that has come to *status*."""
    about = {
        "id": id,
        "object": "refund",
        "amount": amount,
        "charge": "ch_1",
        "payment_intent": "pi_1",
        "status": status,
    }
    return event("refund.updated", about | changes, at=at)


def dispute(status: str, *, at: str, id: str = "du_1", **changes: Any) -> Json:  # noqa: A002
    """A dispute that has come to *status*, told by an event that closes nothing."""
    about = {
        "id": id,
        "object": "dispute",
        "amount": 2500,
        "charge": "ch_1",
        "payment_intent": "pi_1",
        "status": status,
    }
    return event("charge.dispute.updated", about | changes, at=at)


def closed(status: str, **said: Any) -> Json:
    """A dispute that was closed with *status*."""
    return dispute(status, **said) | {"type": "charge.dispute.closed"}


def credit_note(*, at: str, amount: int = 2500, void: str | None = None, id: str = "cn_1", **changes: Any) -> Json:  # noqa: A002
    """A credit note for the invoice `in_1`, issued at *at*; told again when it was voided, where it was."""
    about = {
        "id": id,
        "object": "credit_note",
        "amount": amount,
        "created": seconds(on(at)),
        "customer": CUSTOMER,
        "invoice": "in_1",
        "lines": {"object": "list", "data": []},
        "refund": None,
        "refunds": [],
        "status": "issued" if void is None else "void",
        "voided_at": None if void is None else seconds(on(void)),
    }
    return event("credit_note.created" if void is None else "credit_note.voided", about | changes, at=void or at)


def crediting(line: str, amount: int) -> Json:
    """The lines of a credit note that credits one line of its invoice."""
    credited = {"id": "cnli_1", "type": "invoice_line_item", "invoice_line_item": line, "amount": amount}
    return {"object": "list", "data": [credited]}


def subscription_deleted(*, at: str, subscription: str = "sub_1", **changes: Any) -> Json:
    """A subscription that ended."""
    about = {
        "id": subscription,
        "object": "subscription",
        "customer": CUSTOMER,
        "ended_at": seconds(on(at)),
        "status": "canceled",
    }
    return event("customer.subscription.deleted", about | changes, at=at)


def customer_deleted(*, at: str) -> Json:
    """A customer that was deleted, and with it all its subscriptions."""
    return event("customer.deleted", {"id": CUSTOMER, "object": "customer", "deleted": True}, at=at)
