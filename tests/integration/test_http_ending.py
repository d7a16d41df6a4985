"""The HTTP server on real sockets: how it ends, in order, and what faults of the application come to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ops.http_server import Server
from tests.echoing import Echo
from tests.serving import PATIENCE_S, Client, Serving, request, serving, wait_until


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    """A server that the tests which leave it as it was share."""
    with serving(Echo()) as found:
        yield found


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("/fault", "a fault before the head went out"),
        ("/silence", "no whole answer to GET /silence"),
        ("/short", "not as long as its Content-Length"),
        ("/forged", "holds a line break"),
    ],
)
def test_a_fault_of_the_application_is_500(
    served: Serving, caplog: pytest.LogCaptureFixture, target: str, said: str
) -> None:
    """Where nothing has gone out yet; it is logged once, and the client is told nothing of it."""
    received = served.exchange(request(target))

    assert received.startswith(b"HTTP/1.1 500 ")
    assert said.encode() not in received
    wait_until(lambda: said in caplog.text)
    assert len(caplog.records) == 1


def test_a_fault_in_the_middle_of_an_answer_ends_the_connection(
    served: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer that broke off does not look whole; it is logged once."""
    received = served.exchange(request("/late-fault"))

    assert b"\r\n0\r\n" not in received
    wait_until(lambda: "a fault in the middle" in caplog.text)
    assert len(caplog.records) == 1


def test_what_has_begun_is_finished() -> None:
    """Told to stop: no new connections, idle ones closed, the answer under way is given and says close."""
    app = Echo()
    with serving(app) as served, served.connected() as busy, served.connected() as idle, served.connected() as half:
        busy.send(request("/held") + request("/never"))
        half.send(request("/half")[:-2])
        assert app.hears.wait(PATIENCE_S)
        served.server.should_exit = True
        closed = idle.rest()
        wait_until(lambda: served.refuses())
        half.send(b"\r\n")
        app.goes_on.set()
        told, rest = busy.answer(), busy.rest()
        of_half = half.answer()
        served.thread.join(PATIENCE_S)

    assert (closed, told.body, told.headers["connection"], rest) == (b"", b"held", "close", b"")
    assert (of_half.asked["path"], of_half.headers["connection"]) == ("/half", "close")
    assert app.life == ["lifespan.startup", "lifespan.shutdown"]


def test_what_takes_too_long_does_not_hold_up_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """After its seconds it is cancelled, that is logged, and the lifespan ends."""
    app = Echo()
    with serving(app, shutdown_seconds=0.1) as served, served.connected() as client:
        client.send(request("/held"))
        assert app.hears.wait(PATIENCE_S)
        served.server.should_exit = True
        served.thread.join(PATIENCE_S)
        ended = not served.thread.is_alive()

    assert (ended, app.life) == (True, ["lifespan.startup", "cancelled", "lifespan.shutdown"])
    assert "stopped with 1 requests unanswered after 0.1 s" in caplog.text


PROGRAM = """
import socket, sys
from ops.serving import serve, server
from tests.echoing import Echo
serve(server(Echo(), shutdown_seconds=5), socket.socket(fileno=int(sys.argv[1])))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_in_order(number: signal.Signals) -> None:
    """Exit code 0, at once, and silently."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, fileno = listener.getsockname()[1], listener.fileno()
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(fileno)], pass_fds=[fileno], stderr=subprocess.PIPE
        )
    with process, socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        client = Client(socket=connection, file=connection.makefile("rb"))
        client.send(request())
        told = client.answer()
        os.kill(process.pid, number)
        _, said = process.communicate(timeout=PATIENCE_S)

    assert (told.status, process.returncode, said) == (200, 0, b"")


@pytest.mark.parametrize("step", ["startup", "shutdown"])
@pytest.mark.parametrize("way", ["raises", "says so", "returns"])
def test_an_application_that_fails_to_start_or_stop_fails_the_server(step: str, way: str) -> None:
    """`run` raises what it failed with."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (kind := (await receive())["type"]) != f"lifespan.{step}":
            await send({"type": f"{kind}.complete"})
        if way == "raises":
            raise LookupError("this one")
        if way == "says so":
            await send({"type": f"lifespan.{step}.failed"})

    server, failures = Server(app, shutdown_seconds=1), []

    def run(listener: socket.socket) -> None:
        with listener:
            try:
                server.run([listener])
            except (LookupError, RuntimeError) as error:
                failures.append(str(error))

    thread = threading.Thread(target=run, args=[socket.create_server(("127.0.0.1", 0))])
    thread.start()
    server.should_exit = step == "shutdown"
    thread.join(PATIENCE_S)

    assert failures == ["this one" if way == "raises" else f"the application did not come through its {step}"]
