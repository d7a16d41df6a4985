"""Decisions and what they rest on, as JSON (contract, section 6). Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from entitlements.domain.access import Decision
from entitlements.domain.invoice import BilledLine
from entitlements.domain.period import Period
from entitlements.domain.quotas import QuotaAllowed


def evaluation(decision: Decision) -> dict[str, Any]:
    """An AuthZEN decision; what it does not rest on is left out of its context."""
    return {"decision": decision.allowed, "context": context(decision)}


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
        "quotas": [_quota(quota) for quota in decision.quotas] or None,
        "pay_at": decision.pay_at,
        "max_age": decision.max_age // timedelta(seconds=1),
    }
    return {name: value for name, value in stated.items() if value is not None}


def unmapped(line: BilledLine) -> dict[str, Any]:
    """A billed line of no plan, for whoever has to name its price in the catalog."""
    stated = {"invoice": line.invoice, "line": line.id, "price": line.price, "cycle": cycle(line.period)}
    return {name: value for name, value in stated.items() if value is not None}


def cycle(period: Period) -> dict[str, str]:
    """`[start, end)`."""
    return {"start": rfc3339(period.start), "end": rfc3339(period.end)}


def rfc3339(moment: datetime) -> str:
    """In UTC, with a Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _quota(quota: QuotaAllowed) -> dict[str, Any]:
    return {
        "name": quota.name,
        "limit": quota.limit,
        "enforcement": quota.enforcement.value,
        "unit": quota.unit,
        "per": str(quota.per),
    }
