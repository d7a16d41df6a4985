"""Answers of HTTP/1.1 as bytes: heads, how bodies are delimited, refusals of what is no HTTP. Edge: HTTP."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus

Header = tuple[bytes, bytes]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
OURS = frozenset({b"content-length", b"connection", b"date", b"transfer-encoding"})
"""What is about the message and the connection: the server says it, also where the application does."""

KEPT = 2048
"""Of how many answers that are given again the headers are kept as they are written; some kilobytes each."""

BODILESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})

_STATUS_LINES = {int(status): f"HTTP/1.1 {status} {status.phrase}\r\n".encode() for status in HTTPStatus}


class Refused(Exception):
    """Bytes that no application could answer. The text is for the client: what is wrong, never what was sent."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """
    A head as it goes out, and what may follow it: *length* bytes, chunks, or all until the connection's end.

    *bodiless*: no body follows, whatever the length says. *closes*: no other answer follows on the connection.
    """

    data: bytes
    length: int | None
    chunked: bool
    bodiless: bool
    closes: bool


def head(
    status: int,
    headers: Iterable[Header],
    date: bytes,
    *,
    size: int | None,
    to_head: bool = False,
    to_http_1_0: bool = False,
    closes: bool = False,
) -> Head:
    """
    The head of an answer with *headers* (names in lower case) and the line *date*; *to_head*: HEAD asked for it.

    *size* is that of the whole body where it is known, else None: then it comes in chunks, unless `content-length` is
    among the headers, and lasts until the connection's end for who speaks HTTP/1.0 (RFC 9112, section 6.3). Raises
    `ValueError` where a header would break its line.

    Headers that are given as a tuple will be given again: how they are written is kept.
    """
    written, stated_length, wants_to_close = _kept(headers) if isinstance(headers, tuple) else _written(headers)
    length = size if stated_length is None else stated_length
    closes = closes or wants_to_close
    has_no_length = status in BODILESS
    bodiless = has_no_length or to_head
    chunked = length is None and not bodiless and not to_http_1_0
    closes = closes or (length is None and not bodiless and not chunked)
    framing = b""
    if length is not None and not has_no_length:
        framing = b"content-length: %d\r\n" % length
    elif chunked:
        framing = b"transfer-encoding: chunked\r\n"
    data = b"%b%b%b%b%b\r\n" % (
        _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status,
        date,
        written,
        framing,
        b"connection: close\r\n" if closes else b"",
    )
    return Head(data=data, length=length, chunked=chunked, bodiless=bodiless, closes=closes)


def _written(headers: Iterable[Header]) -> tuple[bytes, int | None, bool]:
    """The application's headers as lines, the length that they state, and whether they want the connection closed."""
    lines, length, closes = [], None, False
    for name, value in headers:
        if name not in OURS:
            lines.append(b"%b: %b\r\n" % (name, value))
        elif name == b"content-length":
            length = int(value)
        elif name == b"connection":
            closes = closes or b"close" in value.lower()
    written = b"".join(lines)
    if not written.count(b"\n") == written.count(b"\r") == len(lines):
        raise ValueError("a header of the answer holds a line break")
    return written, length, closes


_kept = lru_cache(KEPT)(_written)


def chunk(body: bytes, *, is_last: bool) -> bytes:
    """A piece of a body that comes in chunks; an empty one would end it."""
    return (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"0\r\n\r\n" if is_last else b"")


def whole(status: HTTPStatus, text: str, date: bytes) -> bytes:
    """An answer of the server's own, in words; the connection is closed after it."""
    body = text.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    return head(status, headers, date, size=len(body), closes=True).data + body
