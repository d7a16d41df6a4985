"""Decisions and what they rest on, and invoices, as JSON (contract, section 6). Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from entitlements.domain.decision import Decision
from entitlements.domain.lines import BilledLine
from entitlements.domain.period import Period
from entitlements.domain.quotas import QuotaAllowed
from entitlements.domain.shown import InvoiceShown
from schemas.stripe_event import InvoiceStatus

TRANSITIONS = {
    InvoiceStatus.OPEN: "finalized_at",
    InvoiceStatus.UNCOLLECTIBLE: "marked_uncollectible_at",
    InvoiceStatus.PAID: "paid_at",
    InvoiceStatus.VOID: "voided_at",
}
"""When an invoice came to a status, as Stripe's `status_transitions` call it."""


def evaluation(decision: Decision, *, degraded: bool = False) -> dict[str, Any]:
    """
    An AuthZEN decision; what it does not rest on is left out of its context, *degraded* too where it is not so: the
    database is away, and this was known before.
    """
    stated = context(decision)
    return {"decision": decision.allowed, "context": {**stated, "degraded": True} if degraded else stated}


def entitlement(decision: Decision) -> dict[str, Any]:
    """The same for people, flat and with the API's name."""
    return {"api": decision.api, "decision": decision.allowed, **context(decision)}


def context(decision: Decision) -> dict[str, Any]:
    """Why, for how long, and how much; *max_age* in whole seconds, rounded down so that no boundary is passed."""
    stated: dict[str, Any] = {
        "reason": decision.reason.value,
        "status": decision.reason.status,
        "plan": decision.plan,
        "invoice": decision.invoice,
        "cycle": None if decision.cycle is None else cycle(decision.cycle),
        "until": None if decision.until is None else rfc3339(decision.until),
        "quotas": [quota(each) for each in decision.quotas] or None,
        "pay_at": decision.pay_at,
        "max_age": decision.max_age // timedelta(seconds=1),
    }
    return {name: value for name, value in stated.items() if value is not None}


def unmapped(line: BilledLine) -> dict[str, Any]:
    """A billed line of no plan, for whoever has to name its price in the catalog."""
    stated = {"invoice": line.invoice, "line": line.id, "price": line.price, "cycle": cycle(line.period)}
    return {name: value for name, value in stated.items() if value is not None}


def invoice(shown: InvoiceShown) -> dict[str, Any]:
    """An invoice for its portal; amounts in the currency's smallest unit. What is not known is left out."""
    amounts = shown.amounts
    stated: dict[str, Any] = {
        "id": shown.id,
        "number": amounts and amounts.number,
        "status": shown.status.value,
        "currency": amounts and amounts.currency,
        "total": amounts and amounts.total,
        "amount_due": amounts and amounts.amount_due,
        "amount_paid": amounts and amounts.amount_paid,
        "amount_remaining": amounts and amounts.amount_remaining,
        "created": rfc3339(shown.created),
        "due_date": None if shown.due_date is None else rfc3339(shown.due_date),
        "transitions": {TRANSITIONS[status]: rfc3339(at) for status, at in shown.transitions.items()},
        "cycles": [{"plan": each.plan, "line": each.line, **cycle(each.period)} for each in shown.cycles],
        "pay_at": shown.pay_at,
        "lines_complete": shown.lines_complete,
        "contradictory": shown.is_contradictory,
        "given_back": shown.given_back,
        "disputed": shown.is_disputed,
    }
    return {name: value for name, value in stated.items() if value is not None}


def cycle(period: Period) -> dict[str, str]:
    """`[start, end)`."""
    return {"start": rfc3339(period.start), "end": rfc3339(period.end)}


def rfc3339(moment: datetime) -> str:
    """In UTC, with a Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def quota(allowed: QuotaAllowed) -> dict[str, Any]:
    """A quota as it holds for the customer."""
    return {
        "name": allowed.name,
        "limit": allowed.limit,
        "enforcement": allowed.enforcement.value,
        "unit": allowed.unit,
        "per": str(allowed.per),
    }
