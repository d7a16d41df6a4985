"""The HTTP server of ingest and of query, which ends in order and with exit code 0 when it is told to. Edge: HTTP."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from typing import Any

import uvicorn


def server(app: Callable[..., Any], *, shutdown_seconds: int) -> uvicorn.Server:
    """
    The HTTP server of *app*: `serve` it, or await its `.serve(sockets=[...])` in a loop of one's own.

    The sockets are bound; it listens on them and closes them. SIGTERM and SIGINT, or `should_exit`, stop it: it listens
    no more, finishes what has begun within *shutdown_seconds*, and ends the lifespan of *app*.
    """
    return uvicorn.Server(
        uvicorn.Config(
            app,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=75,  # longer than proxies keep theirs, or they reuse one that is being closed
            timeout_graceful_shutdown=shutdown_seconds,
        )
    )


def serve(running: uvicorn.Server, listener: socket.socket) -> None:
    """
    Run until told to stop, on the main thread; returns once all is ended in order.

    Raises `SystemExit` where it could not start or end so (uvicorn has logged why).
    """
    # Uvicorn raises the signal that stopped it once more when it is done: for these handlers, not for the default ones,
    # which would end the process as if nothing had been put in order.
    before = {each: signal.signal(each, running.handle_exit) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        running.run(sockets=[listener])
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
