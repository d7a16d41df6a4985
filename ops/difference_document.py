"""
What would be otherwise, as JSON: catalogs, one customer, the totals of all. Pure.

Times are RFC 3339 in UTC; the end of a period that has none is null.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from entitlements.api.answers import quota, rfc3339
from entitlements.domain.catalog import Plan
from entitlements.domain.difference import AccessChange, Change, Difference, Opening
from entitlements.domain.difference_ahead import NextTerms
from entitlements.domain.difference_of_catalogs import CatalogDifference, Said
from entitlements.domain.difference_of_lines import LineChange, Naming
from entitlements.domain.difference_totals import Totals
from entitlements.domain.period import END_OF_TIME
from entitlements.everyone import CustomerName


def of_catalogs(difference: CatalogDifference) -> dict[str, Any]:
    """Each section's entries that are added, removed or changed, the prices of another plan, and the routes."""
    sections = {
        name: {
            "added": list(entries.added),
            "removed": list(entries.removed),
            "changed": {
                entry: [
                    {"field": each.field, "before": _said(each.before), "after": _said(each.after)} for each in edits
                ]
                for entry, edits in entries.changed.items()
            },
        }
        for name, entries in difference.sections.items()
    }
    prices = {price: {"before": before, "after": after} for price, (before, after) in difference.prices.items()}
    routes = None
    if difference.routes is not None:
        before, after = difference.routes
        routes = {"before": before, "after": after, "lost": difference.routes_lost}
    return {**sections, "prices": prices, "routes": routes}


def of_customer(name: CustomerName, difference: Difference, ahead: Iterable[NextTerms] = ()) -> dict[str, Any]:
    """One customer: `access` by API and interval, `lines` whose plan is another, `next_cycles` under other terms."""
    return {
        "integration": name.integration,
        "customer": name.customer,
        "access": [_access(each) for each in difference.access],
        "lines": [_line(each) for each in difference.lines],
        "next_cycles": [_next(each) for each in ahead],
    }


def of_totals(totals: Totals) -> dict[str, Any]:
    """The counts; of customers, but for `lines`."""
    places = totals.places
    return {
        "compared": totals.compared,
        "open": totals.open,
        "losing": totals.losing,
        "losing_share": round(totals.losing_share, 6),
        "differing": totals.differing,
        **{change.value: totals.by_change.get(change, 0) for change in Change},
        "by_api": [
            {
                "marketplace": marketplace,
                "api": api,
                **{change.value: totals.by_api.get((marketplace, api, change), 0) for change in Change},
            }
            for marketplace, api in places
        ],
        "lines": {each.value: totals.lines.get(each, 0) for each in Naming},
        "next_cycles": [
            {
                "before": each.before,
                "after": each.after,
                "lost": list(each.lost),
                "gained": list(each.gained),
                "customers": number,
            }
            for each, number in totals.ahead.items()
        ],
    }


def _access(change: AccessChange) -> dict[str, Any]:
    return {
        "change": change.change.value,
        "marketplace": change.marketplace,
        "api": change.api,
        "start": rfc3339(change.period.start),
        "end": _end(change.period.end),
        "before": [_opening(each) for each in change.before],
        "after": [_opening(each) for each in change.after],
        "invoices": list(change.invoices),
        "manual_grants": list(change.manual),
    }


def _opening(opening: Opening) -> dict[str, Any]:
    quotas = [quota(each) for each in opening.quotas]
    return {"reason": opening.reason.value, "plan": opening.plan, "quotas": quotas}


def _line(change: LineChange) -> dict[str, Any]:
    line = change.line
    return {
        "change": change.naming.value,
        "invoice": line.invoice,
        "line": line.id,
        "price": line.price,
        "start": rfc3339(line.period.start),
        "end": rfc3339(line.period.end),
        "before": change.before,
        "after": change.after,
    }


def _next(terms: NextTerms) -> dict[str, Any]:
    return {
        "line": terms.line.id,
        "invoice": terms.line.invoice,
        "price": terms.line.price,
        "from": rfc3339(terms.at),
        "before": _plan(terms.before),
        "after": _plan(terms.after),
        "lost": list(terms.lost),
        "gained": list(terms.gained),
    }


def _plan(plan: Plan | None) -> str | None:
    return None if plan is None else plan.name


def _said(said: Said) -> str | list[str] | None:
    return sorted(said) if isinstance(said, frozenset) else said


def _end(moment: datetime) -> str | None:
    return None if moment == END_OF_TIME else rfc3339(moment)
