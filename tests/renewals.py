"""A second month, an upgrade, unpaid terms: what the tests of cycles and of spans start from. Pure."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pure_core import plan, plans
from tests.stripe_builders import Bill, Line, Shape

EACH_SHAPE = pytest.mark.parametrize("shape", list(Shape))
SECOND = Line(id="il_2", start="02-01", end="03-01")
UPGRADE = (
    Line(id="il_credit", start="01-11", amount=-1700, proration=True),
    Line(id="il_debit", start="01-11", amount=6800, proration=True, price="price_big"),
)
TERMS = plans(
    enterprise=plan(first_unpaid="10d", renewal_unpaid="10d"),
    other=plan(prices=["price_other"], apis=["reports"], first_unpaid="10d", renewal_unpaid="10d"),
)


def renewal(*lines: Line, **changes: Any) -> Bill:
    """February's invoice of the subscription, finalized an hour after its cycle began, as Stripe does."""
    defaults = {"id": "in_2", "reason": "subscription_cycle", "finalized": "02-01T01:00", "lines": lines or (SECOND,)}
    return Bill(**(defaults | changes))
