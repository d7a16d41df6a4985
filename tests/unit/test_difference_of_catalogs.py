"""What differs between two catalogs: by meaning, entry by entry."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from entitlements.domain.difference_of_catalogs import SECTIONS, CatalogDifference, catalogs_compared, duration
from tests.unit.catalog_documents import catalog, minimal, plan

DEFAULTS = {
    "first_unpaid": "0s",
    "renewal_unpaid": "0s",
    "renewal_leeway": "120m",
    "on_refund": "revoke",
    "on_dispute": "suspend",
    "on_cancel": "cycle_end",
}
QUOTA = {"name": "calls", "unit": "requests", "limit": 10, "per": "cycle", "enforcement": "strict"}


def document() -> dict[str, Any]:
    """A catalog with an entry in each section, to be changed."""
    return minimal(
        basic=plan(stripe_prices=["price_1", "price_2"], quotas=[QUOTA]), extra=plan(apis=["reports", "maps"])
    ) | {
        "orgs": {"initech": {"customer": "cus_1"}},
        "routes": [{"path": "/orders/**", "api": "orders"}, {"path": "/**", "api": "reports"}],
    }


def difference(change: Callable[[dict[str, Any]], object]) -> CatalogDifference:
    """What differs from `document()` once it is changed so."""
    changed = copy.deepcopy(document())
    change(changed)
    return catalogs_compared(catalog(document()), catalog(changed))


def plans(changed: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = changed["products"]["product"]["plans"]
    return found


def edited(found: CatalogDifference, section: str) -> dict[str, list[tuple[str, object, object]]]:
    """By entry: field, before, after."""
    return {
        name: [(edit.field, edit.before, edit.after) for edit in edits]
        for name, edits in found.sections[section].changed.items()
    }


def test_defaults_and_the_order_of_names_are_no_difference() -> None:
    """Written out, turned round, in another unit: the same catalog."""

    def rewrite(changed: dict[str, Any]) -> None:
        plans(changed)["basic"] |= {"access": DEFAULTS, "stripe_prices": ["price_2", "price_1"], "name": "basic"}
        changed["products"] = {"product": {**changed["products"]["product"], "name": "product"}}

    assert difference(rewrite).is_empty


@pytest.mark.parametrize(
    ("section", "change", "edits"),
    [
        (
            "plans",
            lambda it: plans(it)["basic"].update(access={"renewal_leeway": "3d", "first_unpaid": "until_due"}),
            {"basic": [("access.first_unpaid", "0s", "until_due"), ("access.renewal_leeway", "2h", "3d")]},
        ),
        (
            "plans",
            lambda it: plans(it)["extra"].update(apis=["reports", "labs"]),
            {"extra": [("apis", frozenset({"reports", "maps"}), frozenset({"reports", "labs"}))]},
        ),
        (
            "plans",
            lambda it: plans(it)["basic"].update(quotas=[QUOTA | {"limit": 20}, QUOTA | {"name": "rows"}]),
            {
                "basic": [
                    ("quotas.calls", "10 requests per cycle, strict", "20 requests per cycle, strict"),
                    ("quotas.rows", None, "10 requests per cycle, strict"),
                ]
            },
        ),
        (
            "plans",
            lambda it: plans(it)["basic"].update(base_price={"amount": "5.00", "currency": "usd", "every": "year"}),
            {
                "basic": [
                    ("base_price.amount", None, "5.00"),
                    ("base_price.currency", None, "usd"),
                    ("base_price.every", None, "year"),
                ]
            },
        ),
        (
            "orgs",
            lambda it: it.update(orgs={"initech": {"customer": "cus_2"}}),
            {"initech": [("customer", "cus_1", "cus_2")]},
        ),
        (
            "integrations",
            lambda it: it["integrations"]["main"].update(mode="live", accounts=["acct_1"]),
            {"main": [("mode", "test", "live"), ("accounts", frozenset(), frozenset({"acct_1"}))]},
        ),
        (
            "marketplaces",
            lambda it: it["marketplaces"]["acme"].update(customer_portal="https://example.com/p"),
            {"acme": [("customer_portal", None, "https://example.com/p")]},
        ),
    ],
)
def test_what_an_entry_says_otherwise_is_told(
    section: str, change: Callable[[dict[str, Any]], object], edits: dict[str, list[tuple[str, object, object]]]
) -> None:
    """Each field that says something else, by its dotted name, with what it said; and no other section has any."""
    found = difference(change)

    assert {name: edited(found, name) for name in SECTIONS} == {
        name: edits if name == section else {} for name in SECTIONS
    }
    assert not found.is_empty


def test_entries_come_and_go() -> None:
    """A plan renamed is one gone and one new; its prices then are of the new one."""

    def rename(changed: dict[str, Any]) -> None:
        plans(changed)["business"] = plans(changed).pop("basic") | {"stripe_prices": ["price_1", "price_3"]}

    found = difference(rename)

    assert (found.sections["plans"].added, found.sections["plans"].removed) == (("business",), ("basic",))
    assert found.prices == {
        "price_1": ("basic", "business"),
        "price_2": ("basic", None),
        "price_3": (None, "business"),
    }


def test_the_order_of_routes_matters() -> None:
    """The first match wins, so turned round they are other routes."""
    found = difference(lambda changed: changed["routes"].reverse())

    assert found.routes == (
        ("any method any host /orders/**: orders", "any method any host /**: reports"),
        ("any method any host /**: reports", "any method any host /orders/**: orders"),
    )
    assert found.routes_lost == ("any method any host /orders/**: orders, such as /orders",)


@pytest.mark.parametrize("written", ["0s", "90s", "15m", "61m", "2h", "3d", "8d", "2w"])
def test_durations_are_told_as_catalogs_write_them(written: str) -> None:
    """In the largest unit that gives a whole number."""
    found = catalog(minimal(basic=plan(access={"renewal_leeway": written})))

    assert duration(found.plans["basic"].access.renewal_leeway) == written


def test_before_the_first_catalog_there_is_nothing() -> None:
    """All that it has is new."""
    found = catalogs_compared(None, catalog(document()))

    assert [entries.added for entries in found.sections.values()] == [
        ("main",),
        ("acme",),
        ("initech",),
        ("product",),
        ("basic", "extra"),
    ]
    assert found.prices == {"price_1": (None, "basic"), "price_2": (None, "basic")}
