"""
Webhooks as Stripe sends them, about 8 KB each: an invoice with one line of a subscription. Edge: a file beside it.

Rendered once a kind and filled in by name, so that thousands can be had and signed in a second.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SECRET = "whsec_benchmark"  # noqa: S105  # signs nothing but what is made up here
PRICE = "price_enterprise"
API = "orders"
"""What `ops/catalog.example.yaml` sells: that price opens this API."""

PAID = Path(__file__).with_name("invoice_paid.json")
KINDS = ("invoice.finalized", "invoice.updated", "invoice.paid", "invoice.payment_succeeded")
"""What Stripe sends of an invoice that is paid, in this order."""

SHOW_AN_OPEN_INVOICE = KINDS[:2]

CYCLES = 3
"""Invoices of a customer, a month each; the last one covers now."""

CUSTOMER_LENGTH = len("cus_") + 8 + 6
"""Characters of each customer's id, so that a question about one is as long as about any."""

MONTH_S = 30 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A delivery: whom it is about, and its body and `Stripe-Signature`."""

    customer: str
    body: bytes
    signature: bytes


def webhooks(count: int, *, run: str, now: int) -> Iterator[Webhook]:
    """
    So many deliveries signed at *now* (Unix seconds), no two of one event; *run*, of 8 characters, is part of every id.

    Customer after customer: `CYCLES` invoices each, and of each invoice the events of `KINDS`.
    """
    per_customer = CYCLES * len(KINDS)
    for number in range(count):
        customer, step = divmod(number, per_customer)
        cycle, kind = divmod(step, len(KINDS))
        yield _filled(_template(KINDS[kind]), run, number, customer, cycle, now)


def payments(count: int, *, run: str, now: int) -> Iterator[Webhook]:
    """So many deliveries of `invoice.paid` for the cycle that covers *now*, each about a customer of its own."""
    for number in range(count):
        yield _filled(_template("invoice.paid"), run, number, number, CYCLES - 1, now)


def _filled(template: str, run: str, number: int, customer: int, cycle: int, now: int) -> Webhook:
    start = now - 3600 - (CYCLES - 1 - cycle) * MONTH_S
    about = f"cus_{run}{customer:06d}"
    names = {
        "event": f"evt_{run}{number:016d}",
        "customer": about,
        "invoice": f"in_{run}{customer:06d}{cycle:010d}",
        "subscription": f"sub_{run}{customer:016d}",
        "start": start,
        "end": start + MONTH_S,
        "later": start + 60,
    }
    body = (template % names).encode()
    code = hmac.digest(SECRET.encode(), b"%d." % now + body, hashlib.sha256).hex()
    return Webhook(customer=about, body=body, signature=f"t={now},v1={code}".encode())


@cache
def _template(kind: str) -> str:
    """The event's JSON with `%(name)s` where it differs from delivery to delivery."""
    event = json.loads(PAID.read_text(encoding="utf-8"))
    event["type"] = kind
    if kind in SHOW_AN_OPEN_INVOICE:
        invoice = event["data"]["object"]
        invoice |= {"status": "open", "paid": False, "amount_paid": 0, "amount_remaining": invoice["total"]}
        invoice |= {"attempted": False, "attempt_count": 0, "auto_advance": True, "charge": None}
        invoice["status_transitions"]["paid_at"] = None
    text = json.dumps(event, indent=2)
    for name in ("start", "end", "later"):  # times, which are texts in the file since it is JSON
        text = text.replace(f'"%({name})d"', f"%({name})d")
    return text
