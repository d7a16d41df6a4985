"""
Bodies as they come in: what is refused by its form, and how much is held at once. Edge: HTTP.

How long one may take is the server's to say (`ops.http_state.Limits`): a timeout around each costs more than that.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from ingest.answers import Header, Receive, retry_after

MAX_BODY_BYTES = 1024 * 1024
TOO_LARGE = f"The body is larger than {MAX_BODY_BYTES} bytes, the most that is taken."
MOST_DIGITS = 18
"""Of a Content-Length; Python refuses to read thousands."""

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
        """The body; raises `Refused` where it is too large, is one too many, or does not come to its end."""
        body = bytearray()  # not a list of chunks, which is many times its bytes where they come one by one
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":  # nobody is left to read this
                    detail = "The client went away, or was let go of, before the body was whole."
                    raise Refused(HTTPStatus.REQUEST_TIMEOUT, detail, body_was_read=True)
                body += message["body"]
                self._bytes += len(message["body"])
                is_whole = not message["more_body"]
                if len(body) > MAX_BODY_BYTES:
                    raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, TOO_LARGE, body_was_read=is_whole)
                if is_whole:
                    return bytes(body)
                if self._bytes > MAX_RECEIVING_BYTES:
                    raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "Too much is being received.", retry_after(1))
        finally:
            self._bytes -= len(body)
