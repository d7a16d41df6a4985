"""Quotas as they hold for a customer: added up over what was paid (contract, R9). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from entitlements.domain.catalog import Enforcement, Quota
from entitlements.domain.cycles import Cycle


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaAllowed:
    """A quota as it holds for a customer: *limit* units, added up over what was paid."""

    name: str
    unit: str
    limit: int
    per: str
    enforcement: Enforcement


def added_up(cycles: list[Cycle]) -> tuple[QuotaAllowed, ...]:
    """
    Quotas of one name add up, times quantity; a plan without that quota lifts it (contract, R9).

    Where plans enforce one quota differently the sum is loose: one of them lets the customer go beyond and bills it.
    """
    names = sorted({quota.name for cycle in cycles for quota in cycle.plan.quotas})
    return tuple(added for name in names if (added := _one_added_up(name, cycles)) is not None)


def _one_added_up(name: str, cycles: list[Cycle]) -> QuotaAllowed | None:
    given: list[tuple[Quota, Cycle]] = []
    for cycle in cycles:
        quota = next((quota for quota in cycle.plan.quotas if quota.name == name), None)
        if quota is None:
            return None
        given.append((quota, cycle))
    first = given[0][0]
    loose = any(quota.enforcement is Enforcement.LOOSE for quota, _ in given)
    return QuotaAllowed(
        name=name,
        unit=first.unit,
        limit=int(sum(quota.limit * cycle.quantity for quota, cycle in given)),
        per=first.per,
        enforcement=Enforcement.LOOSE if loose else Enforcement.STRICT,
    )
