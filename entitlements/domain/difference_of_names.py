"""
Who is no longer found by the name of an org once another catalog is in force. Pure.

A name that a catalog holds is fixed by it in every integration; any other is what an operator set (`settings`).
"""

from __future__ import annotations

from collections.abc import Mapping

from entitlements.domain.catalog import Catalog

Settings = Mapping[tuple[str, str], str]
"""The customer that an operator set, by integration and org."""


def names_lost(before: Catalog, after: Catalog, settings: Settings) -> dict[tuple[str, str], tuple[str, ...]]:
    """
    By integration and customer, the orgs as which it is found before and not after: who asks by such a name, or with a
    key that an org holds, is then told of another customer, or of nobody.
    """
    names = before.orgs.keys() | after.orgs.keys()
    integrations = before.integrations.keys() | after.integrations.keys() | {of for of, _ in settings}
    lost: dict[tuple[str, str], tuple[str, ...]] = {}
    for name in sorted(each for each in names if before.orgs.get(each) != after.orgs.get(each)):
        for integration in integrations:
            was, is_then = (_customer(integration, name, catalog, settings) for catalog in (before, after))
            if was is not None and was != is_then:
                lost[integration, was] = (*lost.get((integration, was), ()), name)
    return lost


def _customer(integration: str, name: str, catalog: Catalog, settings: Settings) -> str | None:
    org = catalog.orgs.get(name)
    return settings.get((integration, name)) if org is None else org.customer
