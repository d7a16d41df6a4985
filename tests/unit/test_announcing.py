"""Whom a batch is announced to concern."""

from __future__ import annotations

from datetime import UTC, datetime

from consumers.batch import Taken, concerned
from entitlements.domain.reversals import RefundStated

JUNE = datetime(2026, 6, 1, tzinfo=UTC)


def refund(charge: str | None) -> RefundStated:
    return RefundStated(
        integration="main",
        refund="re_1",
        charge=charge,
        payment_intent=None,
        amount=5,
        status="succeeded",
        stated_at=JUNE,
    )


def test_a_refund_that_names_no_payment_concerns_nobody() -> None:
    """One of a customer's balance has neither charge nor payment intent: it decides nothing."""
    taken = Taken(positions={}, verdicts={}, learnt={"revocations": [refund(None), refund("ch_1")]})

    assert concerned(taken) == [("revocations", "main", None, "ch_1")]
