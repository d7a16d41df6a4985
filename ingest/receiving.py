"""
Bodies as they come in: what is refused by its form, how much is held at once, and for how long. Edge: HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus

from ingest.answers import Header, Receive, retry_after

MAX_BODY_BYTES = 1024 * 1024
TOO_LARGE = f"The body is larger than {MAX_BODY_BYTES} bytes, the most that is taken."
MOST_DIGITS = 18
"""Of a Content-Length; Python refuses to read thousands."""

BODY_SECONDS = 10.0
"""Longest wait for a body to arrive whole."""

MAX_RECEIVING_BYTES = 64 * 1024 * 1024
"""Held of all bodies that are not whole yet: anybody can send them, for a signature is over a whole body."""


class Refused(Exception):
    """A request that is refused for its form, by its headers or while its body is being read."""

    def __init__(self, status: HTTPStatus, detail: str, *headers: Header, body_was_read: bool = False) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers
        self.body_was_read = body_was_read


def check_form(method: str, headers: Mapping[bytes, bytes]) -> None:
    """Refuse what can be refused without reading the body."""
    if method != "POST":
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "Webhooks are delivered with POST.", (b"allow", b"POST"))
    media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if media_type != b"application/json":
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The Content-Type of a webhook is application/json.")
    length = headers.get(b"content-length", b"0")
    if not length.isdigit():  # of bytes: ASCII alone
        raise Refused(HTTPStatus.BAD_REQUEST, "The Content-Length is not a number.")
    if len(length) > MOST_DIGITS or int(length) > MAX_BODY_BYTES:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, TOO_LARGE)


class Receiving:
    """Takes bodies in, and counts what it holds of those that are not whole yet."""

    __slots__ = ("_bytes",)

    def __init__(self) -> None:
        self._bytes = 0

    async def whole_body(self, receive: Receive) -> bytes:
        """The body; raises `Refused` where it is too large, too slow, or one too many."""
        body = bytearray()  # not a list of chunks, which is many times its bytes where they come one by one
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":  # nobody is left to read this
                        detail = "The client went away before the body was whole."
                        raise Refused(HTTPStatus.BAD_REQUEST, detail, body_was_read=True)
                    body += message["body"]
                    self._bytes += len(message["body"])
                    is_whole = not message["more_body"]
                    if len(body) > MAX_BODY_BYTES:
                        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, TOO_LARGE, body_was_read=is_whole)
                    if is_whole:
                        return bytes(body)
                    if self._bytes > MAX_RECEIVING_BYTES:
                        detail = "Too much is being received."
                        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after(1))
        except TimeoutError:
            detail = f"The body was not whole within {BODY_SECONDS:.0f} seconds."
            raise Refused(HTTPStatus.REQUEST_TIMEOUT, detail) from None
        finally:
            self._bytes -= len(body)
