"""
Bytes of a connection to requests of HTTP/1.1, one after the other, by llhttp (httptools). Edge: HTTP.

llhttp is strict: of a request that two readers could understand in two ways (two lengths, bare line feeds, folded
headers) it takes none. What it lets pass all the same is refused in `http_request`, and how large a head may be here.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Protocol

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from ops.http_answer import Header, Refused
from ops.http_request import Place, scope_of, without_upgrade


class Reader(Protocol):
    """Who is told what was read. Each may raise `Refused`."""

    def head_begins(self) -> None: ...
    def request_comes(self, scope: dict[str, Any], *, keeps: bool, expects: bool) -> None: ...
    def body_comes(self, data: bytes) -> None: ...
    def body_ends(self) -> None: ...


class RequestParser:
    """
    Tells *reader* what it is fed with. *head_bytes* is the most that request line and headers may have.

    Of a request it tells the ASGI scope, whether its client keeps the connection for another one, and whether it
    expects `100 Continue` before it sends the body.
    """

    __slots__ = (
        *("_expects", "_fed", "_head_bytes", "_headers", "_keeps", "_llhttp", "_method", "_most", "_offers_upgrade"),
        *("_peers", "_reader", "_target", "_version", "in_head", "is_done"),
    )

    def __init__(self, reader: Reader, *, head_bytes: int, client: Place | None, server: Place | None) -> None:
        self.in_head = False
        self.is_done = False
        """The last request of the connection is whole, as its client said: what follows is thrown away."""
        self._reader = reader
        self._most = head_bytes
        self._peers = client, server
        self._llhttp = HttpRequestParser(self)
        self._headers: list[Header] = []
        self._target = b""
        self._head_bytes = self._fed = 0
        self._expects = self._offers_upgrade = False

    def feed(self, data: bytes) -> None:
        """Read on. Raises `Refused`; then nothing more can be read."""
        if self.is_done:
            return
        self._fed += len(data)
        rest = b""
        try:
            self._llhttp.feed_data(data)
        except HttpParserUpgrade as offer:
            rest = data[offer.args[0] :]
        except HttpParserCallbackError as error:
            raise (error.__context__ or error) from None
        except HttpParserError as error:
            if not self.is_done:
                raise Refused(HTTPStatus.BAD_REQUEST, f"This is no request of HTTP/1.1: {error}.") from None
        if self._offers_upgrade:  # which nobody takes up: the request is read as if without it
            self._offers_upgrade = False
            self._llhttp = HttpRequestParser(self)
            self.feed(without_upgrade(self._method, self._target, self._version, self._headers))
            self.feed(rest)
        elif (
            self._fed > self._most and not self.is_done
        ):  # in a header, a chunk's extension or a trailer that has no end
            raise self._too_large()

    def close(self) -> None:
        """Let go of llhttp, which holds this object."""
        self.is_done = True
        del self._llhttp

    # What llhttp calls; an exception stops it.

    def on_message_begin(self) -> None:
        self.in_head = True
        self._head_bytes = self._fed = 0
        self._target = b""
        self._headers = []
        self._expects = False
        self._reader.head_begins()

    def on_url(self, data: bytes) -> None:
        self._target += data
        self._count(len(data))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + len(b": \r\n"))
        if self.in_head:  # else a trailer, after a body in chunks: nobody asks for those
            name = name.lower()
            self._headers.append((name, value))
            if name == b"expect":
                self._expects = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        llhttp = self._llhttp
        self.in_head = False
        method, version = llhttp.get_method().decode(), llhttp.get_http_version()
        client, server = self._peers
        scope = scope_of(method, self._target, version, self._headers, client=client, server=server)
        self._offers_upgrade = llhttp.should_upgrade()
        if self._offers_upgrade:
            self._method, self._version = method, version
            return
        is_1_1 = version == "1.1"
        self._keeps = is_1_1 and llhttp.should_keep_alive()
        self._reader.request_comes(scope, keeps=self._keeps, expects=is_1_1 and self._expects)

    def on_body(self, data: bytes) -> None:
        self._fed = 0
        self._reader.body_comes(data)

    def on_message_complete(self) -> None:
        self._fed = 0
        if not self._offers_upgrade:
            self.is_done = not self._keeps
            self._reader.body_ends()

    def _count(self, more: int) -> None:
        self._head_bytes += more
        if self._head_bytes > self._most:
            raise self._too_large()

    def _too_large(self) -> Refused:
        detail = f"Request line and headers are larger than {self._most} bytes together, the most that is taken."
        return Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)
