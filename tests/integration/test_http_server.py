"""The HTTP server on real sockets: what goes in and comes out in bytes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import pytest

from tests.echoing import Echo
from tests.serving import Serving, request, serving


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    """A server that the tests which leave it as it was share."""
    with serving(Echo()) as found:
        yield found


def test_the_application_is_told_what_was_asked(served: Serving) -> None:
    """Path decoded and as it was sent, query, header names in lower case, and the body."""
    told = served.ask(request("/a%2Fb/%C3%A4?q=%20#f", "X-Some: Thing", method="PUT", body=b"hello"))

    assert (told.status, told.asked["method"], told.asked["http_version"]) == (200, "PUT", "1.1")
    assert (told.asked["path"], told.asked["raw_path"]) == ("/a/b/ä", "/a%2Fb/%C3%A4")
    assert (told.asked["query"], told.asked["body"]) == ("q=%20", "hello")
    assert ["x-some", "Thing"] in told.asked["headers"]


def test_the_answer_has_a_date_of_now(served: Serving) -> None:
    """It is no more than a tick behind."""
    told = served.ask(request())

    assert abs(parsedate_to_datetime(told.headers["date"]).timestamp() - time.time()) < 3


def test_a_connection_is_kept(served: Serving) -> None:
    """Requests one after the other are answered on it, also with bodies, and an unread body does no harm."""
    with served.connected() as client:
        paths = []
        for target in ("/1", "/unread", "/3"):
            client.send(request(target, method="POST", body=b"x" * 100_000))
            told = client.answer()
            paths.append(told.body if told.status == 403 else told.asked["path"])

    assert paths == ["/1", b"unread", "/3"]


def test_pipelined_requests_are_answered_in_order(served: Serving) -> None:
    """Also where an earlier one takes longer, and the last one closes the connection."""
    targets = [f"/{number}" for number in range(20)]
    sent = b"".join(request(target, method="POST", body=target.encode() * 999) for target in targets)

    with served.connected() as client:
        client.send(sent + request("/last", "Connection: close"))
        paths = [client.answer().asked["path"] for _ in range(21)]
        rest = client.rest()

    assert (paths, rest) == ([*targets, "/last"], b"")


def test_a_body_in_chunks_is_read(served: Serving) -> None:
    """Byte by byte too; its trailers are not taken for headers of the next request."""
    chunks = b"4\r\nWiki\r\n6;x=y\r\npedia \r\n0\r\nX-Trailer: t\r\n\r\n"
    head = request("/", "Transfer-Encoding: chunked", method="POST")

    with served.connected() as client:
        for byte in head + chunks:
            client.send(bytes([byte]))
        first = client.answer()
        client.send(head + chunks + request("/next"))
        second, third = client.answer(), client.answer()

    assert (first.asked["body"], second.asked["body"]) == ("Wikipedia ", "Wikipedia ")
    assert (third.asked["path"], third.asked["headers"]) == ("/next", [["host", "x"]])


def test_a_whole_answer_is_written_at_once(served: Serving) -> None:
    """Head and body come in one piece, also where the application gave no length; the socket does not wait for more."""
    for target in ("/", "/lengthless"):
        with served.connected() as client:
            client.send(request(target))
            received = client.socket.recv(65536)

        head, _, body = received.partition(b"\r\n\r\n")
        assert f"content-length: {len(body)}".encode() in head
        assert body


def test_an_answer_in_pieces_comes_in_chunks(served: Serving) -> None:
    """Without a length, to HTTP/1.1; to HTTP/1.0 until the connection is closed."""
    told = served.ask(request("/chunks"))
    old = served.exchange(request("/chunks", version="1.0"))

    assert (told.body, told.headers["transfer-encoding"]) == (b"onethree", "chunked")
    assert old.endswith(b"connection: close\r\n\r\nonethree")
    assert b"transfer-encoding" not in old


@pytest.mark.parametrize(("target", "length"), [("/lengthless", "5"), ("/chunks", None), ("/unread", "6")])
def test_head_is_answered_without_a_body(served: Serving, target: str, length: str | None) -> None:
    """The head is that of GET, and the next answer follows at once."""
    with served.connected() as client:
        client.send(request(target, method="HEAD") + request("/next", "Connection: close"))
        told, following = client.answer(to_head=True), client.rest()

    assert (told.body, told.headers.get("content-length")) == (b"", length)
    assert following.startswith(b"HTTP/1.1 200 OK\r\n")


def test_204_has_neither_body_nor_length(served: Serving) -> None:
    """RFC 9110, section 15.3.5."""
    told = served.ask(request("/empty"))

    assert (told.status, told.body) == (204, b"")
    assert not {"content-length", "transfer-encoding"} & told.headers.keys()


@pytest.mark.parametrize(
    ("lines", "version"), [(("Connection: close",), "1.1"), ((), "1.0"), (("Connection: keep-alive",), "1.0")]
)
def test_who_does_not_keep_the_connection_has_it_closed(served: Serving, lines: tuple[str, ...], version: str) -> None:
    """`Connection: close` and HTTP/1.0; what is sent after that is thrown away, not answered."""
    received = served.exchange(request("/once", *lines, version=version) + request("/ignored"))

    assert received.count(b"HTTP/1.1 200") == 1
    assert b"connection: close\r\n" in received


def test_a_body_is_asked_for_with_100_continue(served: Serving) -> None:
    """Once the application reads; one that answers unread is not followed by a body, so the connection is closed."""
    head = request("/", "Expect: 100-continue", "Content-Length: 5", method="POST")
    with served.connected() as client:
        client.send(head)
        asked_for = client.socket.recv(100)
        client.send(b"hello")
        told = client.answer()
    unread = served.exchange(head.replace(b"POST /", b"POST /unread"))

    assert (asked_for, told.asked["body"]) == (b"HTTP/1.1 100 Continue\r\n\r\n", "hello")
    assert unread.startswith(b"HTTP/1.1 403 ")
    assert b"connection: close\r\n" in unread


def test_an_offered_upgrade_is_not_taken_up(served: Serving) -> None:
    """Clients of HTTP/2 offer h2c: the request is answered in HTTP/1.1, with its body, and so is the next one."""
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")

    with served.connected() as client:
        client.send(request("/offer", *offer, method="POST", body=b"hello") + request("/next"))
        first, second = client.answer(), client.answer()

    assert (first.status, first.asked["path"], first.asked["body"]) == (200, "/offer", "hello")
    assert second.asked["path"] == "/next"
