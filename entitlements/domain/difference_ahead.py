"""
What a change of the catalog means for invoices that are still to come: the terms of each line's next cycle. Pure.

A new revision never touches a cycle that is billed already, but the next one is billed under it. So a price that is no
longer named closes nothing on the day, and everything a month later; this says so beforehand.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from datetime import datetime

from entitlements.domain.access import Standing
from entitlements.domain.catalog import Plan, Revisions
from entitlements.domain.lines import BilledLine


@dataclass(frozen=True, slots=True, kw_only=True)
class NextTerms:
    """The next cycle of a *line*'s subscription, from *at* on, has other terms; None where the line has no plan."""

    line: BilledLine
    at: datetime
    before: Plan | None
    after: Plan | None

    @property
    def lost(self) -> tuple[str, ...]:
        """The APIs that this line opens no longer."""
        return tuple(sorted(_apis(self.before) - _apis(self.after)))

    @property
    def gained(self) -> tuple[str, ...]:
        """The APIs that this line opens anew."""
        return tuple(sorted(_apis(self.after) - _apis(self.before)))


def next_terms(
    customer: Standing, integration: str, at: datetime, before: Revisions, after: Revisions
) -> tuple[NextTerms, ...]:
    """
    The lines of subscriptions whose cycle covers *at* and whose next one has other terms *after*, in order of line.

    Foretold as if each were renewed, with the price and the metadata that it has.
    """
    found = []
    for line in _running(customer, at):
        one, other = (_plan(line, integration, revisions) for revisions in (before, after))
        if _terms(one) != _terms(other):
            found.append(NextTerms(line=line, at=line.period.end, before=one, after=other))
    return tuple(sorted(found, key=lambda each: (each.line.invoice, each.line.id)))


def _running(customer: Standing, at: datetime) -> Iterator[BilledLine]:
    """A line that was credited, whose subscription ended or whose invoice is void, has no next cycle."""
    lines = [*customer.unmapped, *(cycle.line for cycle in customer.billed.cycles if cycle.ended_at is None)]
    for line in lines:
        is_over = line.subscription_ended_at is not None or customer.invoices[line.invoice].voided_at is not None
        if line.subscription_item is not None and line.period.covers(at) and not is_over:
            yield line


def _plan(line: BilledLine, integration: str, revisions: Revisions) -> Plan | None:
    """Of the next cycle; its invoice is finalized about an hour after it begins."""
    found = revisions.terms_of(
        line.period.end,
        integration=integration,
        line_plan=line.line_plan,
        price_plan=line.price_plan,
        price=line.price,
        invoice_plan=None,
    )
    return None if found is None else found[1].plan


def _terms(plan: Plan | None) -> tuple[Hashable, ...]:
    """What of a plan a customer could notice at a gateway."""
    return () if plan is None else (plan.name, plan.marketplace, plan.apis, plan.quotas, plan.access)


def _apis(plan: Plan | None) -> frozenset[str]:
    return frozenset() if plan is None else plan.apis
