"""
A history as Stripe tells it: events about whole objects, in the shape of one API version or another. Pure.

`old` is 2022-11-15 to 2025-02, `new` since 2025-05-28, `mixed` is marked old but rendered by today's Stripe and carries
both; `both` is one event through two endpoints, old and new. The ids of events count them in order of time.

Long because every object has several shapes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tests.histories.model import (
    UNTIL_DUE,
    Catalog,
    CreditNote,
    Customer,
    Dispute,
    History,
    Invoice,
    Line,
    Payment,
    Plan,
    Refund,
    Snapshot,
)

Json = dict[str, Any]

VERSIONS = {"old": "2022-11-15", "new": "2025-05-28.basil", "mixed": "2022-11-15"}
CLOSED = ("won", "lost", "warning_closed", "prevented")


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Something that Stripe tells: an event's type, when it is created, and its object by shape."""

    at: int
    kind: str
    objects: Mapping[str, Json]


def events_of(history: History) -> list[Json]:
    """All events of a history, in order of time; one of both shapes stands there twice."""
    happenings = [each for customer in history.customers for each in _happenings(customer)]
    return [
        {
            "id": f"evt_{number}",
            "object": "event",
            "api_version": VERSIONS[shape],
            "created": each.at,
            "data": {"object": body},
            "livemode": False,
            "type": each.kind,
        }
        for number, each in enumerate(sorted(happenings, key=lambda each: each.at), 1)
        for shape, body in each.objects.items()
    ]


def document_of(catalog: Catalog) -> Json:
    """A catalog's document; every plan is of one product."""
    return {
        "catalog": 1,
        "integrations": {"main": {"mode": "test", "signing_secrets_env": "SECRETS"}},
        "marketplaces": {"acme": {"integration": "main"}},
        "products": {"product": {"marketplace": "acme", "plans": {plan.name: _plan(plan) for plan in catalog.plans}}},
    }


def _plan(plan: Plan) -> Json:
    return {
        "cost": "paid",
        "base_price": {"amount": "25.00", "currency": "usd", "every": plan.every},
        "stripe_prices": list(plan.prices),
        "apis": list(plan.apis),
        "quotas": [{"name": name, "limit": limit} for name, limit in plan.quotas],
        "access": {
            "first_unpaid": _terms(plan.first_unpaid),
            "renewal_unpaid": _terms(plan.renewal_unpaid),
            "renewal_leeway": f"{plan.leeway}s",
            "on_refund": plan.on_refund,
            "on_dispute": plan.on_dispute,
            "on_cancel": plan.on_cancel,
        },
    }


def _terms(terms: int | str) -> str:
    return UNTIL_DUE if isinstance(terms, str) else f"{terms}s"


def _happening(at: int, kind: str, shape: str, body: Any) -> Happening:
    """*body* renders the object in a shape."""
    shapes = ("old", "new") if shape == "both" else (shape,)
    return Happening(at=at, kind=kind, objects={each: body(each) for each in shapes})


def _happenings(customer: Customer) -> Iterator[Happening]:
    for invoice in customer.invoices:
        yield from _of_invoice(invoice, customer.id)
    for end in customer.ends:
        ended = {"id": end.subscription, "status": "canceled", "ended_at": end.at}
        yield _of_subscription(end.at + end.lag, "customer.subscription.deleted", customer.id, ended)
    for at, status in customer.noise:
        yield _of_subscription(at, "customer.subscription.updated", customer.id, {"id": "sub_1", "status": status})
    if customer.deleted_at is not None:
        body = {"id": customer.id, "object": "customer", "livemode": False}
        yield _happening(customer.deleted_at, "customer.deleted", "old", lambda _: body)


def _of_subscription(at: int, kind: str, customer: str, says: Json) -> Happening:
    body = {
        "object": "subscription",
        "customer": customer,
        "livemode": False,
        "canceled_at": 1,
        "ended_at": None,
    } | says
    return _happening(at, kind, "old", lambda _: body)


def _of_invoice(invoice: Invoice, customer: str) -> Iterator[Happening]:
    if invoice.told_as_draft:
        draft = replace(invoice, lines=tuple(replace(line, amount=1, plan="none") for line in invoice.lines[:1]))
        shown = Snapshot(
            created=invoice.created, as_of=0, kind="", status="draft", said=None, shape=invoice.shapes[0], lines=1
        )
        yield _happening(
            invoice.created, "invoice.created", shown.shape, lambda shape: _invoice(draft, shown, customer, shape)
        )
    for snapshot in invoice.snapshots():
        yield _happening(
            snapshot.created,
            snapshot.kind,
            snapshot.shape,
            lambda shape, snapshot=snapshot: _invoice(invoice, snapshot, customer, shape),
        )
    for number, payment in enumerate(invoice.payments):
        shape = invoice.shapes[number % len(invoice.shapes)]
        yield from _of_payment(payment, invoice, customer, shape)
    for note in invoice.credit_notes:
        shape = invoice.shapes[0]
        for at, kind in ((note.issued_at, "credit_note.created"), (note.voided_at, "credit_note.voided")):
            if at is not None:
                yield _happening(
                    at + note.lag,
                    kind,
                    shape,
                    lambda shape, note=note, kind=kind: _credit_note(note, kind, invoice, customer, shape),
                )


def _invoice(invoice: Invoice, snapshot: Snapshot, customer: str, shape: str) -> Json:
    """Long because an invoice has many fields."""
    said, status = snapshot.said, snapshot.status
    subscription = next((line.subscription for line in invoice.lines if line.subscription), invoice.subscription)
    shown = invoice.lines[: snapshot.lines]
    lines = [_line(line, line.plan if said is None else said.line_plan, shape) for line in shown]
    body: Json = {
        "id": invoice.id,
        "object": "invoice",
        "amount_due": invoice.total,
        "amount_paid": invoice.total if status == "paid" else 0,
        "amount_remaining": 0 if status == "paid" else invoice.total,
        "billing_reason": invoice.reason,
        "created": invoice.created,
        "currency": "usd",
        "customer": customer,
        "due_date": invoice.due if said is None else said.due,
        "hosted_invoice_url": f"https://invoice.example.com/{invoice.id}",
        "lines": {"object": "list", "data": lines, "has_more": len(shown) < len(invoice.lines)},
        "livemode": False,
        "metadata": _metadata(invoice.plan if said is None else said.plan),
        "number": f"A-{invoice.id}",
        "period_start": 1_700_000_000,  # the window for invoice items: a reader who takes it for the cycle goes wrong
        "period_end": 1_800_000_000,
        "status": status,
        "total": invoice.total,
    }
    if invoice.says_times:
        body["status_transitions"] = _transitions(invoice, snapshot)
    if shape != "new":
        paid_by = [payment for payment in invoice.payments if payment.linked and payment.at <= snapshot.as_of][-1:]
        body |= {
            "subscription": subscription,
            "paid": status == "paid",
            "charge": paid_by[0].charge if paid_by else None,
            "payment_intent": paid_by[0].intent if paid_by else None,
        }
    if shape != "old":
        details: Json = {"metadata": {}, "subscription": subscription}
        body["parent"] = (
            {"type": "subscription_details", "subscription_details": details, "quote_details": None}
            if subscription
            else None
        )
    return body


TRANSITIONS = {
    "open": "finalized_at",
    "uncollectible": "marked_uncollectible_at",
    "void": "voided_at",
    "paid": "paid_at",
}


def _transitions(invoice: Invoice, snapshot: Snapshot) -> dict[str, int | None]:
    """What it came to up to then; of paid and void, which exclude each other, the one that it shows."""
    return {
        name: at
        if (at := invoice.moments.get(status)) is not None
        and at + invoice.lag <= snapshot.as_of
        and (status in ("open", "uncollectible") or status == snapshot.status)
        else None
        for status, name in TRANSITIONS.items()
    }


def _metadata(plan: str | None) -> Json:
    return {} if plan is None else {"entitlement_plan": plan}


def _line(line: Line, plan: str | None, shape: str) -> Json:
    credited = {"invoice": line.credited_invoice, "invoice_line_items": [*line.credited]} if line.credited else None
    body: Json = {
        "id": line.id,
        "object": "line_item",
        "amount": line.amount,
        "currency": "usd",
        "livemode": False,
        "metadata": _metadata(plan),
        "period": {"start": line.start, "end": line.end},
        "quantity": line.quantity,
    }
    if shape != "new":
        usage = "metered" if line.metered else "licensed"
        recurring = {"interval": "month", "interval_count": 1, "usage_type": usage} if line.item else None
        price = {"id": line.price, "object": "price", "recurring": recurring, "metadata": _metadata(line.price_plan)}
        body |= {
            "type": "subscription" if line.item and not line.proration else "invoiceitem",
            "proration": line.proration,
            "proration_details": {"credited_items": credited},
            "price": price if line.price else None,
            "subscription": line.subscription,
        } | ({"subscription_item": line.item} if line.item else {})
    if shape != "old":
        is_of_item = line.item is not None and (shape == "mixed" or not line.as_invoice_item)
        kind = "subscription_item_details" if is_of_item else "invoice_item_details"
        details: Json = {
            "proration": line.proration,
            "proration_details": {"credited_items": credited},
            "subscription": line.subscription,
        } | ({"subscription_item": line.item} if is_of_item else {})
        body["parent"] = {"subscription_item_details": None, "invoice_item_details": None, "type": kind, kind: details}
        body["pricing"] = {"type": "price_details", "price_details": {"price": line.price}} if line.price else None
    return body


def _of_payment(payment: Payment, invoice: Invoice, customer: str, shape: str) -> Iterator[Happening]:
    def charge(amount_refunded: int) -> Any:
        body = {
            "id": payment.charge,
            "object": "charge",
            "amount": payment.amount,
            "amount_refunded": amount_refunded,
            "customer": customer,
            "livemode": False,
            "payment_intent": payment.intent,
        }
        return lambda shape: body if shape == "new" else body | {"invoice": invoice.id if payment.linked else None}

    if payment.charge and payment.tells_charges:
        yield _happening(payment.at, "charge.succeeded", shape, charge(0))
    for at, amount_refunded in payment.charges():
        yield _happening(at, "charge.refunded", shape, charge(amount_refunded))
    if payment.linked and payment.by_invoice_payment:
        yield _happening(payment.at, "invoice_payment.paid", "new", lambda _: _invoice_payment(payment, invoice))
    for refund in payment.refunds if payment.tells_refunds else ():
        for number, (at, status) in enumerate(refund.steps):
            kind = "charge.refund.updated" if number else "refund.created"
            body = _reversal(payment, refund, "refund") | {"amount": refund.amount, "status": status}
            yield _happening(at, kind, shape, lambda _, body=body: body)
    for dispute in payment.disputes:
        for number, (at, status) in enumerate(dispute.steps):
            kind = "updated" if number else "created"
            if status in CLOSED:
                again = "updated" if status == "lost" else "funds_reinstated"
                kind = again if number in dispute.again else "closed"
            body = _reversal(payment, dispute, "dispute") | {"amount": payment.amount, "status": status}
            yield _happening(at, f"charge.dispute.{kind}", shape, lambda _, body=body: body)


def _reversal(payment: Payment, of: Refund | Dispute, kind: str) -> Json:
    ids = {"charge": payment.charge, "payment_intent": payment.intent}
    named = {name: id_ if name in of.names else None for name, id_ in ids.items()}
    return {"id": of.id, "object": kind, "currency": "usd", "livemode": False} | named


def _invoice_payment(payment: Payment, invoice: Invoice) -> Json:
    kind, named = ("payment_intent", payment.intent) if payment.intent else ("charge", payment.charge)
    return {
        "id": f"inpay_{named}",
        "object": "invoice_payment",
        "amount_paid": payment.amount,
        "invoice": invoice.id,
        "livemode": False,
        "payment": {"type": kind, kind: named},
        "status": "paid",
    }


def _credit_note(note: CreditNote, kind: str, invoice: Invoice, customer: str, shape: str) -> Json:
    is_void = kind == "credit_note.voided"
    body: Json = {
        "id": note.id,
        "object": "credit_note",
        "amount": note.amount,
        "total": note.amount,
        "created": note.issued_at,
        "customer": customer,
        "invoice": invoice.id,
        "lines": {
            "object": "list",
            "data": [
                {"id": f"cnli_{number}", "object": "credit_note_line_item", "amount": amount, "invoice_line_item": line}
                for number, (line, amount) in enumerate(note.lines)
            ],
            "has_more": False,
        },
        "livemode": False,
        "status": "void" if is_void else "issued",
        "voided_at": note.voided_at if is_void else None,
    }
    if shape == "old":
        return body | {"refund": note.names_refund}
    refunds = [] if note.names_refund is None else [{"amount_refunded": note.amount, "refund": note.names_refund}]
    return body | {"refunds": refunds} | ({"refund": note.names_refund} if shape == "mixed" else {})
