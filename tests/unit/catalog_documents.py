"""Catalog documents for tests: the least that is valid, and what a plan needs in it."""

from __future__ import annotations

from typing import Any

from entitlements.domain.catalog import Catalog
from entitlements.domain.catalog_document import read_catalog


def minimal(**plans: dict[str, Any]) -> dict[str, Any]:
    """What contract, section 3, requires, and no more."""
    return {
        "catalog": 1,
        "integrations": {"main": {"mode": "test", "signing_secrets_env": "SECRETS"}},
        "marketplaces": {"acme": {"integration": "main"}},
        "products": {"product": {"marketplace": "acme", "plans": plans or {"basic": plan()}}},
    }


def plan(**others: object) -> dict[str, Any]:
    return {"cost": "paid", "apis": ["orders"]} | others


def catalog(document: object) -> Catalog:
    found, mistakes = read_catalog(document)
    assert mistakes == ()
    assert found is not None
    return found


TWO_INTEGRATIONS = minimal(basic=plan(stripe_prices=["price_1"]), extra=plan(apis=["reports"]))
TWO_INTEGRATIONS["integrations"]["other"] = {"mode": "live", "signing_secrets_env": "OTHER"}
TWO_INTEGRATIONS["marketplaces"]["umbrella"] = {"integration": "other"}
TWO_INTEGRATIONS["marketplaces"]["side"] = {"integration": "main"}
TWO_INTEGRATIONS["products"]["foreign"] = {
    "marketplace": "umbrella",
    "plans": {"foreign": plan(apis=["labs"], stripe_prices=["price_foreign"])},
}
TWO_INTEGRATIONS["products"]["side"] = {"marketplace": "side", "plans": {"side": plan(apis=["maps"])}}
"""Integration `main` with two marketplaces, `other` with one; four plans, `foreign` the only one of `other`."""
