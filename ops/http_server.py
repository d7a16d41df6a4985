"""
An HTTP/1.1 server for ASGI applications on uvloop: starts, listens, and ends in order. Edge: HTTP.

Written rather than taken: an answer goes out in one write, what a connection waits for costs no timer of its own, and a
request costs about half of uvicorn's processor time (docs/benchmarks.md). No TLS, no WebSocket, no HTTP/2: a proxy's.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import uvloop

from ops.http_connection import Connection
from ops.http_exchange import App, AtOnce, Message
from ops.http_state import Limits, ServerState, not_at_hand, not_counted

log = logging.getLogger(__name__)

BACKLOG = 2048
LOOK_SECONDS = 0.02
LAST_SECONDS = 1.0
"""For what is cancelled to end."""


class Server:
    """
    Serves *app* until `should_exit` is set, by anybody in any thread; what has begun then has *shutdown_seconds*.

    *refused* is called with the status of each answer of the server's own, to what never came to the application whole.
    *at_once* is asked before *app*, and its answer given without a task of its own, which costs more than a memory's.
    A failure of the application to start or to stop is raised by `run` and `serve`.
    """

    def __init__(
        self,
        app: App,
        *,
        shutdown_seconds: float,
        limits: Limits | None = None,
        refused: Callable[[int], None] = not_counted,
        at_once: AtOnce = not_at_hand,
    ) -> None:
        self.started = False
        self._app = app
        self._shutdown_seconds = shutdown_seconds
        self._limits = limits or Limits()
        self._refused = refused
        self._at_once = at_once
        self._should_exit = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told_to_stop = asyncio.Event()

    @property
    def should_exit(self) -> bool:
        """Whether it was told to stop."""
        return self._should_exit

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        self._should_exit = value
        if value and self._loop is not None:
            with suppress(RuntimeError):  # it has just stopped, and its loop is closed
                self._loop.call_soon_threadsafe(self._told_to_stop.set)

    def run(self, sockets: Sequence[socket.socket]) -> None:
        """`serve` in an event loop of its own; in any thread, which handles no signals."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self.serve(sockets))

    async def serve(self, sockets: Sequence[socket.socket]) -> None:
        """Listen on the bound *sockets*, which are closed in the end, and answer until told to stop."""
        self._loop = asyncio.get_running_loop()
        if self._should_exit:  # told before there was a loop to be told in
            self._told_to_stop.set()
        life = _Life(self._app)
        await life.begin()
        try:
            state = ServerState(self._app, self._limits, self._loop, self._refused, self._at_once)
            await self._answer(state, sockets)
        finally:
            self._loop = None
            await life.end()

    async def _answer(self, state: ServerState, sockets: Sequence[socket.socket]) -> None:
        loop = state.loop
        listening = [
            await loop.create_server(partial(Connection, state), sock=each, backlog=BACKLOG) for each in sockets
        ]
        ticking = asyncio.create_task(_tick(state))
        try:
            self.started = True
            await self._told_to_stop.wait()
            for listener in listening:
                listener.close()
            for each in sockets:
                each.close()
            await self._finish(state)
        finally:
            ticking.cancel()

    async def _finish(self, state: ServerState) -> None:
        state.stops = True
        for connection in tuple(state.connections):
            connection.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._shutdown_seconds):
                while state.connections or state.tasks:
                    await asyncio.sleep(LOOK_SECONDS)
        if state.tasks:
            log.warning("stopped with %d requests unanswered after %g s", len(state.tasks), self._shutdown_seconds)
        for connection in tuple(state.connections):
            connection.abort()
        if unfinished := tuple(state.tasks):
            for task in unfinished:
                task.cancel()
            await asyncio.wait(unfinished, timeout=LAST_SECONDS)


async def _tick(state: ServerState) -> None:
    while True:
        await asyncio.sleep(state.limits.tick_seconds)
        state.tick()


class _Life:
    """The application's own beginning and end (ASGI's lifespan)."""

    def __init__(self, app: App) -> None:
        self._to_app = asyncio.Queue[Message]()
        self._from_app = asyncio.Queue[Message]()
        scope: dict[str, Any] = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}
        self._task = asyncio.ensure_future(app(scope, self._to_app.get, self._from_app.put))

    async def begin(self) -> None:
        await self._pass("startup")

    async def end(self) -> None:
        await self._pass("shutdown")
        await self._task

    async def _pass(self, step: str) -> None:
        """Have the application take a step; raises what it failed with."""
        self._to_app.put_nowait({"type": f"lifespan.{step}"})
        told = asyncio.ensure_future(self._from_app.get())
        await asyncio.wait((told, self._task), return_when=asyncio.FIRST_COMPLETED)
        if told.done() and told.result()["type"] == f"lifespan.{step}.complete":
            return
        told.cancel()
        await self._task  # which says why
        raise RuntimeError(f"the application did not come through its {step}")
