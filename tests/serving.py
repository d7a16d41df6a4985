"""The HTTP server with an application that tells what it was asked, on a real socket, spoken to in bytes."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from ops.http_exchange import App
from ops.http_server import Server
from ops.http_state import Limits

PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An answer; *body* as bytes."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def asked(self) -> Any:
        """What the application was asked, by its own account."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A connection: its socket to send with, and a file to read answers from, one after the other."""

    socket: socket.socket
    file: BinaryIO

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, *, to_head: bool = False) -> Told:
        """The next answer; fails if it is not whole."""
        _, status, _ = self.file.readline().split(b" ", 2)
        headers = {}
        while (line := self.file.readline()) != b"\r\n":
            name, _, value = line.decode().partition(": ")
            headers[name] = value.strip()
        body = b""
        if headers.get("transfer-encoding") == "chunked" and not to_head:
            while size := int(self.file.readline(), 16):
                body += self.file.read(size)
                self.file.readline()
            self.file.readline()
        elif not to_head:
            length = int(headers.get("content-length", 0))
            body = self.file.read(length)
            assert len(body) == length, "the answer broke off"
        return Told(status=int(status), headers=headers, body=body)

    def rest(self) -> bytes:
        """All that comes until the server closes the connection; a reset is an error."""
        return self.file.read()


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A server that runs, its port, and how to speak to it."""

    server: Server
    thread: threading.Thread
    port: int

    @contextmanager
    def connected(self) -> Iterator[Client]:
        """A connection to it."""
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as connection,
            connection.makefile("rb") as file,
        ):
            yield Client(socket=connection, file=file)

    def exchange(self, sent: bytes) -> bytes:
        """All that comes back for *sent* until the server closes the connection."""
        with self.connected() as client:
            client.send(sent)
            return client.rest()

    def ask(self, sent: bytes) -> Told:
        """The first answer to *sent*."""
        with self.connected() as client:
            client.send(sent)
            return client.answer()

    def refuses(self) -> bool:
        """Whether it listens no more."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S).close()
        except ConnectionRefusedError:
            return True
        return False


@contextmanager
def serving(app: App, *, limits: Limits | None = None, shutdown_seconds: float = 5.0) -> Iterator[Serving]:
    """Serve *app* while the context lasts, then have it stop as SIGTERM would."""
    server, listener = (
        Server(app, shutdown_seconds=shutdown_seconds, limits=limits),
        socket.create_server(("127.0.0.1", 0)),
    )
    port = listener.getsockname()[1]
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            thread.join(0.005)
        yield Serving(server=server, thread=thread, port=port)
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "the server did not stop"


def request(target: str = "/", *lines: str, method: str = "GET", body: bytes = b"", version: str = "1.1") -> bytes:
    """A request with a Host, and a Content-Length where it has a body."""
    head = [f"{method} {target} HTTP/{version}", "Host: x", *lines]
    head += [f"Content-Length: {len(body)}"] if body else []
    return "".join(f"{line}\r\n" for line in [*head, ""]).encode() + body


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait for it, and fail if it does not happen."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
