"""
`GET /v1/snapshot`: all customers' states, one a line, from one moment of the database. Edge: HTTP, Postgres.

Read and sent a piece at a time, so that its size costs no memory. A reader who is slow holds a session of the database
for as long: so few at once may, none for longer than `LONGEST_S`, and who pauses for 10 s is cut off by Postgres.
"""

from __future__ import annotations

import asyncio
import logging
import re
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from entitlements import feed
from entitlements.api.changes import integration_of
from entitlements.api.requests import read_query
from entitlements.api.snapshots import CannotDecide, CatalogMemory, Snapshot, Snapshots, once_more, reading
from entitlements.api.tokens import Token
from entitlements.exchange import WAIT_FIRST
from schemas.access_change import decode_access_change

log = logging.getLogger(__name__)

Found = TypeVar("Found")

STREAMS = 4
"""Snapshots that are sent at once; the engine needs as many connections."""

LONGEST_S = 120
STATES_AT_ONCE = 500
GZIP = 16 + zlib.MAX_WBITS

_MAY_GZIP = re.compile(r"(?:^|,)\s*(?:gzip|\*)\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[0-9.]+\s*)?(?:,|$)", re.IGNORECASE)

Pieces = Iterator[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """The few sessions from which snapshots are read; one for an application."""

    engine: Engine
    clock: Callable[[], datetime]
    catalogs: CatalogMemory
    threads: ThreadPoolExecutor
    free: asyncio.Semaphore


class _Reading:
    """One snapshot being read, in threads and a step at a time; it holds a session until its `end`."""

    def __init__(self, streams: Streams, token: Token, *, is_gzip: bool) -> None:
        self._streams = streams
        self._token = token
        self._is_gzip = is_gzip
        self._connection: Connection | None = None
        self._pieces: Pieces = iter(())
        self._under_way: Future[Any] | None = None
        self._is_ended = False

    async def begin(self) -> int:
        """The number up to which the snapshot holds everything."""
        return await self._in_a_thread(self._begin)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Its lines, packed if so asked; it ends with them."""
        try:
            while (piece := await self._in_a_thread(lambda: next(self._pieces, None))) is not None:
                yield piece
        finally:
            await self.end()

    async def end(self) -> None:
        """Give the session back, once what is under way in its thread is done; once, however often it is called."""
        if self._is_ended:
            return
        self._is_ended = True
        ending = asyncio.wrap_future(self._streams.threads.submit(self._end))
        ending.add_done_callback(lambda _: self._streams.free.release())  # though whoever waits for it is cancelled
        await asyncio.shield(ending)

    async def _in_a_thread(self, step: Callable[[], Found]) -> Found:
        future = self._streams.threads.submit(step)
        self._under_way = future
        return await asyncio.wrap_future(future)

    def _begin(self) -> int:
        return once_more(self._begun)

    def _begun(self) -> int:
        if self._connection is not None:  # its session had ended
            self._connection.close()
        self._connection = connection = self._streams.engine.connect()
        connection.begin()
        connection.exec_driver_sql(WAIT_FIRST)
        asked = Snapshot(connection=connection, now=self._streams.clock(), catalogs=self._streams.catalogs)
        head = feed.position(connection).head
        lines = _lines(asked, self._token, integration_of(asked, self._token))
        self._pieces = _packed(lines) if self._is_gzip else lines
        return head

    def _end(self) -> None:
        if self._under_way is not None:
            wait([self._under_way])
        if self._connection is not None:
            self._connection.close()


def streams(engine: Engine, clock: Callable[[], datetime]) -> Streams:
    """Streams of *engine*, for `STREAMS` readers at once."""
    return Streams(
        engine=reading(engine),
        clock=clock,
        catalogs=CatalogMemory(),
        threads=ThreadPoolExecutor(STREAMS, thread_name_prefix="snapshot"),
        free=asyncio.Semaphore(STREAMS),
    )


def snapshot(streams: Streams) -> Callable[[Request, Token, Snapshots], Awaitable[Any]]:
    """
    The page `GET /v1/snapshot`: with what `/v1/changes` tells behind its `Entitlement-Seq`, nothing is missing.

    304 where the reader has it already (`If-None-Match`).
    """

    async def answer(request: Request, token: Token, _: Snapshots) -> Any:
        read_query(request.scope["query_string"])
        if streams.free.locked():
            raise CannotDecide(f"{STREAMS} snapshots are being sent already.")
        await streams.free.acquire()
        is_gzip = bool(_MAY_GZIP.search(request.headers.get("accept-encoding", "")))
        reading = _Reading(streams, token, is_gzip=is_gzip)
        try:
            seq = await reading.begin()
        except BaseException as error:
            await reading.end()
            if isinstance(error, SQLAlchemyError):
                raise CannotDecide("The database can't be reached.") from error
            raise
        headers = {
            "ETag": f'"{seq}"',
            "Entitlement-Seq": str(seq),
            "Vary": "Authorization, Accept-Encoding",
            "Cache-Control": "no-cache",
        }
        if f'"{seq}"' in request.headers.get("if-none-match", ""):
            await reading.end()
            return Response(status_code=304, headers=headers)
        if is_gzip:
            headers["Content-Encoding"] = "gzip"
        response = StreamingResponse(reading.pieces(), media_type="application/x-ndjson", headers=headers)
        return _in_time(response, reading)

    return answer


def _in_time(response: Response, reading: _Reading) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    async def sent(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(LONGEST_S):
                await response(scope, receive, send)
        except TimeoutError:  # the server breaks off an answer that is not whole
            log.warning("a snapshot was not read within %g s, and is broken off", LONGEST_S)
        finally:
            await reading.end()  # who was being sent to is not told of it before the collector comes by

    return sent


def _packed(lines: Iterator[bytes]) -> Iterator[bytes]:
    packing = zlib.compressobj(wbits=GZIP)
    for each in lines:
        yield packing.compress(each)
    yield packing.flush()


def _lines(asked: Snapshot, token: Token, integration: str | None) -> Iterator[bytes]:
    for states in feed.all_states(asked.connection, integration=integration, at_once=STATES_AT_ONCE):
        if token.marketplace is None:
            yield "".join(f"{state}\n" for state in states).encode()
        else:
            seen = (decode_access_change(state).seen_by(token.marketplace) for state in states)
            yield b"".join(msgspec.json.encode(each) + b"\n" for each in seen)
