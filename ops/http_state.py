"""What all connections of an HTTP server share: the application, its limits, the time, who is there. Edge: clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Protocol

from ops.http_exchange import App, AtOnce, Whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    How much and how long a client may.

    *head_bytes*: request line and headers. *body_bytes*: of a body, before the application asks for it and the client
    is made to wait. *waiting*: requests sent ahead on a connection, beside the one that is being answered.
    *head_seconds*: from a request's first byte to the end of its headers. *body_seconds*: from there to the end of its
    body, while the application waits for it. *keep_alive_seconds*: longer than proxies
    keep theirs, or they use one that is just being closed; also for a client that reads no answer. *linger_seconds*:
    how long what is sent to nobody is read on, so that the client can read the answer before the connection is closed.
    *tick_seconds*: how exactly these times are kept.
    """

    head_bytes: int = 64 * 1024
    body_bytes: int = 64 * 1024
    waiting: int = 64
    head_seconds: float = 10.0
    body_seconds: float = 10.0
    keep_alive_seconds: float = 75.0
    linger_seconds: float = 5.0
    tick_seconds: float = 1.0


class Timed(Protocol):
    """What the tick looks at: a connection."""

    def tick(self, now: float) -> None: ...
    def stop(self) -> None: ...
    def abort(self) -> None: ...


def not_counted(_: int) -> None:
    """Nobody counts refusals."""


def not_at_hand(_: MutableMapping[str, Any]) -> Whole | None:
    """The application is asked for every answer."""
    return None


class ServerState:
    """
    Of one server, while it runs. *now* and *date* are as of the last tick: nobody needs them more exactly. *refused* is
    called with the status of each answer that the application did not give, *at_once* before the application.
    """

    __slots__ = ("app", "at_once", "connections", "date", "limits", "loop", "now", "refused", "stops", "tasks")

    def __init__(
        self,
        app: App,
        limits: Limits,
        loop: asyncio.AbstractEventLoop,
        refused: Callable[[int], None] = not_counted,
        at_once: AtOnce = not_at_hand,
    ) -> None:
        self.app = app
        self.at_once = at_once
        self.limits = limits
        self.loop = loop
        self.refused = refused
        self.connections: set[Timed] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.stops = False
        self.tick()

    def tick(self) -> None:
        """Let time pass: the Date of answers, and whoever is late."""
        self.now = self.loop.time()
        self.date = b"date: %b\r\n" % formatdate(time.time(), usegmt=True).encode()
        for connection in tuple(self.connections):
            connection.tick(self.now)
