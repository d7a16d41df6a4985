"""The original request, as a gateway's call says what it was (docs/gateways.md). Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from entitlements.api.credentials import Headers
from entitlements.domain.routing import Requested

CHECK = "/v1/check"
EXT_AUTHZ = "/v1/ext-authz"
FOLDED = "-403"

METHOD, HOST, URI = b"x-forwarded-method", b"x-forwarded-host", b"x-forwarded-uri"
OWN_HOST = b"host"
_METHOD = re.compile(rb"[A-Z][A-Z-]*")


def those_of(headers: Iterable[tuple[bytes, bytes]], wanted: Collection[bytes]) -> dict[bytes, bytes | None]:
    """The *wanted* headers of a request by name; None for one that stands there several times."""
    found: dict[bytes, bytes | None] = {}
    for name, value in headers:
        if name in wanted:
            found[name] = None if name in found else value
    return found


def forwarded(headers: Headers) -> Requested | None:
    """What `X-Forwarded-Method`, `-Host` and `-Uri` say; None where that is nothing, or nothing clear."""
    return _requested(headers.get(METHOD, b""), headers.get(HOST, b""), headers.get(URI, b""))


def in_request_line(method: str, path: bytes, headers: Headers) -> Requested | None:
    """What the request line says, of whose *path* the mount is cut off, and `Host`."""
    return _requested(method.encode(), headers.get(OWN_HOST, b""), path)


def _requested(method: bytes | None, host: bytes | None, uri: bytes | None) -> Requested | None:
    """
    A header that was there twice (None) leaves everything unclear; so does what is not ASCII, and a method in small
    letters, which some servers take for the one in capitals.
    """
    if method is None or host is None or uri is None or not _METHOD.fullmatch(method):
        return None
    path = uri.partition(b"?")[0]
    if not (host.isascii() and path.isascii()):
        return None
    return Requested(method=method.decode(), host=host.decode() or None, path=path.decode())
