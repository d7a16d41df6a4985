"""
Which requests are no longer those of the API they were, once another catalog is in force. Pure.

A route may be gone, lead elsewhere, or stand behind a new one that takes some of what was its. So sample requests are
asked about under both catalogs: of each route, old and new, with what the new ones name put in for its wildcards, by
every method and host that is named and one that nobody names. Samples find what people do to routes, and prove nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from entitlements.domain.catalog import Catalog, Route
from entitlements.domain.routing import Requested, Routing

ANY_SEGMENT = "any"
"""What stands for `*` in a sample's path."""

ANY_METHOD, ANY_HOST = "ANY", "any.invalid"
"""What no route names."""

MOST_PUT_IN, MOST_SAMPLES = 50, 20_000
"""
New routes whose segments are put into others, and requests that are asked about, those of routes that are gone or new
first: one new route among 400 took 3 s.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteLost:
    """A route by which requests are another API's now, or nobody's, and the first such that was found."""

    route: Route
    sample: Requested

    @property
    def such_as(self) -> str:
        """The sample as people write it, but for what stands for anything."""
        said = [self.sample.path]
        if self.sample.method != ANY_METHOD:
            said.insert(0, self.sample.method)
        if self.sample.host not in (None, ANY_HOST, self.route.host):
            said.append(f"of {self.sample.host}")
        return " ".join(said)


def routes_lost(before: Catalog, after: Catalog) -> tuple[RouteLost, ...]:
    """
    The routes of *before* by which requests came that are no longer its API's. One of which no sample was its own is
    told by whether it is still there.
    """
    if before.routes == after.routes:
        return ()
    was, is_now = Routing(before.routes), Routing(after.routes)
    alone = {route: Routing((route,)) for route in before.routes}
    found: dict[Route, Requested] = {}
    for requested in dict.fromkeys(islice(_samples(before.routes, after.routes), MOST_SAMPLES)):
        api = was.api_of(requested)
        if api is not None and is_now.api_of(requested) != api:
            own = next((each for each, it in alone.items() if each.api == api and it.api_of(requested) == api), None)
            if own is not None:
                found.setdefault(own, requested)
    for route in before.routes:
        if route not in found and route not in after.routes and not _is_sampled(route, alone[route], was):
            found[route] = Requested(method=ANY_METHOD, host=route.host, path=route.path)
    return tuple(RouteLost(route=route, sample=found[route]) for route in before.routes if route in found)


def _is_sampled(route: Route, alone: Routing, was: Routing) -> bool:
    """Whether any request by it alone was its API's among all routes too."""
    own = dict.fromkeys(_samples((route,), (route,)))
    return any(alone.api_of(each) == route.api == was.api_of(each) for each in own)


def _samples(before: Sequence[Route], after: Sequence[Route]) -> Iterator[Requested]:
    either = dict.fromkeys((*before, *after))
    routes = sorted(either, key=lambda route: route in before and route in after)
    methods = [*sorted({method for route in routes for method in route.methods}), ANY_METHOD]
    hosts = [*sorted({route.host for route in routes if route.host is not None}), ANY_HOST]
    put_in = [route.path for route in after if route not in before][:MOST_PUT_IN]
    for route in routes:
        paths = dict.fromkeys(_path(route.path, other) for other in ("/", "/*", "/*/*/*", *put_in))
        for path in paths:
            for method in sorted(route.methods) or methods:
                for host in hosts if route.host is None else (route.host,):
                    yield Requested(method=method, host=host, path=path)


def _path(pattern: str, other: str) -> str:
    """A path that *pattern* matches, whose wildcards are what *other* has there."""
    given = iter(other.strip("/").split("/"))
    segments: list[str] = []
    for segment in pattern.strip("/").split("/"):
        if segment == "**":
            segments += given
        else:
            meant = next(given, ANY_SEGMENT)
            segments.append(meant if segment == "*" else segment)
    return "/" + "/".join(each.replace("*", ANY_SEGMENT) for each in segments if each)
