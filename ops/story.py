"""
The story that `make demo` plays (contract, section 7), as data: what Stripe says, what a gateway must be told. Pure.

One customer, one subscription to the Enterprise Plan of the example catalog, three cycles. Rendered as an endpoint of
API version 2022-11-15 would get it, with the fields that the program reads and some of what it must not keep.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

ENTERPRISE, ANALYTICS_API = "price_enterprise", "reports"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """May the customer call *api* at *at*? *reason* and *status* are what the rules answer."""

    api: str
    at: datetime
    status: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Stripe says *events*; *questions* are asked before and after, and must be answered as they say after it."""

    title: str
    events: tuple[dict[str, Any], ...]
    questions: tuple[Question, ...]


def day(month: int, day_of_month: int, hour: int = 0, minute: int = 0) -> datetime:
    """A moment of the story, which is told in UTC and in 2026."""
    return datetime(2026, month, day_of_month, hour, minute, tzinfo=UTC)


def story(name: str) -> tuple[Step, ...]:
    """
    The steps as they happen to the customer *name*; ids follow from the name.

    Long because it is a story: one list, in order of time.
    """
    first, second, third = (
        _Cycle(
            story=name,
            name=number,
            billing_reason="subscription_create" if month == 1 else "subscription_cycle",
            start=day(month, 1),
            end=day(month + 1, 1),
        )
        for month, number in enumerate(("first", "second", "third"), 1)
    )
    return (
        Step(
            title="The organisation subscribes; its first invoice is finalized",
            events=(first.event("invoice.finalized", "open", day(1, 1), finalized_at=day(1, 1)),),
            questions=(
                Question(api="orders", at=day(1, 1, 0, 30), status=402, reason="payment_required"),
                Question(api="reports", at=day(1, 1, 0, 30), status=403, reason="not_entitled"),
            ),
        ),
        Step(
            title="It is paid: the plan's two APIs open, the third is another plan's",
            events=(
                first.event("invoice.paid", "paid", day(1, 1, 1), finalized_at=day(1, 1), paid_at=day(1, 1, 1)),
                first.event(
                    "invoice.payment_succeeded", "paid", day(1, 1, 1), finalized_at=day(1, 1), paid_at=day(1, 1, 1)
                ),
            ),
            questions=(
                Question(api="orders", at=day(1, 10), status=200, reason="paid"),
                Question(api="invoices", at=day(1, 10), status=200, reason="paid"),
                Question(api="reports", at=day(1, 10), status=403, reason="not_entitled"),
            ),
        ),
        Step(
            title="The next cycle's invoice is finalized, an hour into the cycle, and its payment fails",
            events=(
                second.event("invoice.finalized", "open", day(2, 1, 1), finalized_at=day(2, 1, 1)),
                second.event("invoice.payment_failed", "open", day(2, 1, 1, 5), finalized_at=day(2, 1, 1)),
            ),
            questions=(
                Question(api="orders", at=day(2, 1, 1, 30), status=200, reason="renewal_leeway"),
                Question(api="orders", at=day(2, 1, 2), status=402, reason="payment_required"),
            ),
        ),
        Step(
            title="It is marked uncollectible, and Stripe calls the subscription active",
            events=(
                second.event(
                    "invoice.marked_uncollectible",
                    "uncollectible",
                    day(2, 11),
                    finalized_at=day(2, 1, 1),
                    marked_uncollectible_at=day(2, 11),
                ),
                _subscription_event(name, day(2, 11)),
            ),
            questions=(Question(api="orders", at=day(2, 12), status=402, reason="payment_required"),),
        ),
        Step(
            title="It is paid after all",
            events=(
                second.event(
                    "invoice.paid",
                    "paid",
                    day(2, 16),
                    finalized_at=day(2, 1, 1),
                    marked_uncollectible_at=day(2, 11),
                    paid_at=day(2, 16),
                ),
            ),
            questions=(Question(api="orders", at=day(2, 17), status=200, reason="paid"),),
        ),
        Step(
            title="The third cycle's invoice is finalized",
            events=(third.event("invoice.finalized", "open", day(3, 1, 1), finalized_at=day(3, 1, 1)),),
            questions=(Question(api="orders", at=day(3, 2), status=402, reason="payment_required"),),
        ),
        Step(
            title="It is voided: there is nothing to be paid, and nothing is open",
            events=(third.event("invoice.voided", "void", day(3, 3), finalized_at=day(3, 1, 1), voided_at=day(3, 3)),),
            questions=(Question(api="orders", at=day(3, 4), status=402, reason="cycle_lapsed"),),
        ),
    )


def customer_of(name: str) -> str:
    """The customer's id in the story told under *name*."""
    return _named("cus", name)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cycle:
    """One cycle's invoice, of one line."""

    story: str
    name: str
    billing_reason: str
    start: datetime
    end: datetime

    def event(self, kind: str, status: str, at: datetime, **transitions: datetime) -> dict[str, Any]:
        invoice = self._invoice(status, transitions)
        return _event(_named("evt", f"{self.story}/{self.name}/{kind}"), kind, at, invoice)

    def _invoice(self, status: str, transitions: dict[str, datetime]) -> dict[str, Any]:
        names = ("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")
        lines = list(self._lines())
        return {
            "id": _named("in", f"{self.story}/{self.name}"),
            "object": "invoice",
            "amount_due": 2500,
            "amount_paid": 2500 if status == "paid" else 0,
            "amount_remaining": 0 if status == "paid" else 2500,
            "billing_reason": self.billing_reason,
            "created": int(self.start.timestamp()),
            "currency": "usd",
            "customer": customer_of(self.story),
            "customer_email": "accounts@example.com",
            "customer_name": "Initech",
            "due_date": None,
            "hosted_invoice_url": f"https://invoice.stripe.com/i/{_named('test', f'{self.story}/{self.name}')}",
            "lines": {"object": "list", "data": lines, "has_more": False, "total_count": len(lines)},
            "livemode": False,
            "metadata": {},
            "number": f"DEMO-{self.name.upper()}",
            "status": status,
            "status_transitions": {
                each: int(transitions[each].timestamp()) if each in transitions else None for each in names
            },
            "subscription": _named("sub", self.story),
            "total": 2500,
        }

    def _lines(self) -> Iterator[dict[str, Any]]:
        yield {
            "id": _named("il", f"{self.story}/{self.name}"),
            "object": "line_item",
            "amount": 2500,
            "currency": "usd",
            "metadata": {},
            "period": {"start": int(self.start.timestamp()), "end": int(self.end.timestamp())},
            "price": {"id": ENTERPRISE, "object": "price", "metadata": {}, "recurring": {"usage_type": "licensed"}},
            "proration": False,
            "quantity": 1,
            "subscription": _named("sub", self.story),
            "subscription_item": _named("si", self.story),
            "type": "subscription",
        }


def _subscription_event(name: str, at: datetime) -> dict[str, Any]:
    subscription = {
        "id": _named("sub", name),
        "object": "subscription",
        "customer": customer_of(name),
        "livemode": False,
        "metadata": {},
        "status": "active",
    }
    return _event(_named("evt", f"{name}/active"), "customer.subscription.updated", at, subscription)


def _event(name: str, kind: str, at: datetime, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": name,
        "object": "event",
        "api_version": "2022-11-15",
        "created": int(at.timestamp()),
        "data": {"object": body},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
    }


def _named(prefix: str, what: str) -> str:
    return f"{prefix}_{hashlib.sha256(f'{prefix}/{what}'.encode()).hexdigest()[:20]}"
