"""Heads of HTTP/1.1 requests as an application is told them (ASGI), and which are refused. Edge: HTTP."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from ops.http_answer import Header, Refused

ASGI = {"version": "3.0", "spec_version": "2.3"}
"""The same for every request; an application that wrote into it would write into all."""

Place = tuple[str, int | None]
"""An address and a port."""


def scope_of(
    method: str,
    target: bytes,
    version: str,
    headers: Sequence[Header],
    *,
    client: Place | None,
    server: Place | None,
) -> dict[str, Any]:
    """
    The ASGI scope of a request, headers with names in lower case.

    *target* is as it stood in the request line: a path, `*`, or a whole URL as proxies are sent it. Raises `Refused`
    for what the parser lets pass: versions and methods that are not served, what leaves open where a body ends, and,
    in HTTP/1.1, not exactly one Host (RFC 9112, section 3.2).
    """
    if version not in ("1.1", "1.0"):
        raise Refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    if method == "CONNECT":
        raise Refused(HTTPStatus.NOT_IMPLEMENTED, "This is no proxy: CONNECT is not served.")
    _check(headers, version)
    path, query = _parts(target)
    return {
        "type": "http",
        "asgi": ASGI,
        "http_version": version,
        "method": method,
        "scheme": "http",
        "path": unquote(path) if "%" in path else path,
        "raw_path": path.encode(),
        "query_string": query,
        "root_path": "",
        "headers": headers,
        "client": client,
        "server": server,
    }


def without_upgrade(method: str, target: bytes, version: str, headers: Iterable[Header]) -> bytes:
    """The same head from a client that offers no other protocol: none is taken up here."""
    lines = [b"%b %b HTTP/%b\r\n" % (method.encode(), target, version.encode())]
    for name, value in headers:
        if name == b"connection":
            options = [each for each in value.lower().replace(b" ", b"").split(b",") if each != b"upgrade"]
            value = b", ".join(options)
        if name != b"upgrade":
            lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join(lines) + b"\r\n"


def _check(headers: Iterable[Header], version: str) -> None:
    hosts = 0
    for name, value in headers:
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding":
            if version == "1.0":
                raise Refused(HTTPStatus.BAD_REQUEST, "HTTP/1.0 has no Transfer-Encoding: send Content-Length.")
            if value.strip().lower() != b"chunked":
                raise Refused(HTTPStatus.NOT_IMPLEMENTED, "Of transfer encodings only chunked is known here.")
    if hosts != 1 and (hosts > 1 or version == "1.1"):
        raise Refused(HTTPStatus.BAD_REQUEST, f"A request has one Host header; this one has {hosts}.")


def _parts(target: bytes) -> tuple[str, bytes]:
    """Path, still encoded, and query string. The parser has seen to it that they are printable ASCII."""
    if not target.startswith((b"/", b"*")):  # a whole URL: what follows its scheme and host
        _, _, rest = target.partition(b"://")
        target = rest[min(found) :] if (found := [rest.find(c) for c in (b"/", b"?", b"#") if c in rest]) else b""
    path, _, query = target.partition(b"?")  # a # in the path stays: who reads it has to refuse it
    return path.decode("ascii") or "/", query.partition(b"#")[0]
