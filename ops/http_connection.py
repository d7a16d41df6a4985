"""
A connection of the HTTP server: exchanges one after the other, their answers in the order of requests. Edge: HTTP.

What is no HTTP is refused in its turn, after the answers to what came before it. No client is waited for without an
end: but for the time that the application takes, each state of a connection has a deadline, kept by the server's tick.

Long because what a connection does follows from one state, and its deadline too.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from http import HTTPStatus
from typing import Any

from ops.http_answer import Refused, whole
from ops.http_exchange import Exchange, Whole
from ops.http_parser import RequestParser
from ops.http_state import ServerState

log = logging.getLogger(__name__)


class Connection(asyncio.Protocol):
    """
    One client. Of its exchanges one is *current*, later ones are *waiting*; *receiving* is the last that has begun.

    *is_deaf*: what still comes is thrown away. *is_over*: nothing more is answered either.
    """

    __slots__ = (
        *("_current", "_deadline", "_is_deaf", "_is_over", "_parser", "_reads", "_receiving", "_state", "_transport"),
        *("_waiting", "_writable"),
    )

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self._current: Exchange | None = None
        self._receiving: Exchange | None = None
        self._waiting: deque[Exchange | Refused] = deque()
        self._is_deaf = self._is_over = False
        self._reads = True
        self._writable: asyncio.Event | None = None  # there while the client reads too slowly to be sent more
        self._deadline: float | None = None

    # asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client, server = (transport.get_extra_info(name) for name in ("peername", "sockname"))
        self._parser = RequestParser(
            self,
            head_bytes=self._state.limits.head_bytes,
            client=client and client[:2],  # None where it has gone already
            server=server and server[:2],
        )
        self._state.connections.add(self)
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # as asyncio calls it
        self._state.connections.discard(self)
        self._is_deaf = self._is_over = True
        self._waiting.clear()
        self._parser.close()
        if self._current is not None:
            self._current.is_lost()
        if self._writable is not None:
            self._writable.set()

    def data_received(self, data: bytes) -> None:
        if not self._is_deaf:
            try:
                self._parser.feed(data)
            except Refused as refusal:
                self._refuse(refusal)

    def eof_received(self) -> None:
        """The transport closes the connection: a client that sends no more has gone, as far as can be told."""

    def pause_writing(self) -> None:
        self._writable = asyncio.Event()
        self._set_deadline()

    def resume_writing(self) -> None:
        if self._writable is not None:
            self._writable.set()
            self._writable = None
        self._go_on()

    # What the parser reads

    def head_begins(self) -> None:
        self._set_deadline()

    def request_comes(self, scope: dict[str, Any], *, keeps: bool, expects: bool) -> None:
        if self._is_over:  # what came before it in the same bytes was answered at once, and closed the connection
            self._receiving = None
            return
        if len(self._waiting) >= self._state.limits.waiting:
            raise Refused(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests at once: wait for answers in between.")
        self._receiving = exchange = Exchange(self, scope, keeps=keeps, expects=expects)
        if self._current is None and self._writable is None and _has_body(scope):
            self._begin(exchange)
        else:  # one without a body is whole in a moment, and begun then if it is its turn
            self._waiting.append(exchange)

    def body_comes(self, data: bytes) -> None:
        if self._receiving is not None:
            self._receiving.comes(data)
            self._regulate()

    def body_ends(self) -> None:
        if self._receiving is not None:
            self._receiving.ends()
            self._go_on()

    # An exchange's line

    def date(self) -> bytes:
        return self._state.date

    def stops(self) -> bool:
        return self._state.stops

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def read_on(self) -> None:
        if not self._reads:
            self._regulate()

    async def writable(self) -> None:
        if self._writable is not None:
            await self._writable.wait()

    def answered(self, *, closes: bool) -> None:
        self._current = None
        if closes:
            self._end()
        else:
            self._go_on()

    def ended(self, task: asyncio.Task[None]) -> None:
        self._state.tasks.discard(task)

    # What the server has all connections do

    def tick(self, now: float) -> None:
        """Enforce the deadline."""
        if self._deadline is None or now < self._deadline:
            return
        if self._current is not None and self._writable is None:
            if self._current.waits:
                self._refuse_as_late("body", self._state.limits.body_seconds)
            else:  # it is the application that takes its time
                self._set_deadline()
        elif self._parser.in_head and self._writable is None and not self._is_over:
            self._refuse_as_late("head", self._state.limits.head_seconds)
        else:
            self._transport.abort()

    def stop(self) -> None:
        """Begin nothing more, and close the connection once what has begun is answered."""
        if self._current is None and not self._parser.in_head and not self._is_over:
            self._end()

    def abort(self) -> None:
        """Close the connection at once."""
        self._transport.abort()

    # Going on

    def _begin(self, exchange: Exchange) -> None:
        self._current = exchange
        state = self._state
        if exchange.is_whole and (answer := self._at_once(exchange)) is not None:
            exchange.answer(answer)
            return
        self._set_deadline()
        task = state.loop.create_task(state.app(exchange.scope, exchange.receive, exchange.send))
        state.tasks.add(task)
        task.add_done_callback(exchange.ended)

    def _at_once(self, exchange: Exchange) -> Whole | None:
        try:
            return self._state.at_once(exchange.scope)
        except Exception as fault:
            _log_fault(fault)  # the application is asked next, and answers for itself
            return None

    def _go_on(self) -> None:
        """Begin what waits, if it is its turn."""
        if self._waiting and self._current is None and self._writable is None:
            upcoming = self._waiting.popleft()
            if isinstance(upcoming, Refused):
                log.info("refused", extra={"status": int(upcoming.status), "detail": str(upcoming)})
                self._state.refused(int(upcoming.status))
                self._transport.write(whole(upcoming.status, str(upcoming), self._state.date))
                self._end(is_mid_request=True)
                return
            self._begin(upcoming)
        self._regulate()
        self._set_deadline()

    def _refuse(self, refusal: Refused) -> None:
        """Read nothing from here on, and answer with *refusal* in its turn, if the connection is not over before it."""
        self._is_deaf = True
        if self._is_over:
            return
        broken_off = self._receiving
        if broken_off is not None and not broken_off.is_whole:
            broken_off.is_lost()
            if broken_off.answered or broken_off.has_begun:
                self._transport.abort()
                return
            if broken_off is self._current:
                self._current = None
            else:
                self._waiting.pop()
        self._waiting.append(refusal)
        self._go_on()

    def _refuse_as_late(self, part: str, seconds: float) -> None:
        self._refuse(Refused(HTTPStatus.REQUEST_TIMEOUT, f"The {part} was not whole within {seconds:g} seconds."))

    def _end(self, *, is_mid_request: bool = False) -> None:
        """
        Close the connection behind the last answer.

        While the client is still sending, only our side is closed, and what comes is thrown away for a while: closing
        with bytes unread would reset the connection, and the client would never read why.
        """
        is_mid_request = is_mid_request or (self._receiving is not None and not self._receiving.is_whole)
        self._is_deaf = self._is_over = True
        self._waiting.clear()
        self._receiving = None
        if self._transport.is_closing():
            return
        if is_mid_request:
            self._transport.write_eof()
        else:
            self._transport.close()
        self._regulate()
        self._set_deadline()

    def _regulate(self) -> None:
        """Read no more while there is enough to do."""
        received = self._receiving
        reads = not self._waiting and (received is None or len(received.body) <= self._state.limits.body_bytes)
        if reads is not self._reads and not self._transport.is_closing():
            self._reads = reads
            (self._transport.resume_reading if reads else self._transport.pause_reading)()

    def _set_deadline(self) -> None:
        limits, now = self._state.limits, self._state.now
        if self._is_over:
            self._deadline = now + limits.linger_seconds
        elif self._writable is not None:
            self._deadline = now + limits.keep_alive_seconds
        elif self._current is not None:
            self._deadline = None if self._current.is_whole else now + limits.body_seconds
        elif self._parser.in_head:
            self._deadline = now + limits.head_seconds
        elif self._receiving is not None and not self._receiving.is_whole:
            self._deadline = now + limits.linger_seconds
        else:
            self._deadline = now + limits.keep_alive_seconds


def _has_body(scope: dict[str, Any]) -> bool:
    """Whether the head promises one."""
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )


def _log_fault(fault: Exception) -> None:
    log.error("a fault of the program: what is at hand could not be told", exc_info=fault)
