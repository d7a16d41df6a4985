"""The HTTP server on real sockets: what is no request, or one that two readers could read in two ways."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest

from ops.http_state import Limits
from tests.echoing import Echo
from tests.serving import Serving, request, serving


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    """A server that the tests which leave it as it was share."""
    with serving(Echo()) as found:
        yield found


WRONG = [
    pytest.param(b"nonsense\r\n\r\n", 400, id="no HTTP"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00", 400, id="TLS"),
    pytest.param(request().replace(b"GET", b"FETCH"), 400, id="method"),
    pytest.param(request(version="2.0"), 505, id="HTTP/2.0"),
    pytest.param(b"GET /\r\n\r\n", 505, id="HTTP/0.9"),
    pytest.param(b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", 501, id="CONNECT"),
    pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, id="no Host"),
    pytest.param(request("/", "Host: y"), 400, id="two Hosts"),
    pytest.param(request("/", "X: " + "y" * 65_536), 431, id="large header"),
    pytest.param(request("/" + "y" * 65_536), 431, id="large target"),
    pytest.param(request("/", *["A: b"] * 11_000), 431, id="many headers"),
    pytest.param(request("/", "Transfer-Encoding: chunked", method="POST", body=b"0\r\n\r\n"), 400, id="TE and CL"),
    pytest.param(request("/", "Content-Length: 4", method="POST", body=b"hello"), 400, id="two lengths"),
    pytest.param(request("/", "Content-Length: 5", method="POST", body=b"hello"), 400, id="one length twice"),
    pytest.param(request("/", "Content-Length: +5", method="POST"), 400, id="signed length"),
    pytest.param(request("/", "Content-Length: 5, 5", method="POST"), 400, id="list of lengths"),
    pytest.param(request("/", "Content-Length : 5", method="POST"), 400, id="space before the colon"),
    pytest.param(request("/", "Transfer-Encoding: identity", method="POST"), 501, id="TE identity"),
    pytest.param(request("/", "Transfer-Encoding: gzip, chunked", method="POST"), 501, id="TE gzip"),
    pytest.param(request("/", "Transfer-Encoding: xchunked", method="POST"), 501, id="TE xchunked"),
    pytest.param(request("/", "Transfer-Encoding:\x0bchunked", method="POST"), 400, id="TE after a control character"),
    pytest.param(request("/", *["Transfer-Encoding: chunked"] * 2, method="POST"), 400, id="TE twice"),
    pytest.param(
        request("/", "Transfer-Encoding: chunked", method="POST", version="1.0") + b"0\r\n\r\n",
        400,
        id="TE in HTTP/1.0",
    ),
    pytest.param(request("/", "A: b\r\n c"), 400, id="folded header"),
    pytest.param(request("/", "A: b\nC: d"), 400, id="bare line feed"),
    pytest.param(request("/", "A: b\rC: d"), 400, id="bare carriage return"),
    pytest.param(request("/", "A: b\x00"), 400, id="NUL"),
    pytest.param(
        request("/", "Transfer-Encoding: chunked", method="POST") + b"0\r\nX: " + b"y" * 80_000, 431, id="large trailer"
    ),
    pytest.param(
        request("/", "Transfer-Encoding: chunked", method="POST") + b"1;" + b"y" * 80_000, 400, id="large extension"
    ),
    pytest.param(request("/a b"), 400, id="space in the target"),
    pytest.param(request("/", "Transfer-Encoding: chunked", method="POST") + b"0x1\r\nx\r\n", 400, id="chunk size"),
    pytest.param(request("/", "Transfer-Encoding: chunked", method="POST") + b"1\r\nxy\r\n", 400, id="chunk's end"),
]


@pytest.mark.parametrize(("sent", "status"), WRONG)
def test_what_is_no_request_is_refused_in_words(served: Serving, sent: bytes, status: int) -> None:
    """The one before it is answered, it is refused with its status, what is sent behind it never becomes a request."""
    received = served.exchange(request("/before") + sent + request("/smuggled") * 3)

    assert statuses(received) == [200, status]
    assert b"smuggled" not in received
    assert received.count(b"connection: close\r\n") == 1
    assert received.endswith(b".")


def test_a_client_that_is_still_sending_can_read_its_refusal(served: Serving) -> None:
    """A head of 8 MiB: the 431 is read, not a reset connection."""
    with served.connected() as client:
        client.send(b"GET / HTTP/1.1\r\nX: ")
        for _ in range(8):
            client.send(b"y" * 1024 * 1024)
        told = client.answer()

    assert told.status == 431
    assert "65536 bytes" in told.body.decode()


def test_too_many_at_once_are_refused_in_their_turn() -> None:
    """As many as may wait are answered, the next one is 429, and then the connection is closed."""
    with serving(Echo(), limits=Limits(waiting=3)) as served:
        received = served.exchange(request() * 10)

    assert statuses(received) == [200] * 4 + [429]


def test_refusals_are_logged_without_what_was_sent(served: Serving, caplog: pytest.LogCaptureFixture) -> None:
    """Status and reason; anybody could write into the log otherwise."""
    caplog.set_level(logging.INFO, "ops")
    served.exchange(b"GET /secret nonsense\r\n\r\n")

    (record,) = caplog.records
    assert (record.getMessage(), vars(record)["status"]) == ("refused", 400)
    assert "secret" not in str(vars(record))


def statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]
