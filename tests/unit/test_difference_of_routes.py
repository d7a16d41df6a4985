"""Which requests are no longer those of the API they were under another catalog, by cases."""

from __future__ import annotations

from typing import Any

import pytest

from entitlements.domain.catalog import Catalog
from entitlements.domain.difference_of_routes import routes_lost
from ops.brake import routes_uncounted
from tests.pure_core import catalog, revisions

ORDERS = {"path": "/orders/**", "api": "orders"}
INVOICES = {"path": "/invoices", "api": "invoices", "methods": ["GET", "POST"], "host": "api.example.com:8443"}
EVERYTHING = {"path": "/**", "api": "orders"}
SHOPS = {**ORDERS, "host": "shop.example.com"}
CODED = {"path": "/a%2Fb", "api": "orders"}


def routed(*routes: dict[str, Any]) -> Catalog:
    newest = revisions({**catalog(), "routes": [*routes]}).newest
    assert newest is not None
    return newest.catalog


def lost(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[str]:
    """`"/orders/** orders: GET /orders"` for each."""
    found = routes_lost(routed(*before), routed(*after))
    return [f"{each.route.path} {each.route.api}: {each.such_as}" for each in found]


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ([ORDERS, INVOICES], [INVOICES, ORDERS], []),
        ([ORDERS, INVOICES], [INVOICES, ORDERS, {"path": "/more", "api": "orders"}], []),
        ([ORDERS, ORDERS], [ORDERS], []),
        # Gone, led elsewhere, or narrowed: by its path, its methods, its host.
        ([ORDERS, INVOICES], [INVOICES], ["/orders/** orders: GET /orders of api.example.com:8443"]),
        ([ORDERS], [{**ORDERS, "api": "invoices"}], ["/orders/** orders: /orders"]),
        ([ORDERS], [{"path": "/orders/*", "api": "orders"}], ["/orders/** orders: /orders"]),
        ([ORDERS], [{"path": "/orders", "api": "orders"}], ["/orders/** orders: /orders/any/any"]),
        ([ORDERS], [{**ORDERS, "methods": ["GET"]}], ["/orders/** orders: /orders"]),
        ([INVOICES], [{**INVOICES, "methods": ["GET"]}], ["/invoices invoices: POST /invoices"]),
        ([INVOICES], [{**INVOICES, "host": "other.example.com"}], ["/invoices invoices: GET /invoices"]),
        # A wider route takes over for the same API.
        ([ORDERS], [EVERYTHING], []),
        ([INVOICES], [{**INVOICES, "path": "/**"}], []),
        # A new route ahead takes all of an old one, or a part of it.
        ([ORDERS], [{"path": "/**", "api": "invoices"}, ORDERS], ["/orders/** orders: /orders"]),
        (
            [ORDERS],
            [{"path": "/**", "api": "invoices", "methods": ["POST"]}, ORDERS],
            ["/orders/** orders: POST /orders"],
        ),
        ([ORDERS], [{"path": "/orders/new", "api": "invoices"}, ORDERS], ["/orders/** orders: /orders/new"]),
        ([ORDERS], [{"path": "/*/export", "api": "invoices"}, ORDERS], ["/orders/** orders: /orders/export"]),
        ([ORDERS], [{"path": "/*/*/*/*", "api": "invoices"}, ORDERS], ["/orders/** orders: /orders/any/any/any"]),
        ([EVERYTHING], [{"path": "/", "api": "invoices"}, EVERYTHING], ["/** orders: /"]),
        ([EVERYTHING, INVOICES], [INVOICES, EVERYTHING], ["/** orders: GET /invoices of api.example.com:8443"]),
        ([SHOPS, ORDERS], [SHOPS, {**ORDERS, "api": "invoices"}, ORDERS], ["/orders/** orders: /orders"]),
        # By a path that can be read in two ways, or in none, nobody ever came.
        ([CODED], [CODED], []),
        ([CODED], [], ["/a%2Fb orders: /a%2Fb"]),
    ],
)
def test_which_requests_are_no_longer_the_apis_they_were(
    before: list[dict[str, Any]], after: list[dict[str, Any]], named: list[str]
) -> None:
    """Routes gone, led elsewhere, or put behind another; new ones and those in another order are no loss."""
    assert lost(before, after) == named


def test_one_that_is_gone_from_a_large_catalog_is_named() -> None:
    """However many requests could be asked about: those of routes that are gone or new are asked about first."""
    many = [{"path": f"/{at}/**", "api": "orders", "host": f"{at}.example.com"} for at in range(150)]
    many += [{"path": f"/{at}/**", "api": "orders"} for at in range(150)]

    assert lost(many, many[:-1]) == ["/149/** orders: /149 of 0.example.com"]


def test_they_are_named_and_not_counted() -> None:
    """Nobody knows who calls by which route."""
    assert routes_uncounted(routes_lost(routed(ORDERS), routed(ORDERS))) is None
    said = str(routes_uncounted(routes_lost(routed(ORDERS, INVOICES), routed(INVOICES))))
    assert said.startswith(
        "not counted: requests by 1 route are no longer its API's (any host /orders/**: orders, such"
    )
