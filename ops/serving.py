"""The HTTP server of ingest, of query and of health, which ends in order when it is told to. Edge: HTTP, signals."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from typing import Any

from ops.http_exchange import AtOnce
from ops.http_server import Server
from ops.http_state import Limits, not_at_hand, not_counted


def server(
    app: Callable[..., Any],
    *,
    shutdown_seconds: int,
    limits: Limits | None = None,
    refused: Callable[[int], None] = not_counted,
    at_once: AtOnce = not_at_hand,
) -> Server:
    """
    The HTTP server of *app*: `serve` it, or await its `.serve([...])` in a loop of one's own.

    The sockets are bound; it listens on them and closes them. SIGTERM and SIGINT, or `should_exit`, stop it: it listens
    no more, finishes what has begun within *shutdown_seconds*, and ends the lifespan of *app*. *refused* is called with
    the status of each answer that the server gives in its place, *at_once* asked before *app*.
    """
    return Server(app, shutdown_seconds=shutdown_seconds, limits=limits, refused=refused, at_once=at_once)


def serve(running: Server, listener: socket.socket) -> None:
    """
    Run until told to stop, on the main thread; returns once all is ended in order.

    Raises what the application failed with where it could not start or end so.
    """

    def stop(*_: object) -> None:
        running.should_exit = True

    before = {each: signal.signal(each, stop) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        running.run([listener])
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
