"""`python -m ops.readiness`: what a container's health check says of a listener, against real sockets."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from ops.settings import free_address


def test_a_ready_listener_is_healthy() -> None:
    """200 at /readyz is exit code 0."""
    with listener(200, b'{"status":"ok"}') as address:
        done = asked(address)

    assert (0, '200 {"status":"ok"}\n') == (done.returncode, done.stdout)


def test_one_that_is_not_ready_says_why() -> None:
    """503 is exit code 1, with what the listener said."""
    with listener(503, b'{"detail":"the broker is away"}') as address:
        done = asked(address)

    assert (1, '503 {"detail":"the broker is away"}\n') == (done.returncode, done.stdout)


def test_where_nobody_listens_is_one_line() -> None:
    """A refused connection is exit code 1 and one line that names the address."""
    address = str(free_address())
    done = asked(address)

    assert (1, 1) == (done.returncode, len(done.stderr.splitlines())), done.stderr
    assert f"{address} does not answer" in done.stderr


@contextmanager
def listener(status: int, body: bytes) -> Iterator[str]:
    """A listener whose /readyz answers so, and nothing else; its address."""

    class Answer(BaseHTTPRequestHandler):
        """The one answer; 404 elsewhere."""

        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()
            self.wfile.write(body)

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def asked(address: str) -> subprocess.CompletedProcess[str]:
    """One look at the listener."""
    command = [sys.executable, "-m", "ops.readiness", address]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
