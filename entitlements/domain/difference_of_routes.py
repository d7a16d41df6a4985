"""
Which requests are no longer those of the API they were, once another catalog is in force. Pure.

A route may be gone, lead elsewhere, or stand behind a new one that takes what was its. So sample requests of all
routes, the old and the new, are asked about under both catalogs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from entitlements.domain.catalog import Catalog, Route
from entitlements.domain.routing import Requested, Routing

ANY_SEGMENT = "any"
"""What stands for `*` in a sample's path."""

ANY_SEGMENTS = ("", f"/{ANY_SEGMENT}", f"/{ANY_SEGMENT}/{ANY_SEGMENT}")
"""What stands for `/**`."""


def routes_lost(before: Catalog, after: Catalog) -> tuple[Route, ...]:
    """
    Routes of either catalog by which requests come that were those of the API named with it, and are another's or
    nobody's now. A route of which no sample was its own is told by whether it is still there.
    """
    was, is_now = Routing(before.routes), Routing(after.routes)
    lost: dict[Route, None] = {}
    for route in (*before.routes, *after.routes):
        for requested in _samples(route):
            api = was.api_of(requested)
            if api is not None and is_now.api_of(requested) != api:
                lost[replace(route, api=api)] = None
    for route in before.routes:
        is_sampled = any(was.api_of(requested) == route.api for requested in _samples(route))
        if not is_sampled and route not in after.routes:
            lost[route] = None
    return tuple(lost)


def _samples(route: Route) -> Iterator[Requested]:
    """A few requests that the route's pattern matches."""
    for segments in ANY_SEGMENTS if "/**" in route.path else ("",):
        path = route.path.replace("/**", segments).replace("*", ANY_SEGMENT) or "/"
        for method in sorted(route.methods) or ["GET"]:
            yield Requested(method=method, host=route.host or None, path=path)
