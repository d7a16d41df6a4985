"""
However a connection's bytes are cut, the same requests are read and the same answers given.

Long because what is answered at once is tried on the same requests.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import MutableMapping
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ops.http_answer import Refused
from ops.http_connection import Connection
from ops.http_exchange import AtOnce, Whole
from ops.http_parser import RequestParser
from ops.http_state import Limits, ServerState, not_at_hand
from tests.echoing import Echo
from tests.serving import request

LIMITS = Limits(body_bytes=40)
CHUNKS = b"3\r\nabc\r\n10;x=y\r\n0123456789abcdef\r\n0\r\nX-Trailer: t\r\n\r\n"
OFFER = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c")

REQUESTS = [
    request("/plain?q=1", "X-Some: thing"),
    request("/body", method="POST", body=b"x" * 100),
    request("/chunks", "Transfer-Encoding: chunked", method="POST") + CHUNKS,
    request("/unread", method="POST", body=b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"),
    request("/lengthless", method="HEAD"),
    request("/offer", *OFFER, method="POST", body=b"hello"),
    request("/expecting", method="POST", body=b"hello").replace(b"Host", b"Expect: 100-continue\r\nHost"),
    b"\r\n" + request("/fault"),
]
LAST = [
    request("/last", "Connection: close") + request("/smuggled"),
    request("/old", version="1.0") + request("/smuggled"),
    request("/", "Content-Length: 1", method="POST", body=b"hello") + request("/smuggled"),
    request("/", "Transfer-Encoding: chunked", method="POST") + b"3\r\nabcX" + request("/smuggled"),
    request("/", "Transfer-Encoding: gzip", method="POST") + request("/smuggled"),
    request("/", "X: " + "y" * 70_000) + request("/smuggled"),
    b"nonsense\r\n\r\n",
]


class Wire:
    """A transport in memory: what is written stays here."""

    def __init__(self) -> None:
        self.written = b""
        self.is_closed = False
        self.reads = True

    def get_extra_info(self, name: str) -> Any:
        return self if name == "socket" else ("127.0.0.1", 1)

    def setsockopt(self, *_: int) -> None:
        pass

    def write(self, data: bytes) -> None:
        assert not self.is_closed, "written after the end"
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    write_eof = abort = close

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


async def answers(pieces: list[bytes], *, turns: int = 0, at_once: AtOnce = not_at_hand) -> list[tuple[int, bytes]]:
    """Status and body of what is answered to a connection that sends *pieces*, with so many turns in between."""
    wire = Wire()
    state = ServerState(Echo(), LIMITS, asyncio.get_running_loop(), at_once=at_once)
    connection = Connection(state)
    connection.connection_made(wire)
    for piece in pieces:
        for _ in range(1_000):
            if wire.reads:
                break
            await asyncio.sleep(0)
        assert wire.reads, "it reads no more"
        connection.data_received(piece)
        for _ in range(turns):
            await asyncio.sleep(0)
    while state.tasks:
        await asyncio.sleep(0)
    connection.connection_lost(None)
    without_interim = wire.written.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    found = re.findall(rb"HTTP/1\.1 (\d+) [^\n]*\n(?:[^\r\n]+\r\n)*\r\n((?:(?!HTTP/1\.1 \d).)*)", without_interim, re.S)
    return [(int(status), body) for status, body in found]


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """The pieces between these places, in order."""
    places = sorted({place % (len(data) + 1) for place in at})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True) if start < end]


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(REQUESTS), max_size=6),
    st.sampled_from(LAST),
    st.lists(st.integers(min_value=0, max_value=100_000), max_size=12),
    st.integers(min_value=0, max_value=5),
)
@example([REQUESTS[5]], LAST[4], [], 0)
def test_the_cut_does_not_matter(requests: list[bytes], last: bytes, at: list[int], turns: int) -> None:
    """Request by request, all at once or in any pieces: the same answers, and nothing smuggled."""
    one_by_one = asyncio.run(answers([*requests, last], turns=20))
    in_pieces = asyncio.run(answers(cut(b"".join(requests) + last, at), turns=turns))

    assert in_pieces == one_by_one
    assert len(one_by_one) <= len(requests) + 1
    assert not any(b'"/smuggled"' in body for _, body in one_by_one)


@pytest.mark.parametrize("number", range(len(REQUESTS)))
def test_byte_by_byte(number: int) -> None:
    """Each kind of request is answered once, as in one piece."""
    sent = REQUESTS[number]

    assert asyncio.run(answers([bytes([byte]) for byte in sent])) == asyncio.run(answers([sent]))


def test_no_more_is_read_while_a_request_waits() -> None:
    """The client is held up by the system's buffers, not by our memory, until its turn comes."""

    async def reads() -> list[bool]:
        wire, app = Wire(), Echo()
        state = ServerState(app, LIMITS, asyncio.get_running_loop())
        connection = Connection(state)
        connection.connection_made(wire)
        found = []
        for sent in (request("/held"), request("/waits")):
            connection.data_received(sent)
            found.append(wire.reads)
        app.goes_on.set()
        while state.tasks:
            await asyncio.sleep(0)
        return [*found, wire.reads]

    assert asyncio.run(reads()) == [True, False, True]


class Nothing:
    """Who reads nothing of what the parser tells."""

    def head_begins(self) -> None: ...
    def request_comes(self, scope: dict[str, Any], *, keeps: bool, expects: bool) -> None: ...
    def body_comes(self, data: bytes) -> None: ...
    def body_ends(self) -> None: ...


@given(st.lists(st.one_of(st.binary(), st.sampled_from([*REQUESTS, b"\r\n", b"GET ", b" HTTP/1.1\r\n"])), max_size=8))
def test_no_bytes_break_the_parser(pieces: list[bytes]) -> None:
    """Whatever comes is read, or refused with a status from 400 on."""
    parser = RequestParser(Nothing(), head_bytes=200, client=("127.0.0.1", 1), server=("127.0.0.1", 2))
    statuses = []
    for piece in pieces:
        try:
            parser.feed(piece)
        except Refused as refusal:
            statuses.append(refusal.status)
            break

    assert all(status >= 400 for status in statuses)


AT_HAND = (b"/plain", b"/lengthless")


def at_hand(scope: MutableMapping[str, Any]) -> Whole | None:
    """What is answered at once, for a path that says so."""
    answer = 200, ((b"content-type", b"text/plain"),), b"at hand"
    return answer if scope["path"].encode() in AT_HAND else None


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(REQUESTS), max_size=6),
    st.sampled_from(LAST),
    st.lists(st.integers(min_value=0, max_value=100_000), max_size=12),
    st.integers(min_value=0, max_value=5),
)
def test_what_is_at_hand_is_answered_in_its_turn(requests: list[bytes], last: bytes, at: list[int], turns: int) -> None:
    """Whatever was sent before it or waits behind it; what has a body is asked of the application."""
    sent = [*requests, last]
    by_the_application = asyncio.run(answers(sent, turns=20))
    found = asyncio.run(answers(cut(b"".join(sent), at), turns=turns, at_once=at_hand))

    expected = [
        (200, b"" if request.startswith(b"HEAD") else b"at hand") if _is_at_hand(request) else answer
        for request, answer in zip(requests, by_the_application, strict=False)
    ]
    assert found == [*expected, *by_the_application[len(requests) :]]


def _is_at_hand(request: bytes) -> bool:
    return request.split()[1].partition(b"?")[0] in AT_HAND


@pytest.mark.parametrize("closing", [request("/plain", "Connection: close"), request("/plain", version="1.0")])
def test_an_answer_at_once_that_closes_closes_at_once(closing: bytes) -> None:
    """Nothing is left to be read of its request, so nothing lingers; what follows in the same bytes is not answered."""

    async def closed() -> tuple[bool, int]:
        wire = Wire()
        state = ServerState(Echo(), LIMITS, asyncio.get_running_loop(), at_once=at_hand)
        connection = Connection(state)
        connection.connection_made(wire)
        connection.data_received(closing + request("/smuggled") + b"nonsense\r\n\r\n")
        return wire.is_closed, wire.written.count(b"at hand")

    assert asyncio.run(closed()) == (True, 1)


def test_a_server_that_stops_writes_nothing_behind_its_last_answer() -> None:
    """Though more requests, and what is none, came in the same bytes."""

    async def written() -> int:
        wire = Wire()
        state = ServerState(Echo(), LIMITS, asyncio.get_running_loop(), at_once=at_hand)
        connection = Connection(state)
        connection.connection_made(wire)
        state.stops = True
        connection.data_received(request("/plain") * 2 + b"nonsense\r\n\r\n")
        return wire.written.count(b"HTTP/1.1 ")

    assert asyncio.run(written()) == 1


def test_a_fault_of_what_is_at_hand_is_logged_and_the_application_asked(caplog: pytest.LogCaptureFixture) -> None:
    """Also of a request that has waited for its turn."""

    def failing(scope: MutableMapping[str, Any]) -> Whole | None:
        raise ValueError(scope["path"])

    sent = request("/body", method="POST", body=b"x") + request("/plain")

    found = asyncio.run(answers([sent], at_once=failing))

    assert found == asyncio.run(answers([sent]))
    assert [each.exc_text or str(each.exc_info) for each in caplog.records if each.exc_info] != []
