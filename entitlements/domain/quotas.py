"""Quotas as they hold for a customer: added up over what was paid (contract, R9). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from entitlements.domain.catalog import Enforcement, Plan, Quota


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaAllowed:
    """A quota as it holds for a customer: *limit* units, added up over what was paid."""

    name: str
    unit: str
    limit: int
    per: str
    enforcement: Enforcement


def added_up(given: Sequence[tuple[Plan | None, Decimal]]) -> tuple[QuotaAllowed, ...]:
    """
    Quotas of one name add up over plans, each times its quantity; a plan without that quota lifts it (contract, R9), as
    does a grant of APIs without a plan.

    Where plans enforce one quota differently the sum is loose: one of them lets the customer go beyond and bills it.
    """
    names = sorted({quota.name for plan, _ in given if plan is not None for quota in plan.quotas})
    return tuple(added for name in names if (added := _one_added_up(name, given)) is not None)


def _one_added_up(name: str, given: Sequence[tuple[Plan | None, Decimal]]) -> QuotaAllowed | None:
    found: list[tuple[Quota, Decimal]] = []
    for plan, quantity in given:
        quota = next((quota for quota in plan.quotas if quota.name == name), None) if plan is not None else None
        if quota is None:
            return None
        found.append((quota, quantity))
    first = found[0][0]
    loose = any(quota.enforcement is Enforcement.LOOSE for quota, _ in found)
    return QuotaAllowed(
        name=name,
        unit=first.unit,
        limit=int(sum(quota.limit * quantity for quota, quantity in found)),
        per=first.per,
        enforcement=Enforcement.LOOSE if loose else Enforcement.STRICT,
    )
