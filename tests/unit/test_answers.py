"""Decisions as JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from entitlements.api import answers
from entitlements.domain.catalog import Enforcement, Per
from entitlements.domain.decision import Decision, Reason
from entitlements.domain.period import Period
from entitlements.domain.quotas import QuotaAllowed

START, END = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)


def test_an_allowed_call() -> None:
    """Everything that the decision rests on, in the contract's words."""
    decision = Decision(
        api="orders",
        reason=Reason.PAID,
        max_age=timedelta(seconds=10),
        plan="enterprise",
        invoice="in_1",
        cycle=Period(START, END),
        until=END + timedelta(hours=2),
        quotas=(
            QuotaAllowed(name="calls", unit="requests", limit=2000, per=Per.CYCLE, enforcement=Enforcement.STRICT),
        ),
        catalog_revision=3,
    )

    expected = {
        "decision": True,
        "context": {
            "reason": "paid",
            "status": 200,
            "plan": "enterprise",
            "invoice": "in_1",
            "cycle": {"start": "2026-06-01T00:00:00Z", "end": "2026-07-01T00:00:00Z"},
            "until": "2026-07-01T02:00:00Z",
            "quotas": [{"name": "calls", "limit": 2000, "enforcement": "strict", "unit": "requests", "per": "cycle"}],
            "max_age": 10,
        },
    }
    assert answers.evaluation(decision) == expected


def test_what_a_denial_does_not_rest_on_is_left_out() -> None:
    """No empty members."""
    decision = Decision(api="orders", reason=Reason.NOT_ENTITLED, max_age=timedelta(seconds=2))

    context = {"reason": "not_entitled", "status": 403, "max_age": 2}
    assert answers.evaluation(decision) == {"decision": False, "context": context}
    assert answers.entitlement(decision) == {"api": "orders", "decision": False, **context}


def test_what_has_no_end_has_no_until() -> None:
    """A grant by hand that goes on until it is revoked: allowed, and no moment is made up for its end."""
    decision = Decision(api="orders", reason=Reason.MANUAL, max_age=timedelta(seconds=10), plan="enterprise")

    context = {"reason": "manual", "status": 200, "plan": "enterprise", "max_age": 10}
    assert answers.evaluation(decision) == {"decision": True, "context": context}
    assert answers.entitlement(decision) == {"api": "orders", "decision": True, **context}


@pytest.mark.parametrize(("left", "max_age"), [(timedelta(seconds=1.9), 1), (timedelta(milliseconds=1), 0)])
def test_max_age_never_passes_a_boundary(left: timedelta, max_age: int) -> None:
    """Whole seconds, rounded down."""
    decision = Decision(api="orders", reason=Reason.PAID, max_age=left)

    assert answers.context(decision)["max_age"] == max_age
