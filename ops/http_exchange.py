"""
One request and its answer, as the application sees them: ASGI's `receive` and `send`. Edge: HTTP.

What comes in waits here until the application asks for it. A whole answer goes out in one piece, head and body.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any, Protocol

from ops.http_answer import CONTINUE, Head, Header, chunk, head, whole

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Coroutine[Any, Any, None]]

Whole = tuple[int, Iterable[Header], bytes]
"""An answer: status, headers and body."""

AtOnce = Callable[[MutableMapping[str, Any]], Whole | None]
"""What an application answers to a request without a body, waiting for nothing; None: it is to be asked."""

FAULT = "This program has a fault; its log says which."


class Line(Protocol):
    """The connection, as far as an exchange needs it."""

    def date(self) -> bytes: ...
    def stops(self) -> bool: ...
    def write(self, data: bytes) -> None: ...
    def read_on(self) -> None: ...
    async def writable(self) -> None: ...
    def answered(self, *, closes: bool) -> None: ...
    def ended(self, task: asyncio.Task[None]) -> None: ...
    def abort(self) -> None: ...


class Exchange:
    """
    A request whose body may still be on its way, and the answer to it.

    *keeps*: its client would send another request on the connection. *expects*: it waits for `100 Continue` before it
    sends the body, which is sent once the application asks for the body.
    """

    __slots__ = (
        *("_expects", "_head", "_keeps", "_left", "_line", "_news", "_start", "_told_all"),
        *("answered", "body", "gone", "is_whole", "scope", "waits"),
    )

    def __init__(self, line: Line, scope: dict[str, Any], *, keeps: bool, expects: bool) -> None:
        self.scope = scope
        self.body: bytes | bytearray = b""
        """What has come in and the application has not been told yet."""
        self.is_whole = False
        self.gone = False
        """Nobody is there to be answered, or the body can't come to its end."""
        self.answered = False
        self.waits = False
        """The application waits for what comes next."""
        self._line = line
        self._keeps = keeps
        self._expects = expects
        self._told_all = False
        self._news: asyncio.Event | None = None
        self._start: Message | None = None
        self._head: Head | None = None
        self._left = 0

    @property
    def has_begun(self) -> bool:
        """Whether some of the answer has gone out."""
        return self._head is not None

    def comes(self, data: bytes) -> None:
        """Some of the body."""
        if self.answered:
            return  # nobody will ask for it
        if not self.body:
            self.body = data
        elif isinstance(self.body, bytearray):
            self.body += data
        else:
            self.body = bytearray(self.body) + data
        self._wake()

    def ends(self) -> None:
        """The body is whole."""
        self.is_whole = True
        self._expects = False
        self._wake()

    def is_lost(self) -> None:
        """The client has gone, or what it sends is no HTTP."""
        self.gone = True
        self._wake()

    async def receive(self) -> Message:
        """The next of the body; once it is whole, word that the client has gone or was answered."""
        while not (self.gone or self.answered):
            if self.body or (self.is_whole and not self._told_all):
                body, self.body = self.body, b""
                self._told_all = self.is_whole
                self._line.read_on()
                return {"type": "http.request", "body": bytes(body), "more_body": not self.is_whole}
            if self._expects and self._head is None:
                self._expects = False
                self._line.write(CONTINUE)
            if self._news is None:
                self._news = asyncio.Event()
            self._news.clear()
            self.waits = True
            await self._news.wait()
            self.waits = False
        return {"type": "http.disconnect"}

    def answer(self, answer: Whole) -> None:
        """Give a whole answer. Raises as `send` does."""
        status, headers, body = answer
        begun = self._begun(status, headers, len(body))
        self._left = begun.length or 0
        data = begun.data + self._piece(begun, body, more=False)
        self._head = begun
        self._line.write(data)
        self._is_answered(closes=begun.closes)

    async def send(self, message: Message) -> None:
        """Take the next of the answer. Raises `RuntimeError` and `ValueError` where the application has a fault."""
        if self.gone:
            return
        if message["type"] == "http.response.start" and self._start is None:
            self._start = message  # the head goes out with what follows
            return
        if message["type"] != "http.response.body" or self._start is None or self.answered:
            raise RuntimeError(f"{message['type']} does not come at this point of an answer")
        body, more = message.get("body", b""), message.get("more_body", False)
        begun = self._head
        if begun is None:
            start = self._start
            begun = self._begun(start["status"], start.get("headers", ()), None if more else len(body))
            self._left = begun.length or 0
            data = begun.data + self._piece(begun, body, more=more)
            self._head = begun  # only now: a fault up to here can still be answered with 500
        else:
            data = self._piece(begun, body, more=more)
        if data:
            self._line.write(data)
        if more:
            await self._line.writable()
        else:
            self._is_answered(closes=begun.closes)

    def ended(self, task: asyncio.Task[None]) -> None:
        """The application is done with it; to be called with its task, whose failure is logged here."""
        self._line.ended(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            what = f"{self.scope['method']} {self.scope['path']}"
            log.error("a fault of the program while it answered %s", what, exc_info=error)
        elif not (self.answered or self.gone or task.cancelled()):
            log.error("the application gave no whole answer to %s %s", self.scope["method"], self.scope["path"])
        if self.answered or self.gone:
            return
        if self._head is None:
            self._line.write(whole(HTTPStatus.INTERNAL_SERVER_ERROR, FAULT, self._line.date()))
            self._is_answered(closes=True)
        else:
            self._line.abort()

    def _begun(self, status: int, headers: Iterable[Header], size: int | None) -> Head:
        waits_for_continue = self._expects and not self.is_whole  # and might send the body yet, or another request
        return head(
            status,
            headers,
            self._line.date(),
            size=size,
            to_head=self.scope["method"] == "HEAD",
            to_http_1_0=self.scope["http_version"] == "1.0",
            closes=not self._keeps or waits_for_continue or self._line.stops(),
        )

    def _piece(self, begun: Head, body: bytes, *, more: bool) -> bytes:
        if begun.bodiless:
            return b""
        if begun.chunked:
            return chunk(body, is_last=not more)
        if begun.length is not None:
            self._left -= len(body)
            if self._left < 0 or (self._left > 0 and not more):
                raise RuntimeError("the body of the answer is not as long as its Content-Length says")
        return body

    def _is_answered(self, *, closes: bool) -> None:
        self.answered = True
        self.body = b""
        self._wake()
        self._line.answered(closes=closes)

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()
