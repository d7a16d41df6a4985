"""
One address before several listeners, as a load balancer has it, that asks again what was not answered. Edge: HTTP.

A connection that is refused or breaks, and 503, are asked again, of the next listener in turn, as Stripe and gateways
do by themselves. Every other answer is passed on as it came. What was answered 200 is kept, for the reckoning.
"""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE_S = 25.0
"""How long one question is asked again; less than the 30 s for which `run.py` waits for an answer."""

BETWEEN_TRIES_S = 0.1
PASSED_ON = ("Authorization", "Content-Type", "Stripe-Signature")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What a listener answered with 200, and when it was asked and had answered: seconds since 1970."""

    listener: str
    asked_at: float
    answered_at: float
    request: bytes
    answer: bytes


class Relay:
    """
    Asks *listeners* (host:port) in turn.

    It keeps why it had to ask *again*, each time, and for how many seconds each question *waits* for its answer.
    """

    def __init__(self, listeners: Sequence[str], url: str) -> None:
        self.url = url
        self._turns = itertools.cycle(listeners)
        self.exchanges: list[Exchange] = []
        self.again: list[str] = []  # lists, to which threads may append side by side
        self.waits: list[float] = []

    def ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """The status and the body of the first answer that is not 503; 503 itself once patience is at its end."""
        begun = time.monotonic()
        while True:
            listener, asked_at = next(self._turns), time.time()
            try:
                status, answer = _asked(listener, method, path, body, headers)
            except (OSError, http.client.HTTPException) as error:
                status, answer, why = 503, b"{}", type(error).__name__
            else:
                why = "503"
            waited = time.monotonic() - begun
            if status != 503 or waited > PATIENCE_S:
                break
            self.again.append(why)
            time.sleep(BETWEEN_TRIES_S)
        self.waits.append(waited)
        if status == 200:
            self.exchanges.append(
                Exchange(listener=listener, asked_at=asked_at, answered_at=time.time(), request=body, answer=answer)
            )
        return status, answer


@contextmanager
def relaying(listeners: Sequence[str]) -> Iterator[Relay]:
    """A relay to *listeners* on an address of its own, until the context ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *connection: _Request(relay, *connection))
    relay = Relay(listeners, f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield relay
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: two would wait for one another for 40 ms
    disable_nagle_algorithm = True

    def __init__(self, relay: Relay, *connection: Any) -> None:
        self._relay = relay
        super().__init__(*connection)

    def _relayed(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name in PASSED_ON if (value := self.headers.get(name)) is not None}
        status, answer = self._relay.ask(self.command, self.path, body, headers)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = _relayed  # noqa: N815  # the library's own names

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # the library's own name
        """Say nothing: a line for each request would drown what the program prints."""


def _asked(listener: str, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection(listener, timeout=10)) as connection:
        connection.request(method, path, body or None, dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read()
