"""Whom a batch is announced to concern."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest
import sqlalchemy as sa

from consumers.batch import Taken, announce
from entitlements import ledger
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


def test_a_refund_that_names_no_payment_concerns_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of a customer's balance has neither charge nor payment intent: it decides nothing."""
    written: list[Any] = []
    monkeypatch.setattr(ledger, "write_changes", lambda _, changes: written.extend(changes))
    taken = Taken(positions={}, verdicts={}, learnt={"revocations": [refund(None), refund("ch_1")]})

    announce(cast(sa.Connection, None), taken)

    assert written == [("revocations", "main", None, "ch_1")]
