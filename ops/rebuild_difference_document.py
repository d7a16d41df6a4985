"""
What serves and what was rebuilt, compared, as JSON: how far, how many, and one customer with the facts behind it. Pure.

`before` is what serves, `after` the rebuild. Times are RFC 3339 in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from entitlements.api.answers import rfc3339
from entitlements.differing import Differing, Lead
from entitlements.domain.brake import Brake
from entitlements.domain.difference import Change
from entitlements.domain.difference_of_facts import FactChange, Having
from entitlements.domain.difference_totals import Totals
from entitlements.domain.facts_in_words import in_words
from entitlements.store import TABLE_OF
from ops import difference_document
from ops.brake import Weighed
from ops.rebuild_difference import Found
from ops.rebuild_difference_shown import SECRET


def of_leads(leads: Iterable[Lead]) -> list[dict[str, Any]]:
    """Where each side goes on, by group and partition; null where it has not begun."""
    return [
        {
            "group": each.group,
            "topic": each.topic,
            "partition": each.partition,
            "before": each.before,
            "after": each.after,
        }
        for each in leads
    ]


def of_facts(differing: Differing) -> dict[str, dict[str, int]]:
    """By table, how many facts one side alone has, and how many are stated at another time."""
    return {
        name: {"before": counts.before, "after": counts.after, "stated": counts.stated}
        for name, counts in sorted(differing.counts.items())
    }


def of_customer(found: Found) -> dict[str, Any]:
    """`access` and `lines` as `catalog diff` has them; `facts` are the ones that the sides do not share."""
    told = difference_document.of_customer(found.name, found.difference)
    told.pop("next_cycles")
    return {**told, "facts": [_fact(each) for each in found.facts], "read_between": found.is_between}


def of_counts(counts: Totals, customers: int) -> dict[str, Any]:
    """How many customers there are, of how many the facts differ, and the access; by API, by change."""
    told = difference_document.of_totals(counts)
    kept = ("differing", *(change.value for change in Change), "by_api", "lines")
    return {"customers": customers, "facts_differ": counts.compared, **{name: told[name] for name in kept}}


def of_weighed(weighed: Weighed, brake: Brake) -> dict[str, Any]:
    """What the brake goes by; `open` is so many, at least so many, or at most."""
    return {
        "closing": weighed.closing,
        "open": weighed.open,
        "counted": weighed.counted.name.lower(),
        "share": float(brake.share),
        "asks": brake.asks(closing=weighed.closing, of=weighed.open, yes_close=None),
    }


def _fact(change: FactChange) -> dict[str, Any]:
    return {
        "table": TABLE_OF[type(change.fact)].name,
        "had_by": "both" if change.having is Having.EACH else change.having.value,
        "says": in_words(change.fact),
        "invoices": list(change.invoices),
        "fields": [
            {"field": each.field, "before": _value(each.field, each.before), "after": _value(each.field, each.after)}
            for each in change.fields
        ],
    }


def _value(field: str, value: Any) -> Any:
    if field in SECRET and value is not None:
        return "not shown"
    match value:
        case datetime():
            return rfc3339(value)
        case Decimal():
            return str(value)
        case tuple():
            return list(value)
        case _:
            return value
