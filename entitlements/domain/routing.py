"""
Which API a request is for: the catalog's routes, made ready once for all requests (contract, section 3). Pure.

The first route that matches counts. In a route's path `*` stands for anything within one segment, `**` for any number
of segments, none included. A slash at the end means nothing. Where it can't be told which route a request is for, it is
none: better closed than open at another API's price.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from entitlements.domain.catalog import Route
from entitlements.domain.path_readings import decoded, is_decodable, readings

_HOST = re.compile(r"(?P<name>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")

Matches = Callable[[str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """
    A request as its client sent it to the gateway. *path* is without its query and as it was sent; *host* may have a
    port, and is None where the gateway did not say it.
    """

    method: str
    host: str | None
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A route with its host taken apart and its path's two ways to match: as written, and whatever the case."""

    name: str | None
    port: str | None
    methods: frozenset[str]
    api: str
    exactly: Matches
    folded: Matches


REMEMBERED = 1024
"""Of how many requests a catalog's routing knows the API without looking again."""


class Routing:
    """The routes of one catalog. `api_of` says which API a request is for, as `_api_of` finds it."""

    __slots__ = ("_is_lower", "_ready", "api_of")

    def __init__(self, routes: Sequence[Route]) -> None:
        # A catalog of an earlier version may have a path that is no text: no request is for it.
        routes = [route for route in routes if is_decodable(route.path)]
        self._ready = tuple(_ready(route) for route in routes)
        self.api_of: Callable[[Requested], str | None] = lru_cache(REMEMBERED)(self._api_of)
        self._is_lower = all(folded(decoded(route.path)) == decoded(route.path) for route in routes)

    def _api_of(self, requested: Requested) -> str | None:
        """The API that *requested* is for in every reading of its path and in either case; None if there is no such."""
        host = None
        if requested.host is not None:
            host = _HOST.fullmatch(requested.host.lower())
            if host is None:
                return None
        name, port = (None, None) if host is None else (host["name"].rstrip("."), host["port"])
        possible = [route for route in self._ready if _takes(route, requested.method)]
        apis = {self._api(possible, path, name, port) for path in readings(requested.path)}
        return apis.pop() if len(apis) == 1 else None

    def _api(self, possible: Sequence[_Ready], path: str, name: str | None, port: str | None) -> str | None:
        path = _without_last_slash(path)
        api = _first([route for route in possible if route.exactly(path)], name, port)
        lower = folded(path)
        if lower == path and self._is_lower:
            return api
        insensitive = _first([route for route in possible if route.folded(lower)], name, port)
        return api if insensitive == api else None


def folded(path: str) -> str:
    """As a server sees it that does not tell capitals from small letters."""
    return path.lower() if path.isascii() else unicodedata.normalize("NFKC", path).casefold()


def _ready(route: Route) -> _Ready:
    name, _, port = (route.host or "").lower().partition(":")
    path = decoded(route.path)
    return _Ready(
        name=name.rstrip(".") or None,
        port=port or None,
        methods=route.methods,
        api=route.api,
        exactly=_matching(path),
        folded=_matching(folded(path)),
    )


def _takes(route: _Ready, method: str) -> bool:
    """HEAD is a GET whose body nobody wants: what takes that takes it too."""
    return not route.methods or method in route.methods or (method == "HEAD" and "GET" in route.methods)


def _first(matching: Sequence[_Ready], name: str | None, port: str | None) -> str | None:
    """
    The API of the first of those routes that is for this host; None too where the first may or may not be.

    A port in the request counts only where the route has one: the client writes it.
    """
    for route in matching:
        if route.name is None:
            return route.api
        if name is None or (route.name == name and route.port is not None and port is None):
            return None
        if route.name == name and route.port in (None, port):
            return route.api
    return None


def _matching(path: str) -> Matches:
    """Whether a path, decoded and without a slash at its end, matches that of a route; most only compare text."""
    pattern = _without_last_slash(path)
    literal, deep, rest = pattern.partition("/**")
    if deep and not rest and "*" not in literal:
        below = f"{literal}/"
        return lambda asked: asked == literal or asked.startswith(below)
    if "*" not in pattern:
        return lambda asked: asked == pattern
    segments = pattern.split("/")[1:]
    return lambda asked: _glob(asked.split("/")[1:], segments, "**", _segment_matches)


def _segment_matches(segment: str, pattern: str) -> bool:
    return pattern in ("*", segment) or ("*" in pattern and _glob(segment, pattern, "*", str.__eq__))


def _glob(asked: Sequence[str], pattern: Sequence[str], anything: str, equal: Callable[[str, str], bool]) -> bool:
    """
    Whether *asked* is *pattern*, in which *anything* stands for any number of parts.

    Goes back to the last *anything* alone, which suffices, so it takes no longer than one length times the other.
    """
    at, of, back_at, back_of = 0, 0, 0, -1
    while at < len(asked):
        if of < len(pattern) and pattern[of] == anything:
            back_at, back_of, of = at, of, of + 1
        elif of < len(pattern) and equal(asked[at], pattern[of]):
            at, of = at + 1, of + 1
        elif back_of >= 0:
            back_at += 1
            at, of = back_at, back_of + 1
        else:
            return False
    return all(part == anything for part in pattern[of:])


def _without_last_slash(path: str) -> str:
    return path[:-1] if path.endswith("/") else path
