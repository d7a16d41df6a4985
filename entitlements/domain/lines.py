"""One line of an invoice, joined over what the invoice's snapshots said of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from entitlements.domain.facts import Grant, Revocation
from entitlements.domain.period import Period
from entitlements.domain.statements import first_known, first_stated


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledLine:
    """
    One line of an invoice, joined over its snapshots. *amount* is in the currency's smallest unit.

    *subscription_ended_at* is when the line's subscription ended (R7), None while it is not known to have.
    """

    id: str
    invoice: str
    subscription: str | None
    subscription_item: str | None
    price: str | None
    amount: int
    quantity: Decimal | None
    period: Period
    proration: bool
    usage_type: str | None
    line_plan: str | None
    price_plan: str | None
    invoice_plan: str | None
    subscription_ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """
    A credit line of an invoice (R8), joined over its snapshots: which lines it ends, from when on at the soonest.

    *credited* are the lines it names, each with its invoice where that is named too.
    """

    proration: ClassVar[bool] = True

    line: str
    invoice: str
    subscription: str | None
    subscription_item: str | None
    price: str | None
    period_start: datetime
    credited: frozenset[tuple[str | None, str]]


def billed_line(
    said: list[Grant], invoice_plan: str | None, subscription_ends: Mapping[str | None, datetime]
) -> BilledLine:
    """
    A line from all that was said of it. *subscription_ends* are by subscription; what stands by None ended all of them.
    """
    one = min(said, key=lambda grant: (grant.stated_at, grant.digest))
    subscription = first_known((grant.stated_at, grant.subscription) for grant in said)
    item = first_known((grant.stated_at, grant.subscription_item) for grant in said)
    its_own = {subscription, None} if subscription is not None or item is not None else set()
    return BilledLine(
        id=one.line,
        invoice=one.invoice,
        amount=one.amount,
        period=Period(one.period_start, one.period_end),
        proration=any(grant.proration for grant in said),
        quantity=first_known((grant.stated_at, grant.quantity) for grant in said),
        subscription=subscription,
        subscription_item=item,
        price=first_known((grant.stated_at, grant.price) for grant in said),
        usage_type=first_known((grant.stated_at, grant.usage_type) for grant in said),
        line_plan=first_stated((grant.stated_at, grant.line_plan or None) for grant in said),
        price_plan=first_known((grant.stated_at, grant.price_plan) for grant in said) or None,
        invoice_plan=invoice_plan,
        subscription_ended_at=min((at for of, at in subscription_ends.items() if of in its_own), default=None),
    )


def credit(said: list[Revocation]) -> Credit:
    """A credit line from all that was said of it."""
    one = min(said, key=lambda revocation: (revocation.stated_at, revocation.digest))
    return Credit(
        line=one.line or "",
        invoice=one.invoice,
        subscription=first_known((each.stated_at, each.subscription) for each in said),
        subscription_item=first_known((each.stated_at, each.subscription_item) for each in said),
        price=first_known((each.stated_at, each.price) for each in said),
        period_start=one.period_start or one.stated_at,
        credited=frozenset((each.credited_invoice, line) for each in said for line in each.credited_lines),
    )
