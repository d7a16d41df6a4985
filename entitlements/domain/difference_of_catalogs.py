"""
What differs between two catalogs, entry by entry and word by word, for whoever is about to apply one. Pure.

It goes by what a document means: the order of keys, and defaults written out, are no difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import timedelta
from enum import Enum
from typing import Any

from entitlements.domain.catalog import Catalog, Plan, Quota, Route
from entitlements.domain.difference_of_routes import RouteLost, routes_lost

Said = str | frozenset[str] | None
"""What a field says: a text, several in no order, or nothing."""

SECTIONS = ("integrations", "marketplaces", "orgs", "products", "plans")
"""The parts of a catalog that name their entries."""

FOLLOWS_FROM_OTHERS = ("integration", "every")
"""What a plan has from its marketplace and from its base price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A field of an entry says something else."""

    field: str
    before: Said
    after: Said


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """What became of the entries of one section, by name."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: Mapping[str, tuple[Edit, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogDifference:
    """
    *sections* have all names of `SECTIONS`. *prices* are those whose plan is another: before and after, None for none.

    *routes* is the lists of routes, in their order, None where they are the same; *routes_lost* those by which requests
    are no longer the API's they were.
    """

    sections: Mapping[str, Entries]
    prices: Mapping[str, tuple[str | None, str | None]]
    routes: tuple[tuple[str, ...], tuple[str, ...]] | None
    routes_lost: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether both catalogs mean the same."""
        entries = self.sections.values()
        return self.routes is None and not any(each.added or each.removed or each.changed for each in entries)


def catalogs_compared(before: Catalog | None, after: Catalog) -> CatalogDifference:
    """What *after* says otherwise; before the first catalog there is nothing."""
    one, other = ({} if each is None else _prices(each) for each in (before, after))
    old, new = (() if each is None else tuple(_route(route) for route in each.routes) for each in (before, after))
    return CatalogDifference(
        sections={
            name: _entries({} if before is None else getattr(before, name), getattr(after, name)) for name in SECTIONS
        },
        prices={
            price: (one.get(price), other.get(price))
            for price in sorted(one.keys() | other.keys())
            if one.get(price) != other.get(price)
        },
        routes=None if old == new else (old, new),
        routes_lost=() if before is None else tuple(_lost(each) for each in routes_lost(before, after)),
    )


def _entries(before: Mapping[str, Any], after: Mapping[str, Any]) -> Entries:
    changed = {name: tuple(_edits(before[name], after[name])) for name in sorted(before.keys() & after.keys())}
    return Entries(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed={name: edits for name, edits in changed.items() if edits},
    )


def _edits(before: object, after: object) -> Iterator[Edit]:
    one, other = dict(_said(before)), dict(_said(after))
    for name in dict.fromkeys((*one, *other)):
        if one.get(name) != other.get(name):
            yield Edit(field=name, before=one.get(name), after=other.get(name))


def _said(value: object, where: str = "") -> Iterator[tuple[str, Said]]:
    """What every field of an entry says, by its dotted name."""
    match value:
        case Quota():
            limit = f"{value.limit} {value.unit} per {value.per}, {value.enforcement}"
            yield f"{where}.{value.name}", limit
        case tuple():
            for each in value:
                yield from _said(each, where)
        case frozenset():
            yield where, value
        case None:
            yield where, None
        case timedelta():
            yield where, duration(value)
        case Enum():
            yield where, str(value.value)
        case _ if is_dataclass(value):
            for each in fields(value):
                if isinstance(value, Plan) and each.name in FOLLOWS_FROM_OTHERS:
                    continue
                yield from _said(getattr(value, each.name), f"{where}.{each.name}".removeprefix("."))
        case _:
            yield where, str(value)


def duration(value: timedelta) -> str:
    """As catalogs write it, in the largest unit that gives a whole number: `2h`, `3d`."""
    seconds = int(value.total_seconds())
    for unit, size in (("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _prices(catalog: Catalog) -> dict[str, str]:
    return {price: plan.name for plan in catalog.plans.values() for price in plan.stripe_prices}


def _lost(lost: RouteLost) -> str:
    return f"{_route(lost.route)}, such as {lost.such_as}"


def _route(route: Route) -> str:
    methods = ",".join(sorted(route.methods)) or "any method"
    return f"{methods} {route.host or 'any host'} {route.path}: {route.api}"
