"""
Which subscription item a proration is of, where Stripe does not say. Pure.

Since 2025-03-31 a proration may be rendered as an invoice item (`parent.invoice_item_details`), which names its
subscription and not the subscription item; up to 2025-02 the same line names both. So that the shape does not matter,
the item is taken from the customer's other lines.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from entitlements.domain.invoice import InvoiceHistory
from entitlements.domain.lines import BilledLine, Credit

Line = TypeVar("Line", bound=BilledLine | Credit)


def with_items(invoices: Mapping[str, InvoiceHistory]) -> dict[str, InvoiceHistory]:
    """
    The same invoices, where a proration without a subscription item has the one that other lines of its subscription
    and price name or, failing that, others of its subscription. Where those name several or none, it stays unknown.
    """
    items: dict[tuple[str, str | None], set[str]] = defaultdict(set)
    for invoice in invoices.values():
        said: list[BilledLine | Credit] = [*invoice.lines, *invoice.credits]
        for each in said:
            if each.subscription is not None and each.subscription_item is not None:
                items[each.subscription, each.price].add(each.subscription_item)
                items[each.subscription, None].add(each.subscription_item)

    def with_item(each: Line) -> Line:
        if each.subscription_item is not None or each.subscription is None or not each.proration:
            return each
        for known in (items.get((each.subscription, each.price)), items.get((each.subscription, None))):
            if known is not None and len(known) == 1:
                return replace(each, subscription_item=min(known))
        return each

    return {
        name: replace(
            invoice,
            lines=tuple(with_item(line) for line in invoice.lines),
            credits=tuple(with_item(credit) for credit in invoice.credits),
        )
        for name, invoice in invoices.items()
    }
