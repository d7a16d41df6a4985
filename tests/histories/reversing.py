"""Draws how an invoice was paid, and what was taken back of that: refunds, disputes, credit notes."""

from __future__ import annotations

from dataclasses import replace

from tests.histories.chance import DAY, HOUR, Chance
from tests.histories.model import CreditNote, Dispute, Invoice, Payment, Refund

REFUNDED = (
    ((0, "succeeded"),),
    ((0, "pending"), (DAY, "succeeded")),
    ((0, "succeeded"), (3 * DAY, "failed")),
    ((0, "pending"), (DAY, "canceled")),
    ((0, "requires_action"), (DAY, "succeeded")),
    ((0, "pending"),),
    ((0, "failed"),),
)
"""When a refund had which status, in seconds after it was made."""

AGAIN = " again"
"""After a status: told by an event that closes nothing, such as `funds_reinstated`, or `updated` where it is lost."""

DISPUTED = (
    ((0, "needs_response"),),
    ((0, "needs_response"), (4 * DAY, "won")),
    ((0, "needs_response"), (4 * DAY, "lost")),
    ((0, "warning_needs_response"), (DAY, "warning_under_review"), (4 * DAY, "warning_closed")),
    ((0, "warning_needs_response"), (2 * DAY, "needs_response"), (4 * DAY, "won")),
    ((0, "needs_response"), (DAY, "under_review"), (4 * DAY, "lost"), (5 * DAY, "won")),
    ((0, "needs_response"), (4 * DAY, "won"), (5 * DAY, "lost")),
    ((0, "needs_response"), (4 * DAY, "lost"), (4 * DAY, "won")),
    ((0, "needs_response"), (4 * DAY, "prevented")),
    ((0, "needs_response"), (4 * DAY, "warning_closed")),
    ((0, "lost"),),
    ((0, "won"),),
    ((0, "needs_response"), (4 * DAY, "won"), (5 * DAY, "won")),
    ((0, "needs_response"), (4 * DAY, "won"), (5 * DAY, "won again")),
    ((0, "needs_response"), (4 * DAY, "won again"), (5 * DAY, "won again")),
    ((0, "needs_response"), (3 * DAY, "won again"), (4 * DAY, "won")),
    ((0, "needs_response"), (2 * DAY, "won"), (4 * DAY, "won"), (4 * DAY, "prevented"), (9 * DAY, "won again")),
    ((0, "needs_response"), (2 * DAY, "won"), (4 * DAY, "lost"), (4 * DAY, "won"), (5 * DAY, "won")),
    ((0, "needs_response"), (4 * DAY, "lost"), (5 * DAY, "won again"), (6 * DAY, "won")),
    ((0, "warning_needs_response"), (DAY, "warning_closed"), (2 * DAY, "needs_response")),
    ((0, "needs_response"), (3 * DAY, "lost"), (5 * DAY, "won again")),
    ((0, "needs_response"), (3 * DAY, "won"), (5 * DAY, "lost again")),
    ((0, "needs_response"), (3 * DAY, "lost again"), (5 * DAY, "won")),
    ((0, "needs_response"), (3 * DAY, "lost again"), (5 * DAY, "won again")),
)


def with_payments(chance: Chance, invoice: Invoice) -> Invoice:
    """The invoice, with payments of it and what became of them."""
    if invoice.total <= 0 or invoice.open_at is None:
        return invoice
    is_paid = invoice.paid_at is not None
    many = chance.one(0, 1, 1, 1, 2, 2) if is_paid else chance.one(0, 0, 0, 1)
    part = chance.one(3, 2) if many > 1 else 1
    shares = {0: (), 1: (invoice.total if is_paid else invoice.total // 2,)}
    amounts = shares.get(many, (invoice.total // part, invoice.total - invoice.total // part))
    payments = tuple(
        _payment(chance, invoice, amount, is_last=number == len(amounts)) for number, amount in enumerate(amounts, 1)
    )
    return replace(invoice, payments=payments)


def _payment(chance: Chance, invoice: Invoice, amount: int, *, is_last: bool) -> Payment:
    number = chance.name("")
    has_charge, has_intent = chance.one((True, True), (True, True), (False, True), (True, False))
    tells_charges, tells_refunds = (
        chance.one((True, True), (True, False), (False, True)) if has_charge else (False, True)
    )
    is_new = all(shape == "new" for shape in invoice.shapes)
    told_old = all(shape != "new" for shape in invoice.shapes)
    shown = is_last and invoice.paid_at is not None and "paid" not in invoice.untold
    at = (invoice.open_at or 0) + HOUR if invoice.paid_at is None else invoice.paid_at
    payment = Payment(
        amount=amount,
        at=at,
        charge=f"ch{number}" if has_charge else None,
        intent=f"pi{number}" if has_intent else None,
        linked=not (is_new and chance.rarely(3)),
        by_invoice_payment=not (told_old and (tells_charges or shown) and chance.one(True, False)),
        tells_charges=tells_charges,
        tells_refunds=tells_refunds,
    )
    names: tuple[tuple[str, ...], ...] = (("charge", "payment_intent"),)
    if tells_charges and has_intent:
        names = (*names, ("charge",), ("payment_intent",))
    return replace(
        payment,
        refunds=tuple(_refund(chance, payment, names) for _ in chance.times(0, 1, 0, 2)),
        disputes=tuple(_dispute(chance, payment, names) for _ in chance.times(0, 0, 1, 0, 2)),
    )


def _refund(chance: Chance, payment: Payment, names: tuple[tuple[str, ...], ...]) -> Refund:
    made_at = payment.at + chance.one(DAY, 0, 5 * DAY, 9 * DAY + HOUR, 12 * DAY)
    steps = chance.one(*REFUNDED) if payment.tells_refunds else REFUNDED[0]
    amount = chance.one(payment.amount, payment.amount, payment.amount // 2, payment.amount - payment.amount // 2, 1)
    return Refund(
        id=chance.name("re"),
        amount=max(amount, 1),
        steps=tuple((made_at + later, status) for later, status in steps),
        names=chance.one(*names),
    )


def _dispute(chance: Chance, payment: Payment, names: tuple[tuple[str, ...], ...]) -> Dispute:
    opened_at = payment.at + chance.one(DAY, 0, 5 * DAY, 8 * DAY)
    disputed = chance.one(*DISPUTED)
    return Dispute(
        id=chance.name("du"),
        steps=tuple((opened_at + later, status.removesuffix(AGAIN)) for later, status in disputed),
        again=tuple(number for number, (_, status) in enumerate(disputed) if status.endswith(AGAIN)),
        names=chance.one(*names),
    )


def with_credit_notes(chance: Chance, invoice: Invoice) -> Invoice:
    """The invoice, with credit notes for it."""
    if invoice.open_at is None:
        return invoice
    return replace(invoice, credit_notes=tuple(_credit_note(chance, invoice) for _ in chance.times(0, 0, 0, 0, 1, 2)))


def _credit_note(chance: Chance, invoice: Invoice) -> CreditNote:
    issued_at = (invoice.open_at or 0) + chance.one(2 * DAY, 0, HOUR, 6 * DAY)
    refunds = [refund.id for payment in invoice.payments for refund in payment.refunds]
    lines = [line for line in invoice.lines if line.amount > 0]
    credited = chance.one(*lines) if lines and chance.rarely(2) else None
    share = chance.one(1, 2)
    return CreditNote(
        id=chance.name("cn"),
        amount=max(chance.one(invoice.total, invoice.total // 2, invoice.total // 3), 1),
        issued_at=issued_at,
        voided_at=issued_at + chance.one(DAY, 3 * DAY) if chance.rarely(3) else None,
        lag=chance.one(0, 0, 5),
        names_refund=chance.one(None, *refunds) if refunds else None,
        lines=() if credited is None else ((credited.id, max(credited.amount // share, 1)),),
    )
