"""Which API a request is for, by the catalog's routes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements.domain.catalog import Route
from entitlements.domain.path_readings import readings
from entitlements.domain.routing import Requested, Routing


def route(path: str, api: str, *methods: str, host: str | None = None) -> Route:
    """One of a catalog's routes."""
    return Route(host=host, methods=frozenset(methods), path=path, api=api)


ROUTES = (
    route("/orders/**", "orders", "GET", "POST", host="api.example.com"),
    route("/reports/*/lines", "reports"),
    route("/v*/status", "status", "GET"),
    route("/exact", "exact"),
    route("/deep/**/leaf", "leaf"),
    route("/café/**", "café"),
    route("/orders/**", "orders-elsewhere", host="other.example.com:8443"),
    route("/**", "cheap", host="api.example.com"),
    route("/**", "elsewhere", host="other.example.com"),
)


def api_of(path: str, method: str = "GET", host: str | None = "api.example.com") -> str | None:
    """The API by `ROUTES`."""
    return Routing(ROUTES).api_of(Requested(method=method, host=host, path=path))


@pytest.mark.parametrize(
    ("path", "api"),
    [
        ("/orders", "orders"),
        ("/orders/", "orders"),
        ("/orders/7/lines", "orders"),
        ("/ordersandmore", "cheap"),
        ("/reports/7/lines", "reports"),
        ("/reports//lines", None),
        ("/reports/7/8/lines", "cheap"),
        ("/reports/a%2Fb/lines", None),
        ("/v2/status", "status"),
        ("/v/status", "status"),
        ("/exact/", "exact"),
        ("/exact/more", "cheap"),
        ("/deep/leaf", "leaf"),
        ("/deep/a/b/leaf", "leaf"),
        ("/deep/a/b/leaf/c", "cheap"),
        ("/caf%C3%A9/x", "café"),
        ("/", "cheap"),
    ],
)
def test_the_first_route_that_matches_counts(path: str, api: str | None) -> None:
    """`*` is within a segment, `**` any number of them; a slash at the end means nothing."""
    assert api_of(path) == api


@pytest.mark.parametrize(
    "path",
    [
        "/x/../orders/7",
        "/x/%2e%2e/orders/7",
        "//orders/7",
        "/./orders/7",
        "/ORDERS/7",
        "/Orders",
        "/orders;x/7",
        "/x/..;/orders",
        "/orders%2F..%2Fx",
        "/orders%20/7",
        "/orders./7",
        "/%EF%BC%8Forders",
        "/%6F%52ders",
        "/orders%3Fx=/..",
        "http://api.example.com/x",
        "/\\orders",
        "/x%5C..%5Corders",
        "/%256Frders",
    ],
)
def test_what_another_server_may_read_as_a_dearer_api_is_for_none(path: str) -> None:
    """Each reaches `/**` as it is written, and `/orders` or nobody knows what as some server reads it."""
    assert api_of(path) is None


@pytest.mark.parametrize(
    "path",
    ["/orders//7", "/orders/./7", "/orders/a/../7", "/%6Frders/7", "/orders/a%2Fb", "/orders/AbC", "/orders/a;v=1"],
)
def test_what_is_the_same_api_in_every_reading_is_for_that_one(path: str) -> None:
    """A path that is odd and can be read in several ways is no attack for that."""
    assert api_of(path) == "orders"


@pytest.mark.parametrize(
    ("method", "api"),
    [("GET", "orders"), ("POST", "orders"), ("HEAD", "orders"), ("DELETE", "cheap"), ("OPTIONS", "cheap")],
)
def test_methods(method: str, api: str) -> None:
    """HEAD goes with GET; a route without methods takes all."""
    assert api_of("/orders/7", method) == api


@pytest.mark.parametrize(
    ("host", "api"),
    [
        ("API.Example.COM", "orders"),
        ("api.example.com:8080", "orders"),
        ("api.example.com.", "orders"),
        ("other.example.com:8443", "orders-elsewhere"),
        ("other.example.com:443", "elsewhere"),
        ("other.example.com", None),
        ("third.example.com", None),
        ("[::1]:80", None),
        (None, None),
        ("", None),
        ("api.example.com@evil.example", None),
        ("api.example.com,other.example.com:8443", None),
        ("api.example.com:port", None),
    ],
)
def test_hosts(host: str | None, api: str | None) -> None:
    """Whatever the case, the port (unless the route has one) and a dot at the end; what is no host is for no API."""
    assert api_of("/orders/7", host=host) == api


def test_without_a_host_routes_of_any_host_count_until_one_of_some_host_could() -> None:
    """`/exact` is the same everywhere; of `/orders` nobody can tell."""
    assert (api_of("/exact", host=None), api_of("/orders", host=None)) == ("exact", None)


SEGMENT = st.sampled_from(["orders", "Orders", "a", "ab", "", ".", "..", "a;b", "a%2Fb", "%6Frders", "b.", "%61"])
PATH = st.lists(SEGMENT, max_size=5).map(lambda segments: "/" + "/".join(segments))
PATTERN = st.lists(st.sampled_from(["orders", "Orders", "a", "*", "**", "a*", "*b", "*a*"]), max_size=4).map(
    lambda segments: "/" + "/".join(segments)
)


def naive_segment(text: str, pattern: str) -> bool:
    """`*` as the definition has it, by trying everything."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(naive_segment(text[cut:], pattern[1:]) for cut in range(len(text) + 1))
    return text[:1] == pattern[0] and naive_segment(text[1:], pattern[1:])


def naive_path(segments: list[str], pattern: list[str]) -> bool:
    """`**` likewise."""
    if not pattern:
        return not segments
    if pattern[0] == "**":
        return any(naive_path(segments[cut:], pattern[1:]) for cut in range(len(segments) + 1))
    return bool(segments) and naive_segment(segments[0], pattern[0]) and naive_path(segments[1:], pattern[1:])


def naive(patterns: list[str], path: str) -> int | None:
    """The first pattern that a path, taken for what it is, matches."""
    segments = (path[:-1] if path.endswith("/") else path).split("/")[1:]
    for number, pattern in enumerate(patterns):
        if naive_path(segments, (pattern[:-1] if pattern.endswith("/") else pattern).split("/")[1:]):
            return number
    return None


@given(st.lists(PATTERN, min_size=1, max_size=4), PATH)
def test_routing_is_the_naive_definition_in_every_reading_and_case(patterns: list[str], path: str) -> None:
    """An API is found if and only if every reading, as written and in small letters, has that one by the definition."""
    routing = Routing([route(pattern, str(number)) for number, pattern in enumerate(patterns)])
    lower = [pattern.lower() for pattern in patterns]
    found = {naive(patterns, read) for read in readings(path)} | {naive(lower, read.lower()) for read in readings(path)}
    expected = found.pop() if len(found) == 1 else None

    asked = Requested(method="GET", host=None, path=path)
    assert routing.api_of(asked) == (None if expected is None else str(expected))


def test_it_takes_no_longer_for_paths_made_to_take_long() -> None:
    """Many `**` and `*` against a long path that nearly matches: a regular expression would go on for years."""
    routing = Routing([route("/**/a/**/a/**/a/**/a/**/b", "x"), route("/*a*a*a*a*a*b", "y")])

    assert routing.api_of(Requested(method="GET", host=None, path="/a" * 4_000)) is None
    assert routing.api_of(Requested(method="GET", host=None, path="/" + "a" * 8_000)) is None


def test_a_route_whose_path_is_no_text_matches_nothing_and_harms_no_other() -> None:
    """A catalog in the log may have one, of a version that did not refuse it."""
    routing = Routing((route("/caf%E9/**", "café"), route("/orders/**", "orders")))

    assert [routing.api_of(Requested(method="GET", host=None, path=path)) for path in ("/caf%E9/1", "/orders/1")] == [
        None,
        "orders",
    ]
